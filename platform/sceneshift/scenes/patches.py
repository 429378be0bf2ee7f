"""Patches cut from a scene in one indexed operation, on the device the network is on.

Shape letters: B batch, C bands, P patch size, H rows, W columns.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.measured import measured_pixels


class PatchSampler:
    """Every P x P patch of one cube, the borders continued by symmetric reflection.

    The cube is moved to the device once. A patch is read as P*P rows of C contiguous numbers.

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
        self._offsets = offsets.flatten().to(self.device)
        #: (H + P - 1, W + P - 1, C): the cube with its reflected borders, on the device.
        self.padded = self._rows.view(continued.shape)
        # Summed in float64 without a float64 copy of the cube. Unmeasured pixels, which are zeros, don't count.
        num_measured = max(1, int(measured_pixels(cube).sum()))
        self.rms = float(np.sqrt(np.einsum("ijk,ijk->", cube, cube, dtype=np.float64) / (num_measured * cube.shape[2])))
        self._tops, self._widths = [0], [self._width]

    @classmethod
    def over(cls, cubes: Sequence[NDArray[np.float32]], *, patch_size: int, device: torch.device | str) -> Self:
        """Every patch of several cubes, each continued at its own borders; pixels are named by :meth:`places`.

        The cubes are below one another in one array, as wide as the widest of them.

        Args:
            cubes: (H, W, C) float32 each, with the same bands.
            patch_size: P, odd.
            device: Where the cubes and all patches live.
        """
        if len(cubes) == 1:
            return cls(cubes[0], patch_size=patch_size, device=device)
        radius = patch_size // 2
        heights, widths = ([cube.shape[axis] + 2 * radius for cube in cubes] for axis in (0, 1))
        tops = np.cumsum([0, *heights])
        whole = np.zeros((tops[-1], max(widths), cubes[0].shape[2]), dtype=np.float32)
        for cube, top, height, width in zip(cubes, tops, heights, widths, strict=False):
            edges = ((radius, radius), (radius, radius), (0, 0))
            whole[top : top + height, :width] = np.pad(cube, edges, mode="symmetric")
        made = cls(whole, patch_size=patch_size, device=device, padded=True)
        made._tops, made._widths = tops[:-1].tolist(), [cube.shape[1] for cube in cubes]
        squares = sum(float(np.einsum("ijk,ijk->", cube, cube, dtype=np.float64)) for cube in cubes)
        num_measured = max(1, sum(int(measured_pixels(cube).sum()) for cube in cubes))
        made.rms = float(np.sqrt(squares / (num_measured * cubes[0].shape[2])))
        return made

    def places(self, number: int, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """What :meth:`patches` calls the pixels of one of several cubes; of a single cube, the same.

        Args:
            number: The cube's, from 0.
            pixels: (B,) flat indices in that cube, row * W + column.
        """
        rows, columns = np.divmod(pixels, self._widths[number])
        found: NDArray[np.int64] = (rows + self._tops[number]) * self._width + columns
        return found

    def patches(self, pixels: Tensor) -> Tensor:
        """Cut the patches around some pixels.

        Args:
            pixels: (B,) int64 flat indices, row * W + column; of several cubes, their :meth:`places`.

        Returns:
            (B, C, P, P) float32, channels last in memory, as they are read.
        """
        corners = (pixels // self._width) * self._padded_width + pixels % self._width
        side = self.patch_size
        flat = self._rows[corners[:, None] + self._offsets]
        return flat.view(len(pixels), side, side, -1).permute(0, 3, 1, 2)

    def spectra(self, pixels: Tensor) -> Tensor:
        """Read single pixels: (B,) int64 flat indices to (B, C) float32."""
        radius = self.patch_size // 2
        rows, columns = pixels // self._width + radius, pixels % self._width + radius
        return self._rows[rows * self._padded_width + columns]
