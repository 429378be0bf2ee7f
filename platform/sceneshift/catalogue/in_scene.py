"""One scene as a pair: its training side is the source, its test side the target.

:func:`divide_scene` hands out the test side's labels, so the catalogue alone may call it (a test holds that).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue.entries import FileVariable
from sceneshift.catalogue.pair_spec import InScene
from sceneshift.files.arrays import LabelMap, array_shapes, read_classes
from sceneshift.scenes.scene import Scene
from sceneshift.splits.blocks import block_split
from sceneshift.splits.fields import field_split
from sceneshift.splits.masks import apply_masks
from sceneshift.splits.shares import describe_shares
from sceneshift.splits.split import Split, mask_split, random_split

#: Splits that keep a guard band, by their kind.
GUARDED_SPLITS = {"blocks": block_split, "fields": field_split}

#: A class with fewer pixels on either side of such a split is only trained on: a scene's rare classes have twenty.
IN_SCENE_MIN_PIXELS = 5

#: Names of training and test masks in files that hold both.
_MASK_NAMES = {"train": ("TrainImage", "TR"), "test": ("TestImage", "TE")}


@dataclass(frozen=True, kw_only=True, eq=False)
class DividedScene:
    """The two sides of a scene.

    Args:
        source: The scene with the training side's labels only.
        target: The same scene with the test side's labels only.
        split: Training and test pixels.
        notes: What a reader should know about it, one line each.
    """

    source: Scene
    target: Scene
    split: Split
    notes: tuple[str, ...]


def divide_scene(
    recipe: InScene, scene: Scene, *, masks: tuple[NDArray[np.int64], NDArray[np.int64]] | None, has_own_labels: bool
) -> DividedScene:
    """Divide a scene as the recipe says.

    Args:
        recipe: The recipe.
        scene: The whole scene with its labels.
        masks: (H, W) training and test mask, for a fixed split.
        has_own_labels: Whether the scene has a label map in addition to the masks.

    Raises:
        InvalidInputError: The split can't be made.
    """
    if masks is not None:
        train_mask, test_mask = (
            np.where(scene.measured, mask, 0) if mask.shape == scene.shape else mask for mask in masks
        )
        sides = apply_masks(scene, train_mask, test_mask, has_own_labels=has_own_labels)
        notes = list(sides.notes)
        for side, mask, kept in (("training", masks[0], train_mask), ("test", masks[1], test_mask)):
            if lost := int((mask > 0).sum() - (kept > 0).sum()):
                notes.append(f"{lost} pixels of the {side} mask are unmeasured and not used")
        source = replace(scene, labels=sides.train, class_names=sides.class_names)
        target = replace(scene, labels=sides.test, class_names=sides.class_names)
        split = mask_split(
            source,
            train=np.flatnonzero(sides.train),
            validation=np.flatnonzero(sides.test),
            patch_size=recipe.patch_size,
            seed=recipe.seed,
        )
        return DividedScene(source=source, target=target, split=split, notes=tuple(notes))
    if recipe.split == "random":
        split = random_split(
            scene, train_fraction=recipe.train_fraction, patch_size=recipe.patch_size, seed=recipe.seed
        )
    else:
        split = GUARDED_SPLITS[recipe.split](
            scene,
            patch_size=recipe.patch_size,
            seed=recipe.seed,
            validation_fraction=1 - recipe.train_fraction,
            min_pixels=IN_SCENE_MIN_PIXELS,
            rare_to_training=True,
        )
    one_sided = [name for k, name in enumerate(scene.class_names) if k not in split.scored_classes]
    notes = [f"on the training side whole, without a test pixel: {', '.join(one_sided)}"] if one_sided else []
    if recipe.split != "random":
        notes.append(describe_shares(scene, split.train, recipe.train_fraction, classes=split.scored_classes))
    return DividedScene(
        source=replace(scene, labels=_only(scene, split.train)),
        target=replace(scene, labels=_only(scene, split.validation)),
        split=split,
        notes=tuple(notes),
    )


def read_masks(
    train: tuple[Path, FileVariable | None], test: tuple[Path, FileVariable | None]
) -> tuple[LabelMap, LabelMap]:
    """Read the two masks; in a file that holds both, the one of the usual name is taken.

    Raises:
        MissingDataError: A file isn't there.
        InvalidInputError: A file can't be read.
    """
    return _read_mask(*train, side="train"), _read_mask(*test, side="test")


def _read_mask(path: Path, variable: FileVariable | None, *, side: str) -> LabelMap:
    name = None if variable is None else variable.name
    if name is None and path.suffix.lower() in (".mat", ".npz"):
        held = array_shapes(path)
        name = next((known for known in _MASK_NAMES[side] if known in held), None)
    return read_classes(path, name)


def _only(scene: Scene, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    labels = np.zeros(scene.labels.size, dtype=np.int64)
    labels[pixels] = scene.labels.ravel()[pixels]
    return labels.reshape(scene.shape)
