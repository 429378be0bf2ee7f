"""Scenes that come with reference abundances and endmembers: the reference, and the label map made from it.

Shape letters: H rows, W columns, C bands, R materials.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError

#: A pixel's class is the material with the largest abundance, where that is at least this.
LEAST_ABUNDANCE = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class UnmixingReference:
    """What a scene's pixels are made of, as it was published.

    Args:
        materials: The R materials' names; the scene's classes.
        abundances: (H, W, R) shares, 0 to 1.
        endmembers: (C, R) spectra in the file's own units, which need not be the cube's (Samson's have a maximum of
            1 each).

    Raises:
        InvalidInputError: The shapes don't fit each other, or an abundance is outside 0 to 1.
    """

    materials: tuple[str, ...]
    abundances: NDArray[np.float64]
    endmembers: NDArray[np.float64]

    def __post_init__(self) -> None:
        num_materials = len(self.materials)
        if self.abundances.ndim != 3 or self.abundances.shape[2] != num_materials:
            raise InvalidInputError(
                f"abundances of shape {self.abundances.shape}; expected (rows, columns, {num_materials} materials)."
            )
        if self.endmembers.ndim != 2 or self.endmembers.shape[1] != num_materials:
            raise InvalidInputError(
                f"endmembers of shape {self.endmembers.shape}; expected (bands, {num_materials} materials)."
            )
        low, high = float(self.abundances.min()), float(self.abundances.max())
        if not (low >= -1e-6 and high <= 1 + 1e-6):  # rejects NaN too
            raise InvalidInputError(f"abundances from {low:g} to {high:g}; expected shares between 0 and 1.")


def labels_from_abundances(abundances: NDArray[np.float64]) -> NDArray[np.int64]:
    """(H, W) classes 1..R by the largest of (H, W, R) abundances, 0 where it is below :data:`LEAST_ABUNDANCE`."""
    labels: NDArray[np.int64] = np.where(
        abundances.max(axis=2) >= LEAST_ABUNDANCE, abundances.argmax(axis=2) + 1, 0
    ).astype(np.int64)
    return labels


def pixels_to_image(matrix: NDArray[np.generic], shape: tuple[int, int], what: str) -> NDArray[np.generic]:
    """Arrange (N, H * W) values, whose pixels are column by column, as (H, W, N).

    Raises:
        InvalidInputError: There are not H * W pixels.
    """
    height, width = shape
    if matrix.ndim != 2 or matrix.shape[1] != height * width:
        raise InvalidInputError(
            f"{what}: an array of shape {matrix.shape}; expected {height * width} pixels ({height} x {width}) along "
            "its second axis."
        )
    return matrix.T.reshape(height, width, matrix.shape[0], order="F")
