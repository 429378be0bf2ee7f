"""Splits by fields: no field is on both sides, the guard band is kept, and no class leaves the score unsaid."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.catalogue.indian_pines import load_indian_pines
from sceneshift.catalogue.load import EMBEDDED_PAIRS, load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.splits.fields import field_split, number_fields
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import Split


def chebyshev(split: Split) -> np.ndarray:
    """(M, N) distances between validation and training pixels, by brute force."""
    width = split.shape[1]
    rows = split.validation[:, None] // width - split.train[None, :] // width
    columns = split.validation[:, None] % width - split.train[None, :] % width
    return np.maximum(np.abs(rows), np.abs(columns))


def class_counts(scene: Scene, pixels: np.ndarray) -> np.ndarray:
    return np.bincount(scene.labels.ravel()[pixels], minlength=scene.num_classes + 1)[1:]


def fields_by_flooding(labels: np.ndarray) -> list[frozenset[int]]:
    """The fields' flat pixel indices, by walking from neighbour to neighbour."""
    left = set(np.flatnonzero(labels))
    height, width = labels.shape
    fields = []
    while left:
        start = left.pop()
        field, edge = {start}, [start]
        while edge:
            row, column = divmod(edge.pop(), width)
            for r in range(max(0, row - 1), min(height, row + 2)):
                for c in range(max(0, column - 1), min(width, column + 2)):
                    pixel = r * width + c
                    if pixel in left and labels[r, c] == labels[row, column]:
                        left.remove(pixel)
                        field.add(pixel)
                        edge.append(pixel)
        fields.append(frozenset(int(pixel) for pixel in field))
    return fields


def no_field_on_both_sides(scene: Scene, split: Split) -> bool:
    train, validation = set(split.train.tolist()), set(split.validation.tolist())
    return not any(field & train and field & validation for field in fields_by_flooding(scene.labels))


def scene_of(labels: np.ndarray, class_names: tuple[str, ...]) -> Scene:
    cube = np.random.default_rng(0).random((*labels.shape, 2)).astype(np.float32)
    return Scene(name="drawn", cube=cube, labels=labels, class_names=class_names)


def test_fields_are_numbered_over_their_corners_and_class_by_class() -> None:
    labels = np.array([[1, 0, 2, 2], [0, 1, 2, 0], [2, 0, 0, 1], [2, 2, 0, 1]])
    fields, sizes = number_fields(labels)
    assert fields.tolist() == [[1, 0, 3, 3], [0, 1, 3, 0], [4, 0, 0, 2], [4, 4, 0, 2]]
    assert sizes.tolist() == [6, 2, 2, 3, 3]


def test_fields_are_what_flooding_finds() -> None:
    labels = np.random.default_rng(0).integers(0, 4, size=(25, 20))
    fields, sizes = number_fields(labels)
    found = {frozenset(np.flatnonzero(fields.ravel() == number).tolist()) for number in range(1, len(sizes))}
    assert found == set(fields_by_flooding(labels))


@pytest.mark.parametrize("patch_size", [3, 5, 9])
def test_no_field_is_on_both_sides_and_the_guard_is_kept(tiny_scene: Scene, patch_size: int) -> None:
    for seed in range(3):
        split = field_split(tiny_scene, patch_size=patch_size, seed=seed, validation_fraction=0.25)
        assert split.kind == "fields"
        assert split.scored_classes == (0, 1, 2)
        assert no_field_on_both_sides(tiny_scene, split)
        assert chebyshev(split).min() > patch_size // 2
        assert split.separation().num_inside_training_patch == 0
        # Four fields of 64 pixels per class: a quarter is one whole field.
        assert class_counts(tiny_scene, split.validation).tolist() == [64, 64, 64]
        SourceDomain(pair_name="p", scene=tiny_scene, split=split)


def test_a_wider_guard_is_kept(tiny_scene: Scene) -> None:
    split = field_split(tiny_scene, patch_size=5, seed=0, guard=4)
    assert split.guard == 4
    assert chebyshev(split).min() > 4


