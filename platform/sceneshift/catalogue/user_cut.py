"""Cuts of a scene that a user describes by rows, columns and a mask.

Shape letters: H rows, W columns, C bands.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.measured import without_label_count
from sceneshift.scenes.scene import Footprint, Georeference, Scene, mask_as_text, mask_from_text

#: First and one after the last.
Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Part of a scene.

    Args:
        rows: First row, and the one after the last; None takes all.
        columns: First column, and the one after the last; None takes all.
        mask: A file with an (H, W) map of the whole scene: pixels where it is 0 are not in the cut. None takes all.
    """

    rows: Range | None = None
    columns: Range | None = None
    mask: str | None = None

    def apply(self, scene: Scene, mask: tuple[NDArray[np.int64], Path] | None) -> Scene:
        """Cut a scene.

        Within the rectangle, pixels outside the mask become zeros without a label, like pixels without data: no patch
        shows what is there.

        Args:
            scene: The whole scene.
            mask: The (H, W) map of ``mask`` and its file, where there is one.

        Returns:
            A copy of the part: what is beyond it isn't in memory behind it.

        Raises:
            InvalidInputError: The part reaches beyond the scene, or holds no pixel, or the mask has another shape.
        """
        kept = np.ones(scene.shape, dtype=bool)
        if mask is not None:
            values, path = mask
            if values.shape != scene.shape:
                raise InvalidInputError(
                    f"mask: {path} has {values.shape} pixels, the scene {scene.shape}; expected the same. A mask is of "
                    "the whole scene, before rows and columns are cut."
                )
            kept = values > 0
        bounds = []
        for axis, limits, size in (("rows", self.rows, scene.shape[0]), ("columns", self.columns, scene.shape[1])):
            start, stop = limits or (0, size)
            if stop > size:
                raise InvalidInputError(
                    f"{axis}: got [{start}, {stop}], and the scene has {size} {axis}; expected at most {size} as the "
                    "second number."
                )
            bounds.append((start, stop))
        (top, _), (left, _) = bounds
        place = tuple(slice(start, stop) for start, stop in bounds)
        if not kept[place].any():
            raise InvalidInputError("mask: no pixel of the cut has a number above 0; expected some.")
        if mask is not None:  # the smallest rectangle around what is kept
            rows, columns = (np.flatnonzero(kept[place].any(axis=axis)) for axis in (1, 0))
            place = (
                slice(top + int(rows[0]), top + int(rows[-1]) + 1),
                slice(left + int(columns[0]), left + int(columns[-1]) + 1),
            )
            top, left = place[0].start, place[1].start
        inside = kept[place]
        return replace(
            scene,
            cube=np.where(inside[..., None], scene.cube[place], np.float32(0)),
            labels=np.where(inside, scene.labels[place], 0),
            left_out=without_label_count(scene.left_out),
            footprint=_footprint(scene.footprint, top, left, inside),
            georeference=None if scene.georeference is None else _shifted(scene.georeference, top, left),
        )


def _footprint(whole: Footprint, top: int, left: int, inside: NDArray[np.bool_]) -> Footprint:
    height, width = inside.shape
    first_row, first_column = whole.rows[0] + top, whole.columns[0] + left
    if whole.mask is not None:
        shape = whole.rows[1] - whole.rows[0], whole.columns[1] - whole.columns[0]
        inside = inside & mask_from_text(whole.mask, shape)[top : top + height, left : left + width]
    return Footprint(
        parent=whole.parent,
        rows=(first_row, first_row + height),
        columns=(first_column, first_column + width),
        mask=None if inside.all() else mask_as_text(inside),
    )


def _shifted(whole: Georeference, top: int, left: int) -> Georeference:
    a, b, c, d, e, f = whole.transform
    return replace(whole, transform=(a, b, c + a * left + b * top, d, e, f + d * left + e * top))
