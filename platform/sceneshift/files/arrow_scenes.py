"""Scenes on disk as this package keeps them: opened in milliseconds, shared by all processes of a machine.

Shape letters: H rows, W columns, C bands.
"""

from pathlib import Path
from typing import Any

import numpy as np

from sceneshift.errors import InvalidInputError
from sceneshift.files.formats.description import Description
from sceneshift.safe_files import guarded, writable
from sceneshift.scenes.mapped_arrays import SUFFIXES, map_arrays, sent_whole, write_arrays
from sceneshift.scenes.scene import Scene, UnlabelledScene

__all__ = ["open_scene", "open_stored", "sent_whole", "write_scene"]


def write_scene(scene: UnlabelledScene, path: str | Path) -> None:
    """Write a scene with all it holds and a checksum.

    It is written to a temporary file next to the path, synced to disk, and renamed: the path holds the old scene or
    the new one, never a part. Scenes opened from an older file of the same name keep it.

    Args:
        scene: The scene, with labels or without; a cube that isn't contiguous is copied first.
        path: A name that ends in ``.arrow``.

    Raises:
        MissingDataError: The folder isn't there.
        InvalidInputError: The name ends otherwise or is a folder's, or the file can't be written.
    """
    location = writable(path, SUFFIXES)
    description = Description.of(scene).to_json()
    labels = scene.labels if isinstance(scene, Scene) else np.zeros(scene.shape, dtype=np.int64)
    guarded(location, lambda place: write_arrays(place, scene.cube, labels, description), writes=True)


def open_scene(path: str | Path, *, verify: bool = False) -> Scene:
    """Open a stored scene without reading it: cube and labels are memory-mapped, and read on access.

    The cube is not searched for NaN, as any other cube is: only a checked scene can have been written, and no one can
    change it since (:mod:`sceneshift.scenes.mapped_arrays` says why). Damage on disk is not seen, but with ``verify``.

    On one machine the scene, or any view of its cube, is pickled as its path, and a process that unpickles it shares
    its pages. Where the file was removed or replaced, it is pickled whole; for a machine that can't see the file,
    pickle it within :func:`sent_whole`.

    Args:
        path: The file.
        verify: Read the whole file, and compare its checksum with the one written.

    Raises:
        MissingDataError: There is no such file.
        InvalidInputError: It can't be read, is no stored scene, is of a newer version, has no labels, or (with
            ``verify``) was damaged.
    """
    scene = open_stored(path, verify=verify)
    if not isinstance(scene, Scene):
        raise InvalidInputError(
            f"{path} is a scene without labels; expected one with some. predict.py maps it; to train on it, import its "
            "file once more with --labels."
        )
    return scene


def open_stored(path: str | Path, *, verify: bool = False) -> UnlabelledScene:
    """Open a stored scene as :func:`open_scene` does, with labels or without, as it was written.

    Args:
        path: The file.
        verify: As for :func:`open_scene`.

    Returns:
        A :class:`~sceneshift.scenes.scene.Scene` where it has labels.

    Raises:
        MissingDataError: There is no such file.
        InvalidInputError: As for :func:`open_scene`.
    """
    arrays = map_arrays(path, verify=verify)
    described = Description.from_json(arrays.description)
    if described.name is None or described.footprint is None:
        raise InvalidInputError(f"{path}: no name or footprint of a scene in it; write it again.")
    fields: dict[str, Any] = {
        "name": described.name,
        "cube": arrays.cube,
        "wavelengths_nm": None if described.wavelengths_nm is None else np.array(described.wavelengths_nm),
        "normalization": described.normalization,
        "footprint": described.footprint,
        "georeference": described.georeference,
        "unit": described.unit,
        "left_out": described.left_out,
    }
    if described.class_names is None:
        return UnlabelledScene(**fields)
    return Scene(**fields, labels=arrays.labels, class_names=described.class_names)
