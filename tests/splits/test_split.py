"""Splits: the guard band is kept, the counts are true, and no class leaves the score unsaid."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.catalogue.indian_pines import load_indian_pines
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.splits.blocks import block_split
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import Split, everything_split, mask_split, random_split


def chebyshev(split: Split) -> np.ndarray:
    """(M, N) distances between validation and training pixels, by brute force."""
    width = split.shape[1]
    rows = split.validation[:, None] // width - split.train[None, :] // width
    columns = split.validation[:, None] % width - split.train[None, :] % width
    return np.maximum(np.abs(rows), np.abs(columns))


def split_of(**changes: object) -> Split:
    """A 10 x 10 scene's split: training pixels in the left columns, validation from column 5 on."""
    arguments = {
        "shape": (10, 10),
        "train": np.array([0, 1, 11, 90]),
        "validation": np.array([5, 25, 99]),
        "scored_classes": (0, 1),
        "patch_size": 7,
        "guard": 3,
        "seed": 0,
        "kind": "blocks",
    }
    return Split(**(arguments | changes))


def scene_of(labels: np.ndarray, class_names: tuple[str, ...]) -> Scene:
    cube = np.random.default_rng(0).random((*labels.shape, 2)).astype(np.float32)
    return Scene(name="drawn", cube=cube, labels=labels, class_names=class_names)


