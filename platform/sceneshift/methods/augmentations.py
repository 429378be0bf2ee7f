"""Random changes to training patches.

Each is a frozen dataclass that is called with patches and draws; a method's configuration lists those it uses
(:meth:`sceneshift.methods.method.MethodConfig.augmentations`), and they are made one after the other.

Shape letters: B patches of the whole batch, b those that are changed here, C bands, P patch size.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Where the random numbers for one batch come from.

    They are drawn for all B patches, and on their device, so that several workers with a share each see the patches
    that one would, and the host waits for no number.

    Args:
        generator: On the patches' device.
        batch: B.
        rows: Which of the B patches are changed here.
    """

    generator: torch.Generator | None
    batch: int
    rows: slice = field(default_factory=lambda: slice(None))


#: From patches (b, C, P, P), channels last in memory, and draws to changed patches, of the same shape and layout; the
#: patches it is given stay as they are.
Augmentation = Callable[[Tensor, Draws], Tensor]


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Flips of rows and columns (Chen et al., TGRS 2024).

    With probability 1/2 a patch is considered; each axis is then flipped with 1/2.
    """

    def __call__(self, patches: Tensor, draws: Draws) -> Tensor:
        """Flip patches; see :data:`Augmentation`."""
        coins = torch.randint(0, 2, (3, draws.batch), device=patches.device, generator=draws.generator)
        variant = (coins[0] * (coins[1] + 2 * coins[2]))[draws.rows]
        num, bands, side, _ = patches.shape
        pixels = torch.arange(side * side, device=patches.device).view(side, side)
        variants = torch.stack([v.flatten() for v in (pixels, pixels.flip(0), pixels.flip(1), pixels.flip(0, 1))])
        # A patch as P * P rows of C contiguous numbers: a flip is another order of the rows.
        rows = patches.permute(0, 2, 3, 1).reshape(num, side * side, bands)
        flipped = rows[torch.arange(num, device=patches.device)[:, None], variants[variant]]
        return flipped.view(num, side, side, bands).permute(0, 3, 1, 2)


@dataclass(frozen=True, kw_only=True)
class RadiationNoise:
    """One gain per patch, and noise on every element (Chen et al., TGRS 2024).

    With probability 1/2 a patch x becomes ``alpha * x + std * n``, one alpha ~ U(0.9, 1.1) per patch, n ~ N(0, 1) per
    element.

    Args:
        std: In the patches' units.
    """

    std: float

    def __call__(self, patches: Tensor, draws: Draws) -> Tensor:
        """Change patches; see :data:`Augmentation`."""
        device, generator, rows = patches.device, draws.generator, draws.rows
        chosen = torch.randint(0, 2, (draws.batch, 1, 1, 1), device=device, generator=generator)
        alpha = torch.empty(draws.batch, 1, 1, 1, device=device).uniform_(0.9, 1.1, generator=generator)
        noise = torch.randn((draws.batch, *patches.shape[1:]), device=device, generator=generator)
        changed = alpha[rows] * patches + self.std * noise[rows]
        return torch.where(chosen[rows].bool(), changed, patches)


@dataclass(frozen=True, kw_only=True)
class RandomConvolution:
    """One random convolution over space and bands for the whole batch (Xu et al., ICLR 2021, section 3).

    The paper gives every output channel a kernel over all input channels, which makes new colours of three and keeps
    shapes larger than the kernel. Of a spectrum that would keep nothing: each new band would be a random sum of all
    bands, and the shape of a class's spectrum depends on their order. So bands are treated as the paper treats space,
    as an axis with texture and shape: one kernel slides over rows, columns and bands and is the same everywhere. It
    keeps shapes larger than itself, of a field as of a spectrum (its plateaus, edges and broad absorptions, up to gain
    and sign), and changes what is smaller.

    From the paper: each batch draws a new kernel; its side, odd, is uniform up to a largest one; its n weights are
    independent, from N(0, 1 / n); no bias; and with some probability the whole batch stays as it is. Here space and
    bands each draw a side, and values at the edges are repeated outwards, since a zero is not a value of a scene.

    Args:
        pixels: Largest side of the kernel in rows and columns; odd.
        bands: Largest side along bands; odd.
        unchanged: Probability that a batch stays as it is.
        mix: Blend with the patches, ``a * x + (1 - a) * conv(x)``, one a ~ U(0, 1) per batch; else ``conv(x)`` alone.
    """

    pixels: int
    bands: int
    unchanged: float
    mix: bool

    def __call__(self, patches: Tensor, draws: Draws) -> Tensor:
        """Convolve patches; see :data:`Augmentation`."""
        device, generator = patches.device, draws.generator
        # Draws are made per batch, not per patch: every worker with a share of the batch draws the same.
        kept, share = torch.rand(2, device=device, generator=generator)
        convolved = self._convolved(patches.permute(0, 2, 3, 1), self.kernel(device, generator)).permute(0, 3, 1, 2)
        if self.mix:
            convolved = torch.lerp(convolved, patches, share.to(patches.dtype))
        return torch.where(kept < self.unchanged, patches, convolved)

    def kernel(self, device: torch.device, generator: torch.Generator | None) -> Tensor:
        """Draw a kernel (pixels, pixels, bands); a smaller one is in its middle, among zeros.

        So its shape needs no number that the host would wait for.
        """
        weights = torch.randn(self.pixels, self.pixels, self.bands, device=device, generator=generator)
        near, within = (self._middle(largest, device, generator) for largest in (self.pixels, self.bands))
        taken = near[:, None, None] & near[None, :, None] & within
        return weights * taken / taken.sum().sqrt()

    @staticmethod
    def _middle(largest: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
        """Which of the largest side's places a drawn side has."""
        half = largest // 2
        reach = torch.randint(0, half + 1, (1,), device=device, generator=generator)
        return torch.arange(-half, half + 1, device=device).abs() <= reach

    @staticmethod
    def _convolved(patches: Tensor, kernel: Tensor) -> Tensor:
        """Convolve (b, P, P, C) tap by tap: cuDNN would round to TF32 here, outside a step's precision."""
        halves = [side // 2 for side in kernel.shape]
        around = [half for half in reversed(halves) for _ in range(2)]
        padded = functional.pad(patches[:, None], around, mode="replicate")[:, 0]
        convolved = torch.zeros_like(patches)
        _, height, width, bands = patches.shape
        for row, weights in enumerate(kernel):
            for column, spectrum in enumerate(weights):
                for band, weight in enumerate(spectrum):
                    place = padded[:, row : row + height, column : column + width, band : band + bands]
                    convolved.addcmul_(place, weight.to(patches.dtype))
        return convolved
