"""Whether two rasters are on the same pixels of the ground, and which pixels they share if they do not.

Where two files of one place meet (a cube and its label map, a scene and a mask), they are matched pixel by pixel, so
their georeferences must agree: the same coordinate reference system, however it is written, and the same pixel grid,
every corner of one raster within :data:`TOLERANCE` pixels of a corner of the other's grid. Rasters that are some whole
pixels apart can be cut to the pixels that both have; any others must be resampled first, which is not done here.

Shape letters: H rows, W columns.
"""

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, MissingPackageError
from sceneshift.files.arrays import read_description
from sceneshift.files.formats.description import Description
from sceneshift.files.formats.gdal_image import crs_from_text, open_image, read_georeference
from sceneshift.safe_files import existing, guarded
from sceneshift.scenes.scene import Footprint, Georeference, UnlabelledScene, mask_as_text, mask_from_text

_log = logging.getLogger(__name__)

#: How far apart two corners may be and still be the same, in pixels. Rounded headers are off by a thousandth; a file
#: that means the centre of a pixel by what another means its corner is off by a half.
TOLERANCE = 0.05

#: What to do about rasters that are whole pixels apart, on the command line and in a catalogue.
HOW_TO_CUT = "--cut-to-overlap (for a scene in a TOML catalogue: cut_to_overlap = true)"

#: Rows and columns of a raster.
Window = tuple[slice, slice]


@dataclass(frozen=True, kw_only=True)
class Raster:
    """Where the pixels of a file are.

    Args:
        what: What it is, for messages, such as ``label map field.tif``.
        shape: (H, W).
        georeference: Its place on the ground, or None where the file doesn't say.
    """

    what: str
    shape: tuple[int, int]
    georeference: Georeference | None

    @classmethod
    def of_scene(cls, scene: UnlabelledScene) -> "Raster":
        """The pixels of a scene."""
        return cls(what=f"scene {scene.name!r}", shape=scene.shape, georeference=scene.georeference)


def georeference_of(path: str | Path, described: Description | None = None) -> Georeference | None:
    """Read the georeference of a file, without its numbers; None if it has none.

    Args:
        path: An array, an image or a label map. A ``.png`` has its location in a world file next to it.
        described: The file's metadata, where they were read already; reading them twice reports odd keys twice.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: The file can't be read.
    """
    if Path(path).suffix.lower() != ".png":
        return (described or read_description(path)).georeference

    def by_gdal(location: Path) -> Georeference | None:
        with open_image(location, "PNG") as file:
            return read_georeference(file)

    try:
        return guarded(existing(path, (".png",)), by_gdal)
    except MissingPackageError:  # pictures are read without it
        return None


def shared_pixels(first: Raster, second: Raster, *, cut_to_overlap: bool) -> tuple[Window, Window]:
    """Find the pixels of two rasters that show the same ground.

    A raster without a georeference is taken as lying where the other does; if only one has none, or only one has no
    coordinate reference system, that is reported. Their shapes are then the caller's to compare.

    Args:
        first: One raster.
        second: The other.
        cut_to_overlap: Accept rasters that are whole pixels apart or of different sizes, and share a part.

    Returns:
        The same ground in the pixels of each: all of both, unless they are cut.

    Raises:
        InvalidInputError: The reference systems differ, the pixel grids do, or the rasters cover different pixels of
            one grid and are not to be cut, or share none.
        MissingPackageError: The reference systems are written differently, and the extra ``geo`` is not installed.
    """
    one, other = first.georeference, second.georeference
    if one is None or other is None:
        if one is not other:
            placed, silent = (second, first) if one is None else (first, second)
            _log.warning(
                "%s doesn't say where it is, %s does (%s): taken as the same place",
                silent.what,
                placed.what,
                _described(placed),
            )
        return _whole(first), _whole(second)
    if not _same_crs(first, second):
        why = "their coordinate reference systems differ"
        if _crs_name(str(one.crs)) == _crs_name(str(other.crs)):  # one name, two definitions
            why += f" ({one.crs}; {other.crs})"
        raise _elsewhere(first, second, why, "Reproject one to the other's first (`gdalwarp -t_srs`).")
    corners = _corners_within(one, other, second.shape)
    if not np.isfinite(corners).all():  # pixels so thin that their place among the other's is undefined
        raise _elsewhere(first, second, "their pixels differ in size or direction", "Correct the georeference.")
    column, row = (round(float(value)) for value in corners[0])
    if np.abs(corners - _corners(second.shape) - np.array([column, row])).max() > TOLERANCE:
        raise _off_grid(first, second, corners)
    if (row, column) == (0, 0) and first.shape == second.shape:
        return _whole(first), _whole(second)
    spans = [
        (max(0, start), min(size, start + length))
        for start, length, size in zip((row, column), second.shape, first.shape, strict=True)
    ]
    if any(start >= stop for start, stop in spans):
        raise _elsewhere(first, second, "they share no pixel", "Name the file of this place.")
    if not cut_to_overlap:
        shared = " x ".join(str(stop - start) for start, stop in spans)
        raise _elsewhere(
            first,
            second,
            f"the second begins {row} rows and {column} columns from the first",
            f"Name the file of this place, or keep the {shared} pixels that both cover by {HOW_TO_CUT}.",
        )
    rows, columns = (slice(start, stop) for start, stop in spans)
    return (rows, columns), (_moved(rows, -row), _moved(columns, -column))


