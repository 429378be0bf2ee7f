"""Splits by fields: each field is on one side only, so that no validation pixel's field was trained on.

A field is a connected set of pixels of one class, corners included. Pixels of one field are more alike than
those of a class (one crop, one sowing, one soil): a split by blocks may cut a field and test on what it trained on.

Shape letters: H rows, W columns, K classes, P patch size.
"""

from typing import Unpack

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sceneshift.scenes.scene import Scene
from sceneshift.splits.layouts import LayoutOptions, best_layout
from sceneshift.splits.split import Split

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=int)


def field_split(scene: Scene, *, patch_size: int, seed: int, **options: Unpack[LayoutOptions]) -> Split:
    """Split a scene's labelled pixels by fields, with a guard band of ``patch_size // 2`` between the sides.

    Validation fields are chosen at random, class by class, until the class has its share, and never all of a class.
    As fields are not divided, the share is met as nearly as their sizes allow; a class of few fields may give up to
    half. No field has pixels on both sides; pixels within the guard of the other side are left unused.
    :func:`sceneshift.splits.layouts.best_layout` decides which layout is kept; a class that is a single field can only
    train.

    Args:
        scene: The source.
        patch_size: The largest patch that will be cut; odd.
        seed: Draws the layouts.
        options: See :class:`sceneshift.splits.layouts.LayoutOptions`.

    Raises:
        InvalidInputError: As for :func:`sceneshift.splits.layouts.best_layout`.
    """
    fields, sizes = number_fields(scene.labels)
    of_class = [np.unique(fields[scene.labels == k]) for k in range(1, scene.num_classes + 1)]

    def draw(rng: np.random.Generator, fraction: float, patch: int) -> NDArray[np.bool_]:  # fields have their own size
        chosen = np.zeros(len(sizes), dtype=bool)
        for numbers in of_class:
            chosen[_draw_fields(rng, numbers, sizes, fraction)] = True
        drawn: NDArray[np.bool_] = chosen[fields]
        return drawn

    return best_layout(scene, draw, kind="fields", patch_size=patch_size, seed=seed, **options)


def number_fields(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the fields of a label map.

    Args:
        labels: (H, W) classes, 0 = unlabelled.

    Returns:
        (H, W) numbers from 1 on, 0 where there is no label, and the number of pixels of each, that of 0 first.
    """
    fields = np.zeros(labels.shape, dtype=np.int64)
    num_fields = 0
    for k in np.unique(labels[labels > 0]):
        of_class, found = ndimage.label(labels == k, structure=_EIGHT_NEIGHBOURS)
        fields[of_class > 0] = num_fields + of_class[of_class > 0]
        num_fields += found
    return fields, np.bincount(fields.ravel(), minlength=num_fields + 1)


def _draw_fields(
    rng: np.random.Generator, numbers: NDArray[np.int64], sizes: NDArray[np.int64], fraction: float
) -> list[int]:
    """Choose some of a class's fields, with about the given share of its pixels.

    A field that would exceed twice the share is skipped. If all would, the smallest is taken in every other layout,
    provided it leaves half of the class: a class scored on more than its share is better than one that is not scored.
    """
    wanted = fraction * float(sizes[numbers].sum())
    chosen: list[int] = []
    have = 0.0
    for number in rng.permutation(numbers):
        if have >= wanted or len(chosen) == len(numbers) - 1:
            break
        overshoot = have + float(sizes[number]) - wanted
        if overshoot <= max(wanted - have, wanted):
            chosen.append(int(number))
            have += float(sizes[number])
    smallest = min(numbers, key=lambda number: int(sizes[number]))
    if not chosen and 2 * sizes[smallest] <= sizes[numbers].sum() and rng.random() < 0.5:
        chosen.append(int(smallest))
    return chosen
