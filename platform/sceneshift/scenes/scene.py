"""A hyperspectral scene, with and without labels.

Shape letters: H rows, W columns, C bands, K classes.
"""

import base64
import hashlib
import math
import zlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.mapped_arrays import dereference, is_checked_cube, is_stored, reference_to
from sceneshift.scenes.measured import LeftOut, measured_pixels, without_label_count


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Which pixels of which acquisition a scene covers: rows and columns of the parent image, half open.

    Two scenes share a pixel when they come from one parent and their rectangles meet, in a pixel of both masks if they
    have some. ``parent`` names the acquisition (one flight, one overpass); scenes of one parent are one scene for
    statistics.

    Args:
        parent: The acquisition.
        rows: First row, and the one after the last.
        columns: First column, and the one after the last.
        mask: Which pixels of the rectangle the scene covers, as text (:func:`mask_as_text`); None for all.
    """

    parent: str
    rows: tuple[int, int]
    columns: tuple[int, int]
    mask: str | None = None

    def __post_init__(self) -> None:
        for axis, (start, stop) in (("rows", self.rows), ("columns", self.columns)):
            if not 0 <= start < stop:
                raise InvalidInputError(
                    f"footprint of {self.parent!r}: {axis} = ({start}, {stop}); expected 0 <= start < stop."
                )

    def overlaps(self, other: "Footprint") -> bool:
        """Whether the two footprints share at least one pixel."""
        rows = max(self.rows[0], other.rows[0]), min(self.rows[1], other.rows[1])
        columns = max(self.columns[0], other.columns[0]), min(self.columns[1], other.columns[1])
        if self.parent != other.parent or rows[0] >= rows[1] or columns[0] >= columns[1]:
            return False
        return bool((self._covered(rows, columns) & other._covered(rows, columns)).any())

    def _covered(self, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.bool_]:
        """Which pixels of a rectangle within this one are covered."""
        if self.mask is None:
            return np.ones((1, 1), dtype=bool)
        whole = mask_from_text(self.mask, (self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]))
        top, left = self.rows[0], self.columns[0]
        return whole[rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]


def mask_as_text(mask: NDArray[np.bool_]) -> str:
    """An (H, W) mask as compressed text, for a footprint."""
    return base64.b64encode(zlib.compress(np.packbits(mask).tobytes(), 9)).decode()


def mask_from_text(text: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The (H, W) mask that :func:`mask_as_text` wrote.

    Raises:
        InvalidInputError: The text is something else, or a mask of another shape.
    """
    try:
        # No more than the mask takes: a damaged file may claim to hold anything.
        packed = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), shape[0] * shape[1] // 8 + 2)
        bits = np.frombuffer(packed, dtype=np.uint8)
        if len(bits) != -(-shape[0] * shape[1] // 8):
            raise ValueError(f"{len(bits)} bytes for {shape[0]} x {shape[1]} pixels")
    except (ValueError, zlib.error) as error:
        raise InvalidInputError(f"the mask of a footprint is broken ({error}); write the file again.") from error
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).astype(bool)


