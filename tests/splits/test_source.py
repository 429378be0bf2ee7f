"""A source domain: scene and split belong together."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.splits.blocks import block_split
from sceneshift.splits.source import SourceDomain


def test_labels_are_class_indices_from_zero(tiny_source: SourceDomain) -> None:
    pixels = tiny_source.split.train
    width = tiny_source.scene.shape[1]
    expected = [tiny_source.scene.labels[p // width, p % width] - 1 for p in pixels]
    assert tiny_source.labels_of(pixels).tolist() == expected
    assert set(expected) == {0, 1, 2}


def test_a_split_of_another_shape_is_refused(tiny_scene: Scene) -> None:
    split = block_split(tiny_scene, patch_size=5, seed=0)
    cut = Scene(name="cut", cube=tiny_scene.cube[:39], labels=tiny_scene.labels[:39], class_names=("a", "b", "c"))
    with pytest.raises(InvalidInputError, match=r"'p'.*\(40, 30\).*\(39, 30\)"):
        SourceDomain(pair_name="p", scene=cut, split=split)


@pytest.mark.parametrize("side", ["train", "validation"])
def test_a_split_with_unlabelled_pixels_is_refused(tiny_scene: Scene, side: str) -> None:
    split = block_split(tiny_scene, patch_size=5, seed=0)
    labels = np.array(tiny_scene.labels)
    labels.ravel()[getattr(split, side)[0]] = 0
    with pytest.raises(InvalidInputError, match=r"'p'.*label"):
        SourceDomain(pair_name="p", scene=replace(tiny_scene, labels=labels), split=split)


@pytest.mark.parametrize("scored", [(0, 1), (0, 1, 99)])
def test_a_split_that_scores_other_classes_than_it_validates_is_refused(
    tiny_scene: Scene, scored: tuple[int, ...]
) -> None:
    split = replace(block_split(tiny_scene, patch_size=5, seed=0), scored_classes=scored)
    with pytest.raises(InvalidInputError, match=r"\[0, 1, 2\]"):
        SourceDomain(pair_name="p", scene=tiny_scene, split=split)