def class_counts(scene: Scene, pixels: np.ndarray) -> np.ndarray:
    return np.bincount(scene.labels.ravel()[pixels], minlength=scene.num_classes + 1)[1:]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": np.array([], dtype=int)}, "no training"),
        ({"validation": np.array([], dtype=int)}, "no validation"),
        ({"train": np.array([[0, 1]])}, "no training"),
        ({"train": np.array([-1, 1])}, r"training .*0\.\.99"),
        ({"validation": np.array([5, 100])}, r"validation .*0\.\.99"),
        ({"train": np.array([1, 0])}, "training .*distinct"),
        ({"validation": np.array([5, 5])}, "validation .*distinct"),
        ({"scored_classes": ()}, r"scored classes \(\)"),
        ({"validation": np.array([4, 5])}, r"1 validation.*3"),
        ({"kind": "stripes"}, "'stripes'"),
        ({"kind": "all"}, r"3 validation.*\(0, 1\).*'all'"),
        ({"guard": 4}, r"2 validation.*4"),
        ({"guard": 0, "validation": np.array([1, 5, 11])}, r"2 validation.*0"),
    ],
)
def test_a_split_cannot_be_built_wrong(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        split_of(**changes)


def test_the_example_split_is_right_and_read_only() -> None:
    split = split_of()
    assert chebyshev(split).min() == 4
    for name in ("train", "validation"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(split, name)[0] = 7


def test_a_split_does_not_reach_round_the_edge_of_the_scene() -> None:
    # Pixels 9 and 10 follow each other in memory and are nine columns apart.
    assert split_of(train=np.array([9]), validation=np.array([10])).separation().num_overlapping_patches == 0


def test_separation_of_the_example_by_hand() -> None:
    split = split_of()  # distances to the nearest training pixel: 4, 4, 8
    assert split.separation().num_inside_training_patch == 0
    assert split.separation().num_overlapping_patches == 2
    assert split.separation(9).num_inside_training_patch == 2
    assert split.separation(9).num_overlapping_patches == 3
    assert split.separation(3).num_overlapping_patches == 0
    assert (split.separation(9).patch_size, split.separation(9).num_pixels) == (9, 3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("patch_size", [3, 5, 9])
def test_separation_counts_by_brute_force(tiny_scene: Scene, seed: int, patch_size: int) -> None:
    split = block_split(tiny_scene, patch_size=5, seed=seed)
    nearest = chebyshev(split).min(axis=1)
    separation = split.separation(patch_size)
    assert separation.num_pixels == len(split.validation)
    assert separation.num_inside_training_patch == int((nearest <= patch_size // 2).sum())
    assert separation.num_overlapping_patches == int((nearest <= patch_size - 1).sum())
    if patch_size == 9:
        assert separation.num_inside_training_patch > 0  # the counts are put to the test


def test_the_hash_changes_with_any_pixel_side_or_scored_class() -> None:
    variants = [
        split_of(),
        split_of(train=np.array([0, 1, 11, 80])),
        split_of(validation=np.array([5, 25, 98])),
        split_of(validation=np.array([5, 25])),
        split_of(scored_classes=(0,)),
        split_of(shape=(11, 10)),
        split_of(train=split_of().validation, validation=split_of().train),
    ]
    assert len({split.content_hash for split in variants}) == len(variants)
    assert split_of(train=np.array([0, 1, 11, 90], dtype=np.int32)).content_hash == split_of().content_hash


def test_thinned_keeps_few_training_pixels_and_all_of_validation(tiny_scene: Scene) -> None:
    split = block_split(tiny_scene, patch_size=5, seed=0)
    full = class_counts(tiny_scene, split.train)
    thin = split.thinned(tiny_scene, pixels_per_class=7)
    assert class_counts(tiny_scene, thin.train).tolist() == [7, 7, 7]
    assert set(thin.train) < set(split.train)
    np.testing.assert_array_equal(thin.validation, split.validation)
    assert thin.scored_classes == split.scored_classes
    assert split.thinned(tiny_scene, pixels_per_class=7).content_hash == thin.content_hash
    least = int(full.min())
    some = split.thinned(tiny_scene, pixels_per_class=least)
    assert class_counts(tiny_scene, some.train).tolist() == np.minimum(full, least).tolist()
    assert split.thinned(tiny_scene, pixels_per_class=10_000).content_hash == split.content_hash


def test_thinning_draws_at_random_by_the_split_s_seed(tiny_scene: Scene) -> None:
    split = block_split(tiny_scene, patch_size=5, seed=0)
    one = split.thinned(tiny_scene, pixels_per_class=7)
    other = replace(split, seed=1).thinned(tiny_scene, pixels_per_class=7)
    assert one.content_hash != other.content_hash
    first_seven = np.concatenate([split.train[tiny_scene.labels.ravel()[split.train] == k][:7] for k in (1, 2, 3)])
    assert set(one.train) != set(first_seven)


def test_a_random_split_takes_the_share_of_every_class() -> None:
    scene = load_indian_pines()
    split = random_split(scene, train_fraction=0.1, patch_size=7, seed=0)
    assert (len(split.train), len(split.validation)) == (1031, 9218)
    # ceil of a tenth; 83 of 830 and not 84, which a float's tenth would give
    assert class_counts(scene, split.train).tolist() == [
        5, 143, 83, 24, 49, 73, 3, 48, 2, 98, 246, 60, 21, 127, 39, 10
    ]  # fmt: skip
    assert split.scored_classes == tuple(range(16))
    assert (split.kind, split.guard, split.patch_size) == ("random", 0, 7)
    known = np.flatnonzero(scene.labels)
    np.testing.assert_array_equal(np.sort(np.concatenate([split.train, split.validation])), known)
    assert split.separation().num_inside_training_patch > 8000  # what is wrong with it


def test_a_random_split_is_its_seed_s() -> None:
    scene = load_indian_pines()
    hashes = [random_split(scene, train_fraction=0.1, patch_size=7, seed=s).content_hash for s in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]
    # A class's draw is its own: without the last class the others' pixels are the same.
    fewer = replace(scene, labels=np.where(scene.labels == 16, 0, scene.labels), class_names=scene.class_names[:15])
    split = random_split(scene, train_fraction=0.1, patch_size=7, seed=0)
    others = split.train[scene.labels.ravel()[split.train] != 16]
    np.testing.assert_array_equal(random_split(fewer, train_fraction=0.1, patch_size=7, seed=0).train, others)


def test_a_class_of_two_pixels_is_on_both_sides_and_one_of_one_trains() -> None:
    labels = np.zeros((6, 6), dtype=int)
    labels[0], labels[1, :2], labels[2, 0] = 1, 2, 3
    scene = scene_of(labels, ("soil", "tree", "pond"))
    for fraction in (0.01, 0.99):
        split = random_split(scene, train_fraction=fraction, patch_size=3, seed=0)
        assert class_counts(scene, split.train).tolist() == [1 if fraction < 0.5 else 5, 1, 1]
        assert class_counts(scene, split.validation).tolist() == [5 if fraction < 0.5 else 1, 1, 0]
        assert split.scored_classes == (0, 1)


def test_a_random_split_refuses_what_it_cannot_do(tiny_scene: Scene) -> None:
    with pytest.raises(InvalidInputError, match=r"train_fraction = 1.5.*0.*1"):
        random_split(tiny_scene, train_fraction=1.5, patch_size=3, seed=0)
    with pytest.raises(InvalidInputError, match="snow"):
        random_split(replace(tiny_scene, class_names=("a", "b", "c", "snow")), train_fraction=0.5, patch_size=3, seed=0)
    single = scene_of(np.array([[1, 2], [0, 0]]), ("soil", "tree"))
    with pytest.raises(InvalidInputError, match="single"):
        random_split(single, train_fraction=0.5, patch_size=1, seed=0)


def test_a_split_by_masks_holds_the_pixels_it_was_given() -> None:
    labels = np.zeros((6, 6), dtype=int)
    labels[0], labels[1] = 1, 3
    scene = scene_of(labels, ("soil", "tree", "pond"))
    split = mask_split(scene, train=np.array([9, 2, 0]), validation=np.array([30, 5]), patch_size=3, seed=4)
    assert (split.train.tolist(), split.validation.tolist()) == ([0, 2, 9], [5, 30])
    assert split.scored_classes == (0, 2)  # what trains; pixel 30 has no label here, and none is needed
    assert (split.kind, split.guard, split.seed) == ("masks", 0, 4)
    with pytest.raises(InvalidInputError, match="1 pixels"):
        mask_split(scene, train=np.array([0, 35]), validation=np.array([5]), patch_size=3, seed=0)
    with pytest.raises(InvalidInputError, match=r"1 validation.*0"):
        mask_split(scene, train=np.array([0, 5]), validation=np.array([5]), patch_size=3, seed=0)
    with pytest.raises(InvalidInputError, match="distinct"):
        mask_split(scene, train=np.array([0, 0]), validation=np.array([5]), patch_size=3, seed=0)


def test_everything_trains_and_nothing_validates(tiny_scene: Scene) -> None:
    split = everything_split(tiny_scene, 5)
    np.testing.assert_array_equal(split.train, np.flatnonzero(tiny_scene.labels))
    assert (len(split.validation), split.scored_classes, split.kind) == (0, (), "all")
    assert split.separation().num_pixels == split.separation().num_overlapping_patches == 0
    assert SourceDomain(pair_name="p", scene=tiny_scene, split=split).labels_of(split.train).max() == 2
    assert len(split.thinned(tiny_scene, pixels_per_class=7).train) == 21
