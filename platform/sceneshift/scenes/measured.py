"""Which pixels of a scene are measured, and what of its file is not in its cube.

**An unmeasured pixel is zero in every band of a scene's cube, and has no label.** Readers make it so
(:mod:`sceneshift.files.missing`), and everything else can see it in the cube alone, however the scene was stored,
resampled or divided by a scale: a pixel of zeros in every band is not a spectrum.

Shape letters: H rows, W columns, C bands, D bands of the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What of a scene's file is not in its cube. Bands are counted from 0, as they are in the file.

    Args:
        bands_in_file: D; None where the cube's bands are no longer bands of the file, but resampled from them.
        empty: Bands in which no pixel has a value.
        bad: Bands that the file marks as bad.
        unshared: Bands left out because the other scene of a pair lacks them.
        labels: Labelled pixels that are unmeasured and lost their label.

    Raises:
        InvalidInputError: A band is outside the file or is listed twice, none is left, or a count is negative.
    """

    bands_in_file: int | None
    empty: tuple[int, ...] = ()
    bad: tuple[int, ...] = ()
    unshared: tuple[int, ...] = ()
    labels: int = 0

    def __post_init__(self) -> None:
        bands = self.bands
        wrong = len(set(bands)) != len(bands) or (bands and min(bands) < 0) or self.labels < 0
        if self.bands_in_file is not None:
            wrong = wrong or any(band >= self.bands_in_file for band in bands) or len(bands) >= self.bands_in_file
        if wrong:
            raise InvalidInputError(
                f"bands {bands} left out of {self.bands_in_file}, and {self.labels} labels; expected different bands "
                "of the file, at least one that is kept, and no negative count."
            )

    @property
    def bands(self) -> tuple[int, ...]:
        """All bands left out."""
        return tuple(sorted((*self.empty, *self.bad, *self.unshared)))

    @property
    def kept(self) -> NDArray[np.intp] | None:
        """(C,) which bands of the file the cube has; None where it was resampled."""
        if self.bands_in_file is None:
            return None
        return np.setdiff1d(np.arange(self.bands_in_file), self.bands)

    def resampled(self) -> Self:
        """The same, of a cube whose bands were computed from the file's."""
        return replace(self, bands_in_file=None)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build it from what ``dataclasses.asdict`` gave, by way of JSON."""
        restored: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**restored)


def without_label_count(left_out: LeftOut | None) -> LeftOut | None:
    """The same for other labels than those that were counted, or for other pixels."""
    return None if left_out is None else replace(left_out, labels=0)


class _HasCube(Protocol):
    """What :func:`describe_missing` reads of a scene."""

    @property
    def name(self) -> str: ...

    @property
    def measured(self) -> NDArray[np.bool_]: ...

    @property
    def left_out(self) -> LeftOut | None: ...


def measured_pixels(cube: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which pixels are measured: those that are not zero in every band.

    Args:
        cube: (..., C), not normalized.

    Returns:
        (...) True where a pixel is measured.
    """
    return np.asarray(cube.any(axis=-1))


def describe_missing(scene: _HasCube) -> list[str]:
    """What of a scene's file is not in its cube, and how many of its pixels are unmeasured, one line each.

    Args:
        scene: Any scene; its cube is read once.

    Returns:
        Lines that name the scene; none where nothing is missing.
    """
    left_out, lines = scene.left_out, []
    if left_out is not None:
        whole = "" if left_out.bands_in_file is None else f" of {left_out.bands_in_file}"
        for bands, why in ((left_out.empty, "empty"), (left_out.bad, "marked as bad in the file")):
            if bands:
                noun = "band" if len(bands) == 1 and not whole else "bands"
                lines.append(f"{scene.name}: {len(bands)}{whole} {noun} left out, {why}: {as_ranges(bands)}")
    measured = scene.measured
    if unmeasured := int((~measured).sum()):
        labels = 0 if left_out is None else left_out.labels
        lost = f"; {labels} of them had a label, which is not used" if labels else ""
        lines.append(f"{scene.name}: {unmeasured} of {measured.size} pixels are unmeasured, and are 0 in maps{lost}")
    return lines


def as_ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers in a few words: ``3, 16-19, 25``."""
    ordered = np.unique(np.asarray(numbers))
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
