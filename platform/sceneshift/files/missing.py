"""Values that a file says are missing: whole bands are left out of the cube, and pixels become unmeasured.

A number is missing where it is the file's value for missing data, is NaN or infinite, or is where the file's own
mask (an alpha band, an internal mask or a ``.msk`` file) says so.

- A band without a single value, or with no value but zeros, is empty and left out; so is one that the file marks as bad
  (ENVI's ``bbl``).
- A pixel that lacks a number in some band that is kept is unmeasured as a whole: it becomes zero in every band.

Shape letters: H rows, W columns, C bands that are kept, D bands of the file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.files.formats.description import Description
from sceneshift.scenes.measured import LeftOut, as_ranges, measured_pixels

#: Numbers checked at once.
_BLOCK = 2**20

#: Beyond this a float is not a measurement, and its text in a header may be rounded: what is near is the same.
_HUGE, _NEAR = 1e30, 1e-4

#: Numbers that programs fill in where nothing was measured, in addition to negative ones.
_FILLS = (9999.0, 32767.0, 65535.0, 1e20)

#: With fewer bands, two pixels may well have the same number in all of them.
_FEWEST_BANDS = 4

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadCube:
    """A cube without its missing values.

    Args:
        cube: (H, W, C) float32; unmeasured pixels are zero in every band.
        left_out: Which bands of the file it lacks; None where it has all.
        bands_in_file: D, of the file that was read.
        kept: (C,) which of them it has.
    """

    cube: NDArray[np.float32]
    left_out: LeftOut | None
    bands_in_file: int
    kept: NDArray[np.intp]

    def of_kept(self, values: Sequence[Value] | None) -> tuple[Value, ...] | None:
        """Of values per band of the file, those of the bands that are kept; any other number passes as it is."""
        if values is None or len(values) != self.bands_in_file:
            return None if values is None else tuple(values)
        return tuple(values[band] for band in self.kept)


def leave_out_missing(
    values: NDArray[np.generic],
    described: Description,
    *,
    where: str,
    mask: NDArray[np.bool_] | None = None,
) -> ReadCube:
    """Leave out a cube's empty and bad bands, and make the pixels unmeasured that lack a value in another.

    Args:
        values: (H, W, D) the file's numbers, of any real type, before they are scaled.
        described: What the file says of missing values and bad bands.
        where: The file, for messages.
        mask: (H, W) or (H, W, D) False where the file's own mask says that nothing was measured.

    Raises:
        InvalidInputError: The list of bad bands has another length, no band is left, or no pixel has a value in all
            bands that are left.
    """
    bands = values.shape[2]
    ignored = _ignored_values(described, values.dtype, bands)
    num_values, anything = np.zeros(bands, dtype=np.int64), np.zeros(bands, dtype=bool)
    for rows in _parts(values):
        valid = _valid(values[rows], ignored, None if mask is None else mask[rows])
        num_values += valid.sum(axis=(0, 1))
        anything |= ((values[rows] != 0) & valid).any(axis=(0, 1))
    empty = (num_values == 0) | ~anything
    good = _good_bands(described, bands, where)
    kept = np.flatnonzero(~empty & good)
    if len(kept) == 0:
        raise InvalidInputError(
            f"{where}: none of {bands} bands is left, {int(empty.sum())} hold no value and {int((~good).sum())} are "
            "marked as bad; expected some with values. Is it the right file, and its value for missing data right?"
        )
    # A float64 beyond float32 becomes infinity, which the scene rejects.
    with np.errstate(over="ignore"):
        cube = np.ascontiguousarray(values if len(kept) == bands else values[..., kept], dtype=np.float32)
    if np.shares_memory(cube, values):
        cube = cube.copy()
    lacking = np.zeros(len(kept), dtype=np.int64)
    for rows in _parts(values):
        valid = _valid(values[rows], ignored, None if mask is None else mask[rows])[..., kept]
        if not valid.all():
            lacking += (~valid).sum(axis=(0, 1))
            cube[rows][~valid.all(axis=2)] = 0
    if not cube.any():
        most = int(kept[lacking.argmax()])
        raise InvalidInputError(
            f"{where}: no pixel has a value in all of {len(kept)} bands; band {most} lacks most, "
            f"{int(lacking.max())} of {cube.shape[0] * cube.shape[1]}. Mark the bands that lack values as bad (`bbl` "
            "in an ENVI header), or correct the value for missing data."
        )
    left_out = described.left_out
    if len(kept) < bands:
        empty_bands, bad_bands = (tuple(np.flatnonzero(which).tolist()) for which in (empty, ~empty & ~good))
        left_out = _together(left_out, empty=empty_bands, bad=bad_bands, bands=bands)
    return ReadCube(cube=cube, left_out=left_out, bands_in_file=bands, kept=kept)


def describe_undeclared(cube: NDArray[np.float32]) -> str | None:
    """What looks like missing data that a file doesn't declare: the same odd number in every band of some pixels.

    Args:
        cube: (H, W, C) without the missing data that the file declares.

    Returns:
        A line for the user; None where nothing looks so.
    """
    if cube.shape[2] < _FEWEST_BANDS:
        return None
    for value in (float(cube.min()), float(cube.max())):
        if value < 0 or value in _FILLS:
            count = sum(int((cube[rows] == np.float32(value)).all(axis=2).sum()) for rows in _parts(cube))
            if count > 1:
                return (
                    f"{count} pixels are {value:g} in every band, and the file doesn't call that missing: they are "
                    "taken as measured. If they are not, declare the value in the file (`data ignore value`, nodata), "
                    "or set them to NaN"
                )
    return None


def describe_values(values: NDArray[np.generic], described: Description, mask: NDArray[np.bool_] | None) -> list[str]:
    """What is missing from a cube in a file, one line each, or why it can't be used; empty where nothing is.

    Args:
        values: (H, W, D).
        described: What the file says.
        mask: As for :func:`leave_out_missing`.
    """
    lines: list[str] = []
    try:
        read = leave_out_missing(values, described, where="can't be imported", mask=mask)
    except InvalidInputError as error:
        return [str(error)]
    if read.left_out is not None:
        for bands, why in ((read.left_out.empty, "empty"), (read.left_out.bad, "marked as bad")):
            if bands:
                lines.append(f"{len(bands)} {'band' if len(bands) == 1 else 'bands'} {why}: {as_ranges(bands)}")
    if (undeclared := describe_undeclared(read.cube)) is not None:
        lines.append(undeclared)
    measured = measured_pixels(read.cube)
    if unmeasured := int((~measured).sum()):
        lines.append(f"{unmeasured} of {measured.size} pixels unmeasured")
    return lines


def valid_pixels(
    values: NDArray[np.generic], described: Description, mask: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """(H, W) which numbers of a single band are not missing data.

    Args:
        values: (H, W).
        described: What the file says.
        mask: (H, W), or (H, W, 1), as for :func:`leave_out_missing`.
    """
    return _valid(values[..., None], _ignored_values(described, values.dtype, 1), mask)[..., 0]


def _parts(values: NDArray[np.generic]) -> Iterator[slice]:
    step = max(1, _BLOCK * len(values) // max(1, values.size))
    return (slice(start, start + step) for start in range(0, len(values), step))


def _ignored_values(described: Description, dtype: "np.dtype[np.generic]", bands: int) -> NDArray[np.float64]:
    """(D,) the value that means missing in each band; NaN, which is missing anyway, where there is none."""
    by_band = described.ignore_values or (described.ignore_value,) * bands
    ignored = np.array([np.nan if value is None else value for value in by_band], dtype=np.float64)
    if dtype.kind in "iu":  # a value that the type can't hold, such as -9999 in uint16, is nowhere
        limits = np.iinfo(dtype.type)  # type: ignore[type-var]  # an integer's
        ignored[(ignored != np.floor(ignored)) | (ignored < limits.min) | (ignored > limits.max)] = np.nan
    return ignored


def _valid(
    block: NDArray[np.generic], ignored: NDArray[np.float64], mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """(h, W, D) which numbers are values."""
    valid = np.ones(block.shape, dtype=bool)
    if block.dtype.kind == "f":
        np.isfinite(block, out=valid)
    for value in np.unique(ignored[~np.isnan(ignored)]):
        of_value = ignored == value
        if block.dtype.kind == "f" and abs(value) >= _HUGE:
            missing = np.isclose(block.astype(np.float64), value, rtol=_NEAR, atol=0)
        else:
            with np.errstate(over="ignore"):
                missing = block == np.asarray(value).astype(block.dtype)
        valid &= ~(missing & of_value)
    if mask is not None:
        valid &= mask if mask.ndim == 3 else mask[..., None]
    return valid


def _good_bands(described: Description, bands: int, where: str) -> NDArray[np.bool_]:
    if described.good_bands is None:
        return np.ones(bands, dtype=bool)
    if len(described.good_bands) != bands:
        raise InvalidInputError(
            f"{where}: a list of bad bands (bbl) of {len(described.good_bands)} entries for {bands} bands; expected "
            "one for each. Write 0 for a bad band and 1 for every other, or remove the list (the entry `bbl` of an "
            "ENVI header) to use all bands."
        )
    return np.array(described.good_bands, dtype=bool)


def _together(earlier: LeftOut | None, *, empty: tuple[int, ...], bad: tuple[int, ...], bands: int) -> LeftOut:
    """What an exported scene says was left out before, and what is left out now, as bands of the first file."""
    places = None if earlier is None else earlier.kept
    if earlier is None or places is None or len(places) != bands:
        labels = 0 if earlier is None else earlier.labels
        return LeftOut(bands_in_file=bands, empty=empty, bad=bad, labels=labels)
    return replace(
        earlier,
        empty=tuple(sorted((*earlier.empty, *places[list(empty)].tolist()))),
        bad=tuple(sorted((*earlier.bad, *places[list(bad)].tolist()))),
    )
