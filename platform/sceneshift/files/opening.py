"""Any file with a scene, opened to be mapped: its labels are not read.

Shape letters: H rows, W columns, C bands.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sceneshift.errors import InvalidInputError
from sceneshift.files.arrow_scenes import open_stored
from sceneshift.files.scenes import read_unlabelled_scene
from sceneshift.safe_files import existing, guarded
from sceneshift.scenes.mapped_arrays import SUFFIXES as STORED
from sceneshift.scenes.scene import Scene, UnlabelledScene, refuse_second_scale, scaled


def open_unlabelled(path: str | Path, *, cube_variable: str | None = None, scale: float = 1.0) -> UnlabelledScene:
    """Open a scene; a stored scene (``.arrow``) and a float32 ``.npy`` are mapped from the file, not read.

    A ``.npy`` is read in full where values are missing (:mod:`sceneshift.files.missing`).

    Args:
        path: A stored scene, or what :func:`sceneshift.files.scenes.read_unlabelled_scene` reads.
        cube_variable: The cube's name in its file.
        scale: What its numbers are divided by; a scale other than 1 reads the whole file into memory.

    Raises:
        MissingDataError: The file isn't there.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: The file can't be read, or holds no scene, or states its unit and is to be scaled.
    """
    suffix = Path(path).suffix.lower()
    if suffix in STORED:
        scene = open_stored(path)
        scene = scene.without_labels() if isinstance(scene, Scene) else scene
        refuse_second_scale(scale, scene.unit, where=str(path))
        return replace(scene, cube=scaled(scene.cube, scale))
    if suffix == ".npy":
        location = existing(path, (".npy",))
        cube = guarded(location, lambda place: np.load(place, mmap_mode="r", allow_pickle=False))
        if not isinstance(cube, np.ndarray) or cube.ndim != 3:
            raise InvalidInputError(
                f"{location}: an array of shape {cube.shape}; expected a cube (rows, columns, bands)."
            )
        if cube.dtype == np.float32 and np.isfinite(cube).all() and cube.any(axis=(0, 1)).all():
            return UnlabelledScene(name=location.stem, cube=scaled(cube, scale))
    return read_unlabelled_scene(path, cube_variable=cube_variable, scale=scale)
