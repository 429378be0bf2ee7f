"""Fixed training and test masks: what their class numbers mean, and the labels they give a scene.

A mask may number the classes in a different order. The class of each number is found by comparing
the training mask with the scene's own label map; the test mask uses the same numbers and decides nothing.

Shape letters: H rows, W columns, K classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene

#: The share of a mask number's labelled training pixels that must have one class of the scene.
LEAST_AGREEMENT = 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedSides:
    """The labels that two masks give a scene.

    Args:
        train: (H, W) classes 1..K of the training pixels, 0 elsewhere.
        test: (H, W) classes 1..K of the test pixels, 0 elsewhere.
        class_names: The K classes with a training pixel, in the scene's order.
        notes: What was matched, one line each.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]


def apply_masks(
    scene: Scene, train_mask: NDArray[np.int64], test_mask: NDArray[np.int64], *, has_own_labels: bool
) -> MaskedSides:
    """Label the two sides by two masks.

    Args:
        scene: The scene with its own label map.
        train_mask: (H, W) class numbers of the training pixels, 0 elsewhere.
        test_mask: (H, W) class numbers of the test pixels, 0 elsewhere.
        has_own_labels: Whether the scene's label map defines what the masks' numbers mean; otherwise they are the
            scene's class ids.

    Raises:
        InvalidInputError: A mask has another shape or no pixel, a pixel is in both, a number can't be matched to one
            class, or the test mask has a number the training mask lacks.
    """
    for flag, mask in (("--train-mask", train_mask), ("--test-mask", test_mask)):
        if mask.shape != scene.shape:
            raise InvalidInputError(f"{flag}: a mask of {mask.shape} pixels; scene {scene.name!r} has {scene.shape}.")
        if not mask.any():
            raise InvalidInputError(f"{flag}: no pixel of the mask has a class number; expected some above 0.")
    if both := int(((train_mask > 0) & (test_mask > 0)).sum()):
        raise InvalidInputError(
            f"{both} pixels are in --train-mask and in --test-mask; a pixel trained on can't be tested on. Take them "
            "out of one."
        )
    values = _values(train_mask)
    if unknown := sorted(set(_values(test_mask)) - set(values)):
        raise InvalidInputError(
            f"--test-mask has the class numbers {unknown}, that --train-mask has no pixel of: their class is "
            f"unknown, and none could be learned. The training mask has {values}."
        )
    if has_own_labels:
        classes, notes = _match(scene, train_mask, values)
        named = (train_mask > 0) | (test_mask > 0)
        notes += [
            f"{int((named & (scene.labels == 0)).sum())} pixels of the masks are unlabelled in the scene's own map",
            f"{int((~named & (scene.labels > 0)).sum())} labels of the scene's own map are in neither mask",
        ]
    else:
        if values[-1] > scene.num_classes:
            raise InvalidInputError(
                f"--train-mask has the class number {values[-1]}; scene {scene.name!r} has {scene.num_classes} classes "
                f"({', '.join(scene.class_names)})."
            )
        classes, notes = {value: value for value in values}, []
    kept = sorted(classes.values())
    left_out = [name for k, name in enumerate(scene.class_names, start=1) if k not in kept]
    if left_out:
        notes.append(f"left out, without a training pixel in the masks: {', '.join(left_out)}")
    renumber = np.zeros(max(values) + 1, dtype=np.int64)
    for value, scene_class in classes.items():
        renumber[value] = 1 + kept.index(scene_class)
    return MaskedSides(
        train=renumber[train_mask],
        test=renumber[test_mask],
        class_names=tuple(scene.class_names[k - 1] for k in kept),
        notes=tuple(notes),
    )


def _values(mask: NDArray[np.int64]) -> list[int]:
    return [int(value) for value in np.unique(mask) if value > 0]


def _match(scene: Scene, train_mask: NDArray[np.int64], values: list[int]) -> tuple[dict[int, int], list[str]]:
    """The class of each number in the training mask, and a line about each."""
    classes: dict[int, int] = {}
    lines, faults = [], []
    for value in values:
        counts = np.bincount(scene.labels[train_mask == value], minlength=scene.num_classes + 1)[1:]
        labelled, best = int(counts.sum()), int(counts.argmax())
        if labelled == 0:
            lines.append(f"mask class {value} = ? (none of its training pixels is labelled in the scene's own map)")
            faults.append(f"class {value} has no labelled pixel")
            continue
        agree = int(counts[best])
        lines.append(f"mask class {value} = {scene.class_names[best]} ({agree} of {labelled} labelled pixels agree)")
        if agree < LEAST_AGREEMENT * labelled:
            faults.append(f"class {value} agrees with no class in {LEAST_AGREEMENT:.0%} of its labelled pixels")
        elif best + 1 in classes.values():
            faults.append(f"class {value} and another are both {scene.class_names[best]}")
        classes[value] = best + 1
    if faults:
        table = "\n  ".join(lines)
        raise InvalidInputError(
            f"--train-mask does not fit the label map of scene {scene.name!r}: {'; '.join(faults)}. Is it the mask of "
            f"another scene, or rotated?\n  {table}"
        )
    return classes, lines
