"""What a split gave each class, next to what was asked for."""

import numpy as np
import pytest

from sceneshift.catalogue.indian_pines import load_indian_pines
from sceneshift.scenes.scene import Scene
from sceneshift.splits.blocks import block_split
from sceneshift.splits.shares import describe_shares
from sceneshift.splits.split import random_split


def scene() -> Scene:
    """A hundred pixels of each of three classes, row by row."""
    labels = np.repeat([1, 2, 3], 100).reshape(30, 10)
    cube = np.random.default_rng(0).random((30, 10, 2)).astype(np.float32)
    return Scene(name="drawn", cube=cube, labels=labels, class_names=("soil", "tree", "water"))


def pixels(*counts: int) -> np.ndarray:
    """So many of each class."""
    return np.concatenate([100 * k + np.arange(count) for k, count in enumerate(counts)])


@pytest.mark.parametrize(
    ("counts", "outside"),
    [
        ((20, 20, 20), ""),
        ((30, 14, 20), ""),
        ((31, 20, 20), "1 of 3: soil 0.31 (31 of 100)"),
        ((20, 13, 51), "2 of 3: tree 0.13 (13 of 100), water 0.51 (51 of 100)"),
        ((20, 20, 0), "1 of 3: water 0 (0 of 100)"),
    ],
)
def test_each_class_is_held_to_the_bounds(counts: tuple[int, int, int], outside: str) -> None:
    text = describe_shares(scene(), pixels(*counts), 0.2)
    assert "asked for 0.2, " in text
    assert ("NOT" in text) == bool(outside)
    assert text.endswith(f" for {outside}" if outside else " 1.5")


def test_one_pixel_more_or_less_is_no_matter() -> None:
    assert "NOT" not in describe_shares(scene(), pixels(2, 1, 2), 0.01)
    assert "3 (3 of 100)" in describe_shares(scene(), pixels(3, 1, 1), 0.01)


def test_a_cap_is_what_is_asked_for_and_classes_can_be_left_out() -> None:
    """Golden: the wording is asserted here alone."""
    text = describe_shares(scene(), pixels(10, 10, 4), 0.5, pixels_per_class=10)
    assert text == (
        "training share of each class: asked for 0.5 or 10 pixels, NOT within a factor of 1.5 for 1 of 3: "
        "water 0.04 (4 of 100)"
    )
    assert "for 1 of 1: water" in describe_shares(scene(), pixels(10, 10, 4), 0.5, classes=[2])
    assert "NOT" not in describe_shares(scene(), pixels(10, 10, 4), 0.1, classes=[0, 1])


def test_real_splits_are_reported_as_they_are() -> None:
    whole = load_indian_pines()
    split = random_split(whole, train_fraction=0.15, patch_size=7, seed=0)
    assert "NOT" not in describe_shares(whole, split.train, 0.15)
    split = block_split(
        whole, patch_size=13, seed=0, validation_fraction=0.85, min_pixels=5, rare_to_training=True, num_candidates=64
    )
    text = describe_shares(whole, split.train, 0.15)
    counts = np.bincount(whole.labels.ravel()[split.train], minlength=17)[1:]
    wanted = 0.15 * whole.class_counts
    far = (counts > np.maximum(1.5 * wanted, wanted + 1)) | (counts < np.minimum(wanted / 1.5, wanted - 1))
    assert far.any()
    for k, name in enumerate(whole.class_names):
        assert (f"({counts[k]} of {whole.class_counts[k]})" in text and f"{name} " in text) == far[k]
