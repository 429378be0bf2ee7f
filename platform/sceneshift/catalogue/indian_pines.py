"""The embedded scene: Indian Pines, as the ``tensorly`` package carries it.

AVIRIS Indian Pines Site 3, 145 x 145 pixels, 200 bands (corrected), 16 classes. Baumgardner, Biehl and
Landgrebe (2015), Purdue University Research Repository, doi 10.4231/R7RX991C, CC BY 3.0.
"""

from functools import cache

import numpy as np

from sceneshift.errors import MissingDataError
from sceneshift.scenes.scene import Footprint, Scene

NAME = "indian_pines"

CLASS_NAMES = (
    "Alfalfa",
    "Corn-notill",
    "Corn-mintill",
    "Corn",
    "Grass-pasture",
    "Grass-trees",
    "Grass-pasture-mowed",
    "Hay-windrowed",
    "Oats",
    "Soybean-notill",
    "Soybean-mintill",
    "Soybean-clean",
    "Wheat",
    "Woods",
    "Buildings-Grass-Trees-Drives",
    "Stone-Steel-Towers",
)

_SHAPE = (145, 145, 200)
_LABELLED_PIXELS = 10_249

#: Rectangles (rows, columns) of the regions the embedded pairs are made of. Column 72 is where hardly a field
#: crosses; row 56 parts north from south.
REGIONS = {
    "west": ((0, 145), (0, 72)),
    "east": ((0, 145), (72, 145)),
    "sw": ((56, 145), (0, 72)),
    "se": ((56, 145), (72, 145)),
    "nw": ((0, 56), (0, 72)),
    "ne": ((0, 56), (72, 145)),
}


@cache
def load_indian_pines() -> Scene:
    """Load the whole scene, its numbers as they are in the data.

    Raises:
        MissingDataError: ``tensorly`` is not installed, or carries other data than it should.
    """
    try:
        from tensorly.datasets import load_indian_pines as load_from_tensorly
    except ImportError as error:
        raise MissingDataError(
            "Indian Pines comes with the tensorly package, which is not installed; run "
            "`pip install -c constraints.txt tensorly`."
        ) from error
    # The wavelengths tensorly lists with the cube keep the last band, which the correction drops, and their gaps
    # are not where the water bands were: they are left out rather than carried on.
    data = load_from_tensorly()
    cube, labels = np.asarray(data["tensor"]), np.asarray(data["ticks"][0])
    if cube.shape != _SHAPE or int((labels > 0).sum()) != _LABELLED_PIXELS:
        raise MissingDataError(
            f"tensorly's Indian Pines has shape {cube.shape} and {int((labels > 0).sum())} labelled pixels; "
            f"expected {_SHAPE} and {_LABELLED_PIXELS}. Install the version in constraints.txt."
        )
    return Scene(
        name=NAME,
        cube=np.ascontiguousarray(cube, dtype=np.float32),
        labels=labels.astype(np.int64),
        class_names=CLASS_NAMES,
    )


def cut_region(scene: Scene, region: str, class_names: tuple[str, ...]) -> Scene:
    """Cut one of :data:`REGIONS` out of the whole scene and keep the given classes, renumbered 1..K.

    The cube is copied: a pixel of the other side of the cut isn't in memory behind it.
    """
    rows, columns = REGIONS[region]
    old_ids = [scene.class_names.index(name) + 1 for name in class_names]
    renumber = np.zeros(scene.num_classes + 1, dtype=np.int64)
    renumber[old_ids] = np.arange(1, len(class_names) + 1)
    return Scene(
        name=f"{scene.name}/{region}",
        cube=scene.cube[slice(*rows), slice(*columns)].copy(),
        labels=renumber[scene.labels[slice(*rows), slice(*columns)]],
        class_names=class_names,
        footprint=Footprint(parent=scene.name, rows=rows, columns=columns),
        normalization=scene.normalization,
        unit=scene.unit,
    )