def place_labels(
    labels: NDArray[np.int64], place: Georeference | None, *, what: str, on: UnlabelledScene, cut_to_overlap: bool
) -> NDArray[np.int64]:
    """Bring a label map or a mask to the pixels of a scene, which stays as it is.

    Args:
        labels: (H, W) class numbers.
        place: Where they are.
        what: What they are, for messages.
        on: The scene.
        cut_to_overlap: As for :func:`shared_pixels`; the scene's pixels beyond the map then have no label.

    Returns:
        The labels; of the scene's shape if both are georeferenced.

    Raises:
        InvalidInputError: As for :func:`shared_pixels`.
        MissingPackageError: As for :func:`shared_pixels`.
    """
    shape = (labels.shape[0], labels.shape[1])
    of_scene, of_map = shared_pixels(
        Raster.of_scene(on), Raster(what=what, shape=shape, georeference=place), cut_to_overlap=cut_to_overlap
    )
    if place is None or on.georeference is None or of_map == _whole_of(shape) == of_scene:
        return labels
    placed = np.zeros(on.shape, dtype=np.int64)
    placed[of_scene] = labels[of_map]
    return placed


def cut_georeference(georeference: Georeference | None, window: Window) -> Georeference | None:
    """Georeference of a part of a raster.

    Args:
        georeference: Location of the whole raster.
        window: The part.
    """
    if georeference is None:
        return None
    a, b, c, d, e, f = georeference.transform
    row, column = (part.start for part in window)
    return replace(georeference, transform=(a, b, c + a * column + b * row, d, e, f + d * column + e * row))


def cut_footprint(footprint: Footprint, window: Window) -> Footprint:
    """Which pixels of its acquisition a part of a scene is.

    Args:
        footprint: Of the whole scene.
        window: The part.
    """
    (top, bottom), (left, right) = footprint.rows, footprint.columns
    rows, columns = window
    mask = footprint.mask
    if mask is not None:
        mask = mask_as_text(mask_from_text(mask, (bottom - top, right - left))[window])
    return Footprint(
        parent=footprint.parent,
        rows=(top + rows.start, top + rows.stop),
        columns=(left + columns.start, left + columns.stop),
        mask=mask,
    )


def _whole(raster: Raster) -> Window:
    return _whole_of(raster.shape)


def _whole_of(shape: tuple[int, int]) -> Window:
    return slice(0, shape[0]), slice(0, shape[1])


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def _corners(shape: tuple[int, int]) -> NDArray[np.float64]:
    """(4, 2) columns and rows of a raster's corners."""
    height, width = shape
    return np.array([(0, 0), (width, 0), (0, height), (width, height)], dtype=np.float64)


def _corners_within(one: Georeference, other: Georeference, shape: tuple[int, int]) -> NDArray[np.float64]:
    """(4, 2) columns and rows of the other's corners, in the pixels of the one."""
    a, b, c, d, e, f = other.transform
    # Differences of coordinates first: coordinates of millions of metres would take the digits.
    x, y = one.transform[2], one.transform[5]
    ground = _corners(shape) @ np.array([[a, d], [b, e]]) + (c - x, f - y)
    within: NDArray[np.float64] = np.linalg.solve(
        np.array([[one.transform[0], one.transform[1]], [one.transform[3], one.transform[4]]]), ground.T
    ).T
    return within


def _same_crs(first: Raster, second: Raster) -> bool:
    assert first.georeference is not None
    assert second.georeference is not None
    one, other = first.georeference.crs, second.georeference.crs
    if one is None or other is None:
        if one != other:
            silent = first if one is None else second
            _log.warning(
                "%s states no coordinate reference system: taken as %s", silent.what, _crs_name(one or other or "")
            )
        return True
    if one == other:
        return True
    parsed, parsed_other = crs_from_text(one), crs_from_text(other)
    if parsed == parsed_other:
        return True
    # A system written with another order of axes, or with heights, has the same pixels. A datum must be named for that.
    short, short_other = parsed.to_proj4(), parsed_other.to_proj4()
    return bool("+datum=" in short and short == short_other)


def _off_grid(first: Raster, second: Raster, corners: NDArray[np.float64]) -> InvalidInputError:
    if np.abs(corners - _corners(second.shape) - corners[0]).max() <= TOLERANCE:
        column, row = (round(float(value), 6) + 0.0 for value in corners[0])  # -0.0 becomes 0.0
        why = f"the second begins {row:.6g} rows and {column:.6g} columns from the first, which is not a whole number"
    else:
        why = "their pixels differ in size or direction"
    return _elsewhere(
        first,
        second,
        why,
        "Resample one to the other's pixels first (a label map by nearest neighbour: `gdalwarp -r near`).",
    )


def _elsewhere(first: Raster, second: Raster, why: str, advice: str) -> InvalidInputError:
    return InvalidInputError(
        f"{first.what} and {second.what} are not on the same pixels: {why}. The first has {_described(first)}; the "
        f"second {_described(second)}; expected the same place to {TOLERANCE:g} of a pixel. {advice}"
    )


def _described(raster: Raster) -> str:
    assert raster.georeference is not None
    a, b, c, d, e, f = raster.georeference.transform
    if b == d == 0 and a > 0:
        turned = "north up" if e < 0 else "south up"
    else:
        turned = f"rotated by {math.degrees(math.atan2(d, a)):.6g}°" + (", mirrored" if a * e - b * d > 0 else "")
    crs = "no reference system" if raster.georeference.crs is None else _crs_name(raster.georeference.crs)
    height, width = raster.shape
    return (
        f"origin ({c:.12g}, {f:.12g}), pixel size {math.hypot(a, d):.9g} x {math.hypot(b, e):.9g}, {turned}, {crs}, "
        f"{height} x {width} pixels"
    )


def _crs_name(text: str) -> str:
    """A short name: of well-known text the first in quotes."""
    return text.split('"')[1] if "[" in text and text.count('"') > 1 else text
