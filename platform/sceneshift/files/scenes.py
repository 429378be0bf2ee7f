"""Whole scenes from files and to files, in the formats other programs read.

For a file to be opened again and again, or by many processes, see :mod:`sceneshift.files.arrow_scenes`.

Shape letters: H rows, W columns, C bands, K classes.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, NoClassNamesError, nearest_name
from sceneshift.files.arrays import (
    array_shapes,
    holds_label_map,
    read_array,
    read_classes,
    read_description,
    read_mask,
)
from sceneshift.files.formats.description import Description
from sceneshift.files.formats.envi import Envi
from sceneshift.files.formats.file_format import CUBE, LABELS, FileFormat
from sceneshift.files.formats.geotiff import GeoTiff
from sceneshift.files.formats.matlab import Matlab
from sceneshift.files.formats.numpy_files import Npz
from sceneshift.files.inside import split_inside
from sceneshift.files.missing import ReadCube, describe_undeclared, leave_out_missing
from sceneshift.files.places import Raster, cut_footprint, cut_georeference, georeference_of, shared_pixels
from sceneshift.safe_files import guarded, writable
from sceneshift.scenes.measured import measured_pixels, without_label_count
from sceneshift.scenes.scene import (
    Footprint,
    Georeference,
    Scene,
    UnlabelledScene,
    refuse_second_scale,
    scaled,
)

_log = logging.getLogger(__name__)

#: What scenes and label maps can be written as.
FORMATS: dict[str, FileFormat] = {
    "npz": Npz(),
    "mat": Matlab(hdf5=False),
    "mat73": Matlab(hdf5=True),
    "envi": Envi(),
    "geotiff": GeoTiff(),
}


def read_scene(
    path: str | Path,
    *,
    labels: str | Path | None = None,
    name: str | None = None,
    class_names: tuple[str, ...] | None = None,
    cube_variable: str | None = None,
    labels_variable: str | None = None,
    label_values: tuple[int, ...] | None = None,
    unlabelled_values: tuple[int, ...] = (),
    wavelengths_nm: tuple[float, ...] | None = None,
    acquisition: str | None = None,
    scale: float = 1.0,
    unit: str | None = None,
    cut_to_overlap: bool = False,
) -> Scene:
    """Read a scene with its label map.

    Where cube and label map are two georeferenced files, they must be on the same pixels
    (:mod:`sceneshift.files.places`).

    Empty bands and those the file marks as bad are left out; pixels that lack a value in another band are unmeasured,
    which means zeros without a label (:mod:`sceneshift.files.missing`); ``left_out`` and ``measured`` say so. Numbers
    come as values: a scale that the file declares is applied (:mod:`sceneshift.files.formats.stored_values`).

    Args:
        path: The file with the cube (H, W, C), or ``FILE:NAME`` (:mod:`sceneshift.files.inside`).
        labels: The file with the label map (H, W), or ``FILE:NAME``; by default the cube's file.
        name: The scene's name; by default what the file says, else the file's own name.
        class_names: The K classes in the order of the numbers 1..K; by default what the files say.
        cube_variable: The cube's name in its file; by default ``cube``, else the only array of three dimensions.
        labels_variable: The map's name in its file; by default ``labels``, else the only array of two dimensions.
        label_values: (K,) the numbers the classes have in the map, where those are not 1..K; 0 may be one of them.
        unlabelled_values: Numbers in the map that mean unlabelled, in addition to 0, unless that is a class, and to
            what the file calls missing (:func:`sceneshift.files.arrays.read_classes`).
        wavelengths_nm: Band centres, one for each band of the file or for each that is kept; by default what the file
            says.
        acquisition: What the pixels were taken from, where the file doesn't say; by default the scene's name.
        scale: What the file's numbers are divided by; not more than once if the file declares the same scale.
        unit: What they are then; by default what the file says.
        cut_to_overlap: If the two files are whole pixels apart or differ in size, keep the pixels that both cover.

    Raises:
        MissingDataError: A file isn't there.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: A file can't be read, no class names are known, cube, labels, class names, numbers and
            wavelengths don't fit each other, cube and labels are at different places, a file that states its unit is
            to be scaled, or no band or no pixel has values.
    """
    read, described = _read_cube(path, cube_variable)
    cube = read.cube
    scale = _scale_left(scale, described, where=str(path))
    labels_path = split_inside(path)[0] if labels is None else Path(labels)
    if labels is None and not holds_label_map(labels_path):
        raise InvalidInputError(
            f"{path}: no label map is in the file; expected one, or the name of the file that has it (--labels; labels "
            "in a TOML catalogue). Without labels a scene can be imported, shown and mapped, but not trained on."
        )
    read_labels = read_classes(
        labels_path,
        _own_name(labels_path, labels_variable, LABELS),
        class_names=class_names or described.class_names,
        label_values=label_values,
        unlabelled_values=unlabelled_values,
    )
    label_map, names = read_labels.numbers, read_labels.class_names
    if names is None:
        num_classes = int(label_map.max())
        raise NoClassNamesError(
            f"{path}: the file holds no class names; expected {num_classes} of them: --class-names NAME …, in Python "
            "and TOML class_names. A cube alone needs none: name it as FILE:NAME where labels are in its file.",
            num_classes,
        )
    whole = (slice(0, cube.shape[0]), slice(0, cube.shape[1]))
    kept, labelled = whole, whole
    if labels is not None:
        height, width = label_map.shape
        place = georeference_of(labels_path, read_labels.described)
        kept, labelled = shared_pixels(
            Raster(what=f"cube {path}", shape=(cube.shape[0], cube.shape[1]), georeference=described.georeference),
            Raster(what=f"label map {labels_path}", shape=(height, width), georeference=place),
            cut_to_overlap=cut_to_overlap,
        )
        if kept != whole or labelled != (slice(0, height), slice(0, width)):
            cube, label_map = np.ascontiguousarray(cube[kept]), label_map[labelled]
    if label_map.shape != cube.shape[:2]:
        raise InvalidInputError(
            f"{path}: a cube of {cube.shape[:2]} pixels, and a label map of {label_map.shape} in {labels_path}; "
            f"expected the same. {_turned(cube.shape, label_map.shape)}"
        )
    centres = _centres(path, read, described, wavelengths_nm)
    scene_name = name or described.name or split_inside(path)[0].stem
    of_file = described.footprint or Footprint(
        parent=acquisition or scene_name, rows=(0, whole[0].stop), columns=(0, whole[1].stop)
    )
    if acquisition is not None:
        of_file = footprint_of(of_file, described.name, acquisition=acquisition)
    return Scene(
        name=scene_name,
        cube=scaled(cube, scale),
        labels=label_map,
        class_names=names,
        wavelengths_nm=None if centres is None else np.array(centres),
        normalization=described.normalization,
        footprint=cut_footprint(of_file, kept),
        georeference=cut_georeference(described.georeference, kept),
        unit=unit or described.unit,
        left_out=read.left_out if labels is None else without_label_count(read.left_out),
    )


def footprint_of(stated: Footprint, name: str | None, *, acquisition: str) -> Footprint:
    """The footprint of a scene whose file states one; a whole scene that only bears its own name says nothing by it.

    Args:
        stated: What the file states.
        name: The scene's name in the file.
        acquisition: The acquisition that a catalogue says it is of.
    """
    says_nothing = stated.parent == name and stated.rows[0] == stated.columns[0] == 0
    return replace(stated, parent=acquisition) if says_nothing else stated


def read_unlabelled_scene(
    path: str | Path,
    *,
    name: str | None = None,
    cube_variable: str | None = None,
    wavelengths_nm: tuple[float, ...] | None = None,
    scale: float = 1.0,
    unit: str | None = None,
) -> UnlabelledScene:
    """Read a scene as something to be mapped; labels in the file are not read, missing values are treated as there.

    Args:
        path: As for :func:`read_scene`.
        name: As for :func:`read_scene`.
        cube_variable: As for :func:`read_scene`.
        wavelengths_nm: As for :func:`read_scene`.
        scale: As for :func:`read_scene`.
        unit: As for :func:`read_scene`.

    Raises:
        MissingDataError: The file isn't there.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: The file can't be read, states its unit and is to be scaled, no band or no pixel has values,
            or there is not one wavelength for each band.
    """
    read, described = _read_cube(path, cube_variable)
    scale = _scale_left(scale, described, where=str(path))
    centres = _centres(path, read, described, wavelengths_nm)
    return UnlabelledScene(
        name=name or described.name or split_inside(path)[0].stem,
        cube=scaled(read.cube, scale),
        wavelengths_nm=None if centres is None else np.array(centres),
        normalization=described.normalization,
        footprint=described.footprint,  # type: ignore[arg-type]  # None: a separate acquisition
        georeference=described.georeference,
        unit=unit or described.unit,
        left_out=without_label_count(read.left_out),
    )


def export_scene(scene: UnlabelledScene, path: str | Path, format: str) -> None:
    """Write a scene so that :func:`read_scene` gives it back.

    ``npz``, ``mat`` (v5) and ``mat73`` (v7.3) hold everything in one file. ``envi`` and ``geotiff`` hold the cube, its
    wavelengths and georeference; the labels go to a separate file, by :func:`export_labels`. ENVI doesn't keep
    name, normalization, footprint and unit. Nothing half-written is ever at ``path``.

    Args:
        scene: The scene, with labels or without.
        path: The file; an existing one is replaced.
        format: One of :data:`FORMATS`.

    Raises:
        MissingDataError: The folder isn't there.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: The format is unknown or can't hold the scene, or the file can't be written.
    """
    writer = _writer(format)
    arrays: dict[str, NDArray[np.generic]] = {CUBE: scene.cube}
    if writer.holds_several and isinstance(scene, Scene):
        arrays[LABELS] = _small(scene.labels)
    elif not writer.holds_several and scene.num_bands == 1:
        raise InvalidInputError(
            f"scene {scene.name!r} has one band, which {format} doesn't distinguish from a label map; write npz or mat."
        )
    _write(writer, path, arrays, Description.of(scene))


def export_labels(
    labels: NDArray[np.integer],
    path: str | Path,
    format: str,
    *,
    class_names: tuple[str, ...] | None = None,
    class_colours: tuple[str, ...] | None = None,
    georeference: Georeference | None = None,
) -> None:
    """Write a label map, or a class map, so that :func:`sceneshift.files.arrays.read_label_map` gives it back.

    Args:
        labels: (H, W) class numbers, 0 = unlabelled.
        path: The file; an existing one is replaced.
        format: One of :data:`FORMATS`.
        class_names: What the numbers 1..K mean. Beside a GeoTIFF they go into a file that GDAL looks for.
        class_colours: The colours of 1..K, ``#rrggbb``; ENVI and GeoTIFF hold them.
        georeference: Location of the map on the ground.

    Raises:
        MissingDataError: The folder isn't there.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: These are not class numbers, the format is unknown, or the file can't be written.
    """
    if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise InvalidInputError(
            f"labels: an array of shape {labels.shape} and type {labels.dtype}; expected (rows, columns) of whole "
            "numbers >= 0."
        )
    if class_names is not None and int(labels.max()) > len(class_names):
        raise InvalidInputError(
            f"labels up to {labels.max()} for {len(class_names)} class names; expected one for each."
        )
    description = Description(class_names=class_names, class_colours=class_colours, georeference=georeference)
    _write(_writer(format), path, {LABELS: _small(labels)}, description)


def export_layers(
    layers: NDArray[np.floating],
    path: str | Path,
    format: str,
    *,
    names: tuple[str, ...],
    georeference: Georeference | None = None,
) -> None:
    """Write maps of numbers, such as class probabilities, as one image with a band each.

    Args:
        layers: (H, W, N).
        path: The file; an existing one is replaced.
        format: "envi" or "geotiff".
        names: The N bands' names.
        georeference: Location of the maps on the ground.

    Raises:
        MissingDataError: The folder isn't there.
        MissingPackageError: The extra ``geo`` is not installed.
        InvalidInputError: The format is unknown or holds no such names, or the file can't be written.
    """
    description = Description(band_names=names, georeference=georeference)
    _write(_writer(format), path, {CUBE: layers}, description)


def _read_cube(path: str | Path, variable: str | None) -> tuple[ReadCube, Description]:
    """The cube without its missing values, and its metadata."""
    location = Path(path)
    values = read_array(location, _own_name(location, variable, CUBE), ndim=3)
    described = read_description(location)
    read = leave_out_missing(values, described, where=str(path), mask=read_mask(location))
    if (undeclared := describe_undeclared(read.cube)) is not None:
        _log.warning("%s: %s", path, undeclared)
    stored = described.stored_as
    if stored is None:
        return read, described
    if stored.is_applied(values, described.ignore_value):
        _log.warning("%s declares %s, and its numbers are that already: not converted again", path, stored)
        return read, described
    kept = values if len(read.kept) == values.shape[2] else values[..., read.kept]
    cube = stored.of_bands(read.kept).apply(kept)
    cube[~measured_pixels(read.cube)] = 0
    return replace(read, cube=cube), described


def _centres(
    path: str | Path, read: ReadCube, described: Description, given: tuple[float, ...] | None
) -> tuple[float, ...] | None:
    """Band centres of the bands that are kept.

    Raises:
        InvalidInputError: There is not one for each.
    """
    centres = read.of_kept(given if given is not None else described.wavelengths_nm)
    if centres is not None and len(centres) != read.cube.shape[2]:
        raise InvalidInputError(
            f"{path}: a cube of {read.bands_in_file} bands, and {len(centres)} wavelengths; expected one for each."
        )
    return centres


def _scale_left(scale: float, described: Description, *, where: str) -> float:
    """What is left to be divided by, after what the file declares has been applied.

    Raises:
        InvalidInputError: The file declares another scale, or states the unit of its numbers.
    """
    declared = described.stored_as
    if scale == 1 or (declared is not None and declared.is_division_by(scale)):
        return 1.0
    if declared is not None:
        raise InvalidInputError(
            f"{where}: got scale = {scale:g}, and the file declares another: {declared}. Expected one of the two; "
            "leave the scale out, or correct the file."
        )
    refuse_second_scale(scale, described.unit, where=where)
    return scale


def _turned(cube: tuple[int, ...], label_map: tuple[int, ...]) -> str:
    """What is likely when cube and label map don't fit each other."""
    orders = {(1, 0): "columns, rows, bands", (1, 2): "bands, rows, columns", (2, 1): "bands, columns, rows"}
    for axes, order in orders.items():
        if tuple(cube[axis] for axis in axes) == label_map:
            return f"The cube's axes look like ({order}): write them as (rows, columns, bands)."
    return "Are both of the same scene?"


def _own_name(path: Path, variable: str | None, own: str) -> str | None:
    """The name to look for: the one asked for, else the one this package writes where the file has it."""
    file, inside = split_inside(path)
    several = any(file.suffix.lower() in writer.suffixes for writer in FORMATS.values() if writer.holds_several)
    return own if variable is None and inside is None and several and own in array_shapes(file) else variable


def _writer(format: str) -> FileFormat:
    if format not in FORMATS:
        raise InvalidInputError(
            f"format {format!r}{nearest_name(format, FORMATS)}; expected one of {', '.join(FORMATS)}."
        )
    return FORMATS[format]


def _write(
    writer: FileFormat, path: str | Path, arrays: dict[str, NDArray[np.generic]], description: Description
) -> None:
    location = writable(path, writer.suffixes)
    guarded(location, lambda place: writer.write(place, arrays, description), writes=True)


def _small(labels: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
    """The labels in the smallest type that holds them, which every program reads."""
    small: NDArray[np.unsignedinteger] = labels.astype(np.min_scalar_type(int(labels.max())))
    return small
