"""Random changes to training patches.

Each is a function of patches and draws; a method's configuration lists those it wants
(:meth:`sceneshift.methods.method.MethodConfig.augmentations`), and they are made one after the other.

Shape letters: B patches of the whole batch, b those that are changed here, C bands, P patch size.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


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
    """Another gain a patch, and noise on every element (Chen et al., TGRS 2024).

    With probability 1/2 a patch x becomes ``alpha * x + std * n``, one alpha ~ U(0.9, 1.1) a patch, n ~ N(0, 1) an
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
