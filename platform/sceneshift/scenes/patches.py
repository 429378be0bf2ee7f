"""Patches cut from a scene in one indexed operation, on the device the network is on.

Shape letters: B batch, C bands, P patch size, H rows, W columns.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes to training patches (Chen et al., TGRS 2024).

    Args:
        flips: With probability 1/2 a patch is considered for flips; each axis is then flipped with 1/2.
        noise_std: With probability 1/2 a patch x becomes ``alpha * x + noise_std * n``, one alpha ~ U(0.9, 1.1) a
            patch, n ~ N(0, 1) an element. In the cube's units; 0 leaves this out.
    """

    flips: bool
    noise_std: float


class PatchSampler:
    """Every P x P patch of one cube, the borders continued by symmetric reflection.

    The cube is moved to the device once. A patch is read as P*P rows of C contiguous numbers; flips only permute
    the row numbers, so an augmented patch costs the same read.

    Args:
        cube: (H, W, C) float32. Reflection happens at this array's edges: a cube cut out of a larger scene never
            shows a pixel from beyond the cut.
        patch_size: P, odd.
        device: Where the cube and all patches live.
        padded: The cube is (H + P - 1, W + P - 1, C): continued by P // 2 pixels beyond each border already.

    Raises:
        InvalidInputError: The patch size is even or below 1.
    """

    def __init__(
        self, cube: NDArray[np.float32], *, patch_size: int, device: torch.device | str, padded: bool = False
    ) -> None:
        if patch_size < 1 or patch_size % 2 == 0:
            raise InvalidInputError(f"patch_size = {patch_size}; expected an odd number of pixels.")
        radius = patch_size // 2
        continued = cube if padded else np.pad(cube, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
        self.device = torch.device(device)
        self.patch_size = patch_size
        self._padded_width = continued.shape[1]
        self._width = self._padded_width - 2 * radius
        self._rows = torch.from_numpy(continued).to(self.device).reshape(-1, cube.shape[2])
        offsets = torch.arange(patch_size)[:, None] * self._padded_width + torch.arange(patch_size)[None, :]
        variants = [offsets, offsets.flip(0), offsets.flip(1), offsets.flip(0, 1)]
        self._offsets = torch.stack([v.flatten() for v in variants]).to(self.device)
        #: (H + P - 1, W + P - 1, C): the cube with its reflected borders, on the device.
        self.padded = self._rows.view(continued.shape)
        # Summed in float64 without a float64 copy of the cube.
        self.rms = float(np.sqrt(np.einsum("ijk,ijk->", cube, cube, dtype=np.float64) / cube.size))

    def patches(self, pixels: Tensor, *, flips: Tensor | None = None) -> Tensor:
        """Cut the patches around some pixels.

        Args:
            pixels: (B,) int64 flat indices, row * W + column.
            flips: (B,) int64 in 0..3: none, rows, columns, both.

        Returns:
            (B, C, P, P) float32, channels last in memory, as they are read.
        """
        corners = (pixels // self._width) * self._padded_width + pixels % self._width
        offsets = self._offsets[0] if flips is None else self._offsets[flips]
        side = self.patch_size
        flat = self._rows[corners[:, None] + offsets]
        return flat.view(len(pixels), side, side, -1).permute(0, 3, 1, 2)

    def spectra(self, pixels: Tensor) -> Tensor:
        """Read single pixels: (B,) int64 flat indices to (B, C) float32."""
        radius = self.patch_size // 2
        rows, columns = pixels // self._width + radius, pixels % self._width + radius
        return self._rows[rows * self._padded_width + columns]

    def augmented(
        self, pixels: Tensor, augmentation: Augmentation, generator: torch.Generator, *, rows: slice | None = None
    ) -> Tensor:
        """Cut patches and change them at random.

        Args:
            pixels: (B,) int64 flat indices.
            augmentation: What may change.
            generator: Source of the draws, on the sampler's device.
            rows: Cut only these of the B patches. The draws are those for all of them, so that several workers with a
                share each see the patches that one would.

        Returns:
            (B, C, P, P) float32, or as many as the rows are.
        """
        batch, rows = len(pixels), slice(None) if rows is None else rows
        flips = None
        if augmentation.flips:
            coins = torch.randint(0, 2, (3, batch), device=self.device, generator=generator)
            flips = coins[0] * (coins[1] + 2 * coins[2])
        patches = self.patches(pixels[rows], flips=None if flips is None else flips[rows])
        if augmentation.noise_std > 0:
            chosen = torch.randint(0, 2, (batch, 1, 1, 1), device=self.device, generator=generator)
            alpha = torch.empty(batch, 1, 1, 1, device=self.device).uniform_(0.9, 1.1, generator=generator)
            noise = torch.randn((batch, *patches.shape[1:]), device=self.device, generator=generator)
            changed = alpha[rows] * patches + augmentation.noise_std * noise[rows]
            patches = torch.where(chosen[rows].bool(), changed, patches)
        return patches