@dataclass(frozen=True, kw_only=True)
class Georeference:
    """Location of a scene on the ground.

    Args:
        transform: (a, b, c, d, e, f): the pixel corner (column, row) is at x = a * column + b * row + c and
            y = d * column + e * row + f, in the reference system's unit; the order of rasterio's ``Affine``.
        crs: The coordinate reference system, as ``EPSG:32616`` or as well-known text; None where it is unknown.

    Raises:
        InvalidInputError: The transform is no six finite numbers, or maps the plane onto a line.
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str | None = None

    def __post_init__(self) -> None:
        values = tuple(float(value) + 0.0 for value in self.transform)  # -0.0 becomes 0.0
        if len(values) != 6 or not all(map(math.isfinite, values)) or values[0] * values[4] == values[1] * values[3]:
            raise InvalidInputError(
                f"georeference: transform {values}; expected six finite numbers (a, b, c, d, e, f) with pixels of some "
                "area."
            )
        object.__setattr__(self, "transform", values)


@dataclass(frozen=True, kw_only=True, eq=False)
class UnlabelledScene:
    """A scene as something that trains may see a target: the cube, and no field that could hold a label.

    Args:
        name: The scene's name.
        cube: (H, W, C) float32, finite; a pixel that is zero in every band is unmeasured. The scene holds a read-only
            view, no copy: a cube may be larger than memory.
            One that is in a stored scene's file was checked when it was written, can't have changed, and is not
            looked through again (:mod:`sceneshift.scenes.mapped_arrays`).
        wavelengths_nm: (C,) band centres in nanometres, or None where they are unknown.
        footprint: Where the pixels come from; by default a separate acquisition.
        normalization: Names of the steps the file itself has been through, in order. What a network trains on is
            normalized later, by its configuration (:mod:`sceneshift.scenes.normalization`).
        georeference: Where it is on the ground, or None where that is unknown.
        unit: Unit of the cube's values, such as ``reflectance``; None if it is unknown. It is not part
            of the hashes, which are of the numbers.
        left_out: What of the scene's file is not in the cube; None where nothing was left out.

    Raises:
        InvalidInputError: The cube has another shape, another type, NaN or infinity, the wavelengths or what was left
            out don't fit its bands, or the unit is blank.
    """

    name: str
    cube: NDArray[np.float32]
    wavelengths_nm: NDArray[np.float64] | None = None
    footprint: Footprint = field(default=None)  # type: ignore[assignment]  # filled in below
    normalization: tuple[str, ...] = ()
    georeference: Georeference | None = None
    unit: str | None = None
    left_out: LeftOut | None = None

    def __post_init__(self) -> None:
        if self.unit is not None:
            check_unit(self.unit, where=f"scene {self.name!r}")
        cube = self.cube
        if not isinstance(cube, np.ndarray) or cube.ndim != 3 or 0 in cube.shape:
            got = f"an array of shape {cube.shape}" if isinstance(cube, np.ndarray) else type(cube).__name__
            raise InvalidInputError(f"scene {self.name!r}: expected a cube (rows, columns, bands), got {got}.")
        if cube.dtype != np.float32:
            raise InvalidInputError(
                f"scene {self.name!r}: expected a float32 cube, got {cube.dtype}; "
                "convert it with cube.astype(numpy.float32)."
            )
        if not is_checked_cube(cube) and not np.isfinite(cube).all():
            bad = np.flatnonzero(~np.isfinite(cube).all(axis=(0, 1)))
            raise InvalidInputError(
                f"scene {self.name!r}: NaN or infinity in {len(bad)} of {cube.shape[2]} bands (the first: "
                f"{bad[0]}); mask those pixels (zeros in every band) or leave the bands out."
            )
        object.__setattr__(self, "cube", _read_only(cube))
        if self.wavelengths_nm is not None:
            wavelengths = np.asarray(self.wavelengths_nm, dtype=np.float64)
            if wavelengths.shape != (cube.shape[2],):
                raise InvalidInputError(
                    f"scene {self.name!r}: {wavelengths.size} wavelengths for {cube.shape[2]} bands."
                )
            object.__setattr__(self, "wavelengths_nm", _read_only(wavelengths))
        if self.footprint is None:
            own = Footprint(parent=self.name, rows=(0, cube.shape[0]), columns=(0, cube.shape[1]))
            object.__setattr__(self, "footprint", own)
        rows, columns = self.footprint.rows, self.footprint.columns
        if (rows[1] - rows[0], columns[1] - columns[0]) != cube.shape[:2]:
            raise InvalidInputError(
                f"scene {self.name!r}: footprint {rows} x {columns} does not have the cube's "
                f"{cube.shape[0]} x {cube.shape[1]} pixels."
            )
        kept = None if self.left_out is None else self.left_out.kept
        if kept is not None and len(kept) != cube.shape[2]:
            raise InvalidInputError(
                f"scene {self.name!r}: {len(kept)} bands of the file are declared as kept, and the cube has "
                f"{cube.shape[2]}; pass the left_out that fits, or None."
            )

    def __getstate__(self) -> dict[str, Any]:
        """For a pickle: arrays that are in a stored scene's file, which is still there, go as their place in it."""
        arrays = {name: reference_to(value) for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return vars(self) | {name: reference for name, reference in arrays.items() if reference is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        found = dereference(state)
        vars(self).update(
            {k: _read_only(value) if isinstance(value, np.ndarray) else value for k, value in found.items()}
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.cube.shape[0], self.cube.shape[1]

    @property
    def num_bands(self) -> int:
        """C."""
        return int(self.cube.shape[2])

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """(H, W) which pixels are measured: those that are not zero in every band. The cube is read once for it."""
        return _read_only(measured_pixels(self.cube))

    @property
    def cube_hash(self) -> str:
        """SHA-256 over the cube and its normalization, as 16 hexadecimal digits."""
        digest = hashlib.sha256(repr((self.cube.shape, self.normalization)).encode())
        for row in self.cube:  # row by row: the bytes of the whole cube would be a copy
            digest.update(np.ascontiguousarray(row).data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene(UnlabelledScene):
    """A scene with its label map.

    Args:
        name: The scene's name.
        cube: (H, W, C) float32, finite.
        wavelengths_nm: (C,) or None.
        footprint: Where the pixels come from.
        normalization: Names of the steps the file itself has been through.
        georeference: Where it is on the ground, or None.
        unit: What the cube's numbers are, or None.
        left_out: What of the scene's file is not in the cube, or None.
        labels: (H, W) integers, 0 = unlabelled, k = ``class_names[k - 1]``. Labels of unmeasured pixels become 0, which
            ``left_out`` counts.
        class_names: The K class names, distinct, K >= 2.

    Raises:
        InvalidInputError: As for :class:`UnlabelledScene`; or the labels have another shape, are no integers or
            are outside 0..K; or the class names repeat.
    """

    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        labels = np.asarray(self.labels)
        if labels.shape != self.shape:
            raise InvalidInputError(
                f"scene {self.name!r}: label map of shape {labels.shape} for a cube of {self.shape} pixels."
            )
        if labels.dtype.kind not in "iu":
            raise InvalidInputError(f"scene {self.name!r}: expected integer labels, got {labels.dtype}.")
        names = tuple(self.class_names)
        if len(names) < 2 or len(set(names)) != len(names):
            raise InvalidInputError(f"scene {self.name!r}: expected at least two distinct class names, got {names}.")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high > len(names):
            raise InvalidInputError(
                f"scene {self.name!r}: labels run from {low} to {high}; expected 0 (unlabelled) to {len(names)}."
            )
        object.__setattr__(self, "labels", _read_only(self._of_measured_pixels(labels)))
        object.__setattr__(self, "class_names", names)

    def _of_measured_pixels(self, labels: NDArray[np.integer]) -> NDArray[np.int64]:
        """The labels without those of unmeasured pixels, which are counted in ``left_out``."""
        # Both from a stored file: checked when they are loaded to be used, so that opening reads no pixel.
        if is_stored(labels) and is_checked_cube(self.cube):
            return np.asarray(labels, dtype=np.int64)
        own = labels.astype(np.int64)
        if lost := int((own[~self.measured] > 0).sum()):
            own[~self.measured] = 0
            left_out = self.left_out or LeftOut(bands_in_file=self.num_bands)
            object.__setattr__(self, "left_out", replace(left_out, labels=left_out.labels + lost))
        return own

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """(K,) labelled pixels per class."""
        return np.bincount(self.labels.ravel(), minlength=self.num_classes + 1)[1:]

    @property
    def content_hash(self) -> str:
        """SHA-256 over cube, labels and class names, as 16 hexadecimal digits."""
        digest = hashlib.sha256(repr((self.cube.shape, self.class_names, self.normalization)).encode())
        for row in self.cube:  # row by row: the bytes of the whole cube would be a copy
            digest.update(np.ascontiguousarray(row).data)
        digest.update(self.labels.tobytes())
        return digest.hexdigest()[:16]

    def without_labels(self) -> UnlabelledScene:
        """The same scene, its labels left behind."""
        return UnlabelledScene(
            name=self.name,
            cube=self.cube,
            wavelengths_nm=self.wavelengths_nm,
            footprint=self.footprint,
            normalization=self.normalization,
            georeference=self.georeference,
            unit=self.unit,
            # How many labels were lost is something about labels.
            left_out=without_label_count(self.left_out),
        )

    def without_unmeasured_labels(self) -> "Scene":
        """The same scene where no unmeasured pixel has a label; a stored one of an earlier version may have some."""
        if not (self.labels[~self.measured] > 0).any():
            return self
        return replace(self, labels=np.array(self.labels))


SceneT = TypeVar("SceneT", bound=UnlabelledScene)


def renamed(scene: SceneT, name: str) -> SceneT:
    """The same scene under another name; a whole scene that is its own acquisition takes that along."""
    footprint = scene.footprint
    if footprint.parent == scene.name and footprint.rows[0] == footprint.columns[0] == 0:
        footprint = replace(footprint, parent=name)
    return replace(scene, name=name, footprint=footprint)


def check_unit(unit: str, *, where: str) -> None:
    """Reject a unit that is not a few words in one line.

    Args:
        unit: What numbers are.
        where: What states it, for the message.

    Raises:
        InvalidInputError: It is not text, blank, or longer than a line.
    """
    if not isinstance(unit, str) or not unit.strip() or not unit.isprintable():
        raise InvalidInputError(
            f"{where}: got the unit {unit!r}; expected a few words in one line. Write what the numbers are, such as "
            "'reflectance'."
        )


def refuse_second_scale(scale: float, stated: str | None, *, where: str) -> None:
    """Reject a scale for values whose file states their unit, as they would be divided twice.

    Args:
        scale: What they are to be divided by.
        stated: The unit the file states.
        where: The file.

    Raises:
        InvalidInputError: The file states a unit, and the scale isn't 1.
    """
    if stated is not None and scale != 1:
        raise InvalidInputError(
            f"{where}: got scale = {scale:g}, and the file says its numbers are {stated!r} already; expected no scale. "
            "Leave it out."
        )


def scaled(cube: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Divide a file's numbers by a scale.

    Args:
        cube: (..., C).
        scale: The divisor, above 0; 10000 makes reflectance of reflectance times 10,000.

    Returns:
        (..., C) float32; the cube itself where the scale is 1.
    """
    if scale == 1:
        return cube
    with np.errstate(over="ignore"):  # the scene rejects values that become infinity
        return cube / np.float32(scale)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.setflags(write=False)
    return view