@pytest.mark.parametrize("name", EMBEDDED_PAIRS)
def test_the_embedded_pairs_split_by_fields(name: str) -> None:
    scene = load_pair(NamedPair(name=name)).source
    split = field_split(scene, patch_size=7, seed=0)
    assert no_field_on_both_sides(scene, split)
    train, validation = class_counts(scene, split.train), class_counts(scene, split.validation)
    scored = np.isin(np.arange(scene.num_classes), split.scored_classes)
    assert (train >= 10).all()
    assert (validation[scored] >= 10).all()
    assert (validation[~scored] == 0).all()
    num_fields = np.array([len(np.unique(number_fields(scene.labels * (scene.labels == k))[0])) - 1
                           for k in range(1, scene.num_classes + 1)])  # fmt: skip
    assert (num_fields[scored] > 1).all()


@pytest.mark.parametrize("fraction", [0.5, 0.9])
def test_a_whole_scene_splits_with_its_rare_classes_in_training(fraction: float) -> None:
    scene = load_indian_pines()
    split = field_split(scene, patch_size=7, seed=0, validation_fraction=fraction, min_pixels=5, rare_to_training=True)
    assert no_field_on_both_sides(scene, split)
    assert split.separation().num_inside_training_patch == 0
    scored = np.isin(np.arange(16), split.scored_classes)
    assert scored.sum() >= 6
    assert (class_counts(scene, split.train)[~scored] == scene.class_counts[~scored]).all()


def test_a_class_of_one_field_trains_and_is_not_scored() -> None:
    labels = np.zeros((40, 40), dtype=int)
    labels[2:12, 2:38:12], labels[20:30, 4:38:12] = 1, 2
    labels[2:12, 3:38:12], labels[20:30, 5:38:12] = 1, 2
    labels[34:39, 5:25] = 3
    scene = scene_of(labels, ("soil", "tree", "pond"))
    for fraction in (0.2, 0.5, 0.8):
        split = field_split(scene, patch_size=3, seed=0, validation_fraction=fraction)
        assert split.scored_classes == (0, 1)
        assert class_counts(scene, split.train)[2] == 100
        assert class_counts(scene, split.validation)[2] == 0
        assert no_field_on_both_sides(scene, split)


def test_a_class_of_two_fields_is_scored_on_the_smaller() -> None:
    labels = np.zeros((40, 40), dtype=int)
    labels[2:12, 2:20], labels[2:12, 30:38] = 1, 1  # 180 and 80 pixels: a fifth is 52
    labels[20:38, 2:8], labels[20:38, 12:18], labels[20:38, 22:28], labels[20:38, 32:38] = 2, 2, 2, 2
    scene = scene_of(labels, ("soil", "tree"))
    split = field_split(scene, patch_size=3, seed=0)
    assert class_counts(scene, split.validation).tolist() == [80, 108]


def test_same_seed_same_split_and_other_seed_another(tiny_scene: Scene) -> None:
    hashes = [field_split(tiny_scene, patch_size=5, seed=seed).content_hash for seed in (0, 0, 1, 2)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_the_spectra_have_no_say_in_the_split(tiny_scene: Scene) -> None:
    other = replace(tiny_scene, cube=np.ones_like(tiny_scene.cube))
    hashes = {field_split(scene, patch_size=5, seed=0).content_hash for scene in (other, tiny_scene)}
    assert len(hashes) == 1


def test_what_cannot_be_split_is_reported() -> None:
    labels = np.ones((40, 40), dtype=int)
    labels[:, 20:] = 2
    scene = scene_of(labels, ("soil", "tree"))
    with pytest.raises(InvalidInputError, match=r"patches of 5, .*guard of 2"):
        field_split(scene, patch_size=5, seed=0)
    with pytest.raises(InvalidInputError, match="10 pixels"):
        field_split(scene, patch_size=5, seed=0, rare_to_training=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 4}, "patch_size = 4"),
        ({"patch_size": 5, "validation_fraction": 1.0}, "validation_fraction = 1.0"),
        ({"patch_size": 5, "guard": -1}, r"guard = -1.*0"),
        ({"patch_size": 5, "min_pixels": 0}, r"min_pixels = 0.*1"),
        ({"patch_size": 5, "num_candidates": 0}, r"num_candidates = 0.*1"),
    ],
)
def test_arguments_out_of_range_are_refused(tiny_scene: Scene, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        field_split(tiny_scene, seed=0, **arguments)


def test_a_class_without_pixels_is_named(tiny_scene: Scene) -> None:
    scene = replace(tiny_scene, class_names=(*tiny_scene.class_names, "snow"))
    with pytest.raises(InvalidInputError, match="snow"):
        field_split(scene, patch_size=5, seed=0)
