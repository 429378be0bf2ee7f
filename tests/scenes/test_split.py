"""Splits: the guard band is kept, the counts are true, and no class leaves the score unsaid."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.block_split import block_split
from sceneshift.scenes.catalogue import EMBEDDED_PAIRS, load_pair
from sceneshift.scenes.recipe import NamedPair
from sceneshift.scenes.scene import Scene
from sceneshift.scenes.source import SourceDomain
from sceneshift.scenes.split import Split


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
        ({"train": np.array([], dtype=int)}, "split: no training pixels"),
        ({"validation": np.array([], dtype=int)}, "split: no validation pixels"),
        ({"train": np.array([[0, 1]])}, "split: no training pixels"),
        ({"train": np.array([-1, 1])}, r"training pixels must be distinct, ascending and within 0\.\.99"),
        ({"validation": np.array([5, 100])}, r"validation pixels must be distinct, ascending and within 0\.\.99"),
        ({"train": np.array([1, 0])}, "training pixels must be distinct, ascending"),
        ({"validation": np.array([5, 5])}, "validation pixels must be distinct, ascending"),
        ({"scored_classes": ()}, r"scored classes \(\); expected indices from 0 on"),
        ({"validation": np.array([4, 5])}, "split: 1 validation pixels lie within 3 of a training pixel"),
        ({"guard": 4}, "split: 2 validation pixels lie within 4 of a training pixel"),
        ({"guard": 0, "validation": np.array([1, 5, 11])}, "split: 2 validation pixels lie within 0 of a training"),
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
    # Pixels 9 and 10 follow each other in memory and lie nine columns apart.
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


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("patch_size", [5, 7, 13])
@pytest.mark.parametrize("name", EMBEDDED_PAIRS)
def test_real_sources_split_with_the_guard_kept(name: str, patch_size: int, seed: int) -> None:
    scene = load_pair(NamedPair(name=name)).source
    split = block_split(scene, patch_size=patch_size, seed=seed)
    assert (split.patch_size, split.guard, split.seed) == (patch_size, patch_size // 2, seed)
    assert chebyshev(split).min() > patch_size // 2
    assert split.separation().num_inside_training_patch == 0
    train, validation = class_counts(scene, split.train), class_counts(scene, split.validation)
    assert (train >= 10).all()
    scored = np.isin(np.arange(scene.num_classes), split.scored_classes)
    assert scored.any()
    assert (validation[scored] >= 10).all()
    assert (validation[~scored] == 0).all()
    assert train.sum() + validation.sum() <= scene.class_counts.sum()
    SourceDomain(pair_name=name, scene=scene, split=split)  # every pixel of it has a label


@pytest.mark.parametrize("name", ["west-east", "sw-se"])
def test_the_default_pairs_score_every_class_near_the_fraction_asked_for(name: str) -> None:
    scene = load_pair(NamedPair(name=name)).source
    for fraction in (0.2, 0.4):
        split = block_split(scene, patch_size=7, seed=0, validation_fraction=fraction)
        assert split.scored_classes == (0, 1, 2, 3, 4)
        share = len(split.validation) / scene.class_counts.sum()
        assert fraction / 1.5 < share < fraction * 1.5
        assert len(split.train) > 0.5 * (1 - fraction) * scene.class_counts.sum()


def test_a_wider_guard_is_kept(tiny_scene: Scene) -> None:
    split = block_split(tiny_scene, patch_size=5, seed=0, guard=4)
    assert split.guard == 4
    assert chebyshev(split).min() > 4
    assert split.separation().num_overlapping_patches == 0


def test_min_pixels_holds_on_both_sides(tiny_scene: Scene) -> None:
    split = block_split(tiny_scene, patch_size=5, seed=0, min_pixels=40)
    scored = list(split.scored_classes)
    assert (class_counts(tiny_scene, split.train)[scored] >= 40).all()
    assert (class_counts(tiny_scene, split.validation)[scored] >= 40).all()


def test_same_seed_same_split_and_other_seed_another(tiny_scene: Scene) -> None:
    hashes = [block_split(tiny_scene, patch_size=5, seed=seed).content_hash for seed in (0, 0, 1, 2)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


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


def test_the_spectra_have_no_say_in_the_split(tiny_scene: Scene) -> None:
    other = replace(tiny_scene, cube=np.ones_like(tiny_scene.cube))
    assert (
        block_split(other, patch_size=5, seed=0).content_hash
        == block_split(tiny_scene, patch_size=5, seed=0).content_hash
    )


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


def test_a_class_that_cannot_be_on_both_sides_trains_and_leaves_the_score() -> None:
    labels = np.zeros((40, 40), dtype=int)
    labels[:, :20], labels[:, 20:] = 1, 2
    labels[4:8, 4:8] = 3  # 16 pixels: ten on one side leave six for the other
    scene = scene_of(labels, ("soil", "tree", "pond"))
    for seed in range(5):
        split = block_split(scene, patch_size=5, seed=seed)
        assert split.scored_classes == (0, 1)
        assert class_counts(scene, split.validation)[2] == 0
        assert class_counts(scene, split.train)[2] >= 10


def test_the_few_validation_pixels_of_a_class_that_is_not_scored_are_left_out() -> None:
    labels = np.ones((40, 40), dtype=int)
    labels[:, 20:] = 2
    labels[4::8, 4::7] = 3  # 30 single pixels all over: some lie in every choice of blocks, ten in none
    scene = scene_of(labels, ("soil", "tree", "pond"))
    for seed in range(5):
        split = block_split(scene, patch_size=5, seed=seed, min_pixels=14)
        assert split.scored_classes == (0, 1)
        assert class_counts(scene, split.validation)[2] == 0


def test_an_impossible_split_is_an_error_that_says_what_to_do() -> None:
    labels = np.ones((40, 40), dtype=int)
    labels[:, 20:] = 2
    labels[4:6, 4:6] = 3  # four pixels can't make ten
    message = (
        r"scene 'drawn': no block layout for patches of 5 and a guard of 2 leaves every class 10 training pixels "
        r"\(labelled pixels: .*'pond': 4.*\)\. Search smaller patches, or leave the rarest class out"
    )
    with pytest.raises(InvalidInputError, match=message):
        block_split(scene_of(labels, ("soil", "tree", "pond")), patch_size=5, seed=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 4}, "patch_size = 4; expected an odd number"),
        ({"patch_size": -1}, "patch_size = -1; expected an odd number"),
        ({"patch_size": 5, "validation_fraction": 0.0}, "validation_fraction = 0.0; expected a share between 0 and 1"),
        ({"patch_size": 5, "validation_fraction": 1.0}, "validation_fraction = 1.0; expected a share"),
    ],
)
def test_arguments_out_of_range_are_refused(tiny_scene: Scene, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        block_split(tiny_scene, seed=0, **arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guard": -1}, "guard = -1; expected at least 0"),
        ({"min_pixels": 0}, "min_pixels = 0; expected at least 1"),
        ({"num_candidates": 0}, "num_candidates = 0; expected at least 1"),
    ],
)
def test_counts_out_of_range_are_refused(tiny_scene: Scene, changes: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        block_split(tiny_scene, patch_size=5, seed=0, **changes)


def test_a_class_without_pixels_is_named(tiny_scene: Scene) -> None:
    scene = replace(tiny_scene, class_names=(*tiny_scene.class_names, "snow"))
    with pytest.raises(InvalidInputError, match="no labelled pixel of snow; leave the class out"):
        block_split(scene, patch_size=5, seed=0)
