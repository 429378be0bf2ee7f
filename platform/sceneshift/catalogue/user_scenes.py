"""Reads the scenes a user has described: finds their files, and puts the table's name before every complaint.

Shape letters: C bands, K classes.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue.data_folder import DATA_VARIABLE, data_folder, data_folders
from sceneshift.catalogue.user_entries import OwnScene
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.files.arrays import read_classes
from sceneshift.files.arrow_scenes import open_scene
from sceneshift.files.inside import split_inside, with_inside
from sceneshift.files.places import georeference_of, place_labels
from sceneshift.files.scenes import footprint_of, read_scene
from sceneshift.safe_files import expanded
from sceneshift.scenes.scene import Scene, refuse_second_scale, scaled


def locate_own_scene(entry: OwnScene, data_dir: str | None) -> dict[str, Path]:
    """Find a scene's files.

    Looked in are the catalogue's folder, then ``<data_dir>/<scene>`` and ``data_dir``, as for published scenes.

    Args:
        entry: The scene.
        data_dir: The data folder; None takes what SCENESHIFT_DATA says, and needs it to say nothing.

    Returns:
        Where each file is, by the key that names it.

    Raises:
        MissingDataError: Naming the first that is missing, and the folders looked in.
    """
    folders = [Path(entry.folder)]
    if data_folder(data_dir) is not None:
        folders += data_folders(entry.name, data_dir)
    found = {}
    for key, file in entry.files.items():
        inner, inside = split_inside(file)
        candidates = [folder / expanded(inner) for folder in folders]  # an absolute path stays one
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            looked_at = " and ".join(dict.fromkeys(map(str, candidates)))
            raise MissingDataError(
                f"{entry.where}, {key}: got {file!r}, and there is no file {looked_at}. Expected a path from the "
                f"catalogue's folder or the data folder (--data-dir, {DATA_VARIABLE}), or an absolute one; put the "
                f"file there, or correct {key}."
            )
        found[key] = with_inside(path, inside)
    return found


def load_own_scene(entry: OwnScene, data_dir: str | None) -> Scene:
    """Read a scene a user has described.

    Args:
        entry: The scene.
        data_dir: As for :func:`locate_own_scene`.

    Raises:
        InvalidInputError: A file is broken, or isn't what the table says.
        MissingDataError: A file isn't there.
    """
    paths = locate_own_scene(entry, data_dir)
    try:
        scene = _whole(entry, paths)
        if entry.cut is None:
            return scene
        return entry.cut.apply(scene, _mask(entry, paths["mask"], scene) if "mask" in paths else None)
    except InvalidInputError as error:
        raise InvalidInputError(f"{entry.where}: {error}") from error


def _mask(entry: OwnScene, path: Path, scene: Scene) -> tuple[NDArray[np.int64], Path]:
    read = read_classes(path)
    place = georeference_of(path, read.described)
    placed = place_labels(read.numbers, place, what=f"mask {path}", on=scene, cut_to_overlap=entry.cut_to_overlap)
    return placed, path


def _whole(entry: OwnScene, paths: dict[str, Path]) -> Scene:
    if "stored" in paths:
        return _from_store(entry, paths["stored"])
    return read_scene(
        paths["cube"],
        labels=paths.get("labels"),
        name=entry.name,
        class_names=entry.class_names,
        cube_variable=entry.cube_variable,
        labels_variable=entry.labels_variable,
        label_values=entry.label_values,
        unlabelled_values=entry.unlabelled_values,
        wavelengths_nm=entry.wavelengths_nm,
        acquisition=entry.acquisition,
        scale=entry.scale,
        unit=entry.unit,
        cut_to_overlap=entry.cut_to_overlap,
    )


def _from_store(entry: OwnScene, path: Path) -> Scene:
    scene = open_scene(path)
    if entry.class_names is not None and len(entry.class_names) != scene.num_classes:
        raise InvalidInputError(
            f"class_names: got {len(entry.class_names)}; {path} has {scene.num_classes} classes "
            f"({', '.join(scene.class_names)}). Expected one name for each, in this order; or leave class_names out."
        )
    wavelengths = scene.wavelengths_nm
    if entry.wavelengths_nm is not None:
        kept = None if scene.left_out is None else scene.left_out.kept
        wavelengths = np.array(entry.wavelengths_nm)
        if scene.left_out is not None and kept is not None and len(wavelengths) == scene.left_out.bands_in_file:
            wavelengths = wavelengths[kept]
        if len(wavelengths) != scene.num_bands:
            raise InvalidInputError(
                f"wavelengths_nm: got {len(entry.wavelengths_nm)}; {path} has {scene.num_bands} bands. Expected one "
                "for each."
            )
    refuse_second_scale(entry.scale, scene.unit, where=str(path))
    return replace(
        scene,
        name=entry.name,
        footprint=footprint_of(scene.footprint, scene.name, acquisition=entry.acquisition),
        cube=scaled(scene.cube, entry.scale),
        class_names=entry.class_names or scene.class_names,
        wavelengths_nm=wavelengths,
        unit=entry.unit or scene.unit,
    ).without_unmeasured_labels()
