"""Splits by blocks: the guard band is kept, and no class leaves the score unsaid."""

import re
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.catalogue.indian_pines import load_indian_pines
from sceneshift.catalogue.load import EMBEDDED_PAIRS, load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.splits.blocks import block_split
from sceneshift.splits.layouts import NoLayoutError
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import Split


def chebyshev(split: Split) -> np.ndarray:
    """(M, N) distances between validation and training pixels, by brute force."""
    width = split.shape[1]
    rows = split.validation[:, None] // width - split.train[None, :] // width
    columns = split.validation[:, None] % width - split.train[None, :] % width
    return np.maximum(np.abs(rows), np.abs(columns))


def scene_of(labels: np.ndarray, class_names: tuple[str, ...]) -> Scene:
    cube = np.random.default_rng(0).random((*labels.shape, 2)).astype(np.float32)
    return Scene(name="drawn", cube=cube, labels=labels, class_names=class_names)


def class_counts(scene: Scene, pixels: np.ndarray) -> np.ndarray:
    return np.bincount(scene.labels.ravel()[pixels], minlength=scene.num_classes + 1)[1:]


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


def test_the_spectra_have_no_say_in_the_split(tiny_scene: Scene) -> None:
    other = replace(tiny_scene, cube=np.ones_like(tiny_scene.cube))
    assert (
        block_split(other, patch_size=5, seed=0).content_hash
        == block_split(tiny_scene, patch_size=5, seed=0).content_hash
    )


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
    labels[4::8, 4::7] = 3  # 30 single pixels all over: some are in every choice of blocks, ten in none
    scene = scene_of(labels, ("soil", "tree", "pond"))
    for seed in range(5):
        split = block_split(scene, patch_size=5, seed=seed, min_pixels=14)
        assert split.scored_classes == (0, 1)
        assert class_counts(scene, split.validation)[2] == 0


def test_an_impossible_split_is_an_error_that_says_what_to_do() -> None:
    labels = np.ones((40, 40), dtype=int)
    labels[:, 20:] = 2
    labels[4:6, 4:6] = 3  # four pixels can't make ten
    with pytest.raises(NoLayoutError, match=r"'drawn'.*\b5\b.*\b2\b.*0\.8 .*\b10\b.*'pond': 4\D.*pond .*\b10\b"):
        block_split(scene_of(labels, ("soil", "tree", "pond")), patch_size=5, seed=0)


def halves(size: int, width: int) -> Scene:
    """Two classes side by side, each of so many columns."""
    labels = np.zeros((size, 2 * width), dtype=int)
    labels[:, :width], labels[:, width:] = 1, 2
    return scene_of(labels, ("soil", "tree"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"patch_size": 19, "validation_fraction": 0.5, "min_pixels": 20, "rare_to_training": True},
            r"patch_size (15) \(--patch-size, .*\) or .* 0\.8 \(--train-fraction\)",
        ),
        ({"patch_size": 3, "validation_fraction": 0.99}, r" (0\.1) \(--train-fraction\)"),
        ({"patch_size": 3, "validation_fraction": 0.001, "min_pixels": 30}, r" (0\.8) \(--train-fraction\)"),
    ],
)
def test_an_impossible_split_names_the_setting_that_caused_it_and_a_remedy(
    arguments: dict[str, float], expected: str
) -> None:
    scene = halves(20, 10)
    with pytest.raises(NoLayoutError, match=expected) as error:
        block_split(scene, seed=0, **arguments)
    remedy = re.search(expected, str(error.value))[1]
    changed = {"patch_size": int(remedy)} if "." not in remedy else {"validation_fraction": 1 - float(remedy)}
    block_split(scene, seed=0, **arguments | changed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 4}, "patch_size = 4"),
        ({"patch_size": -1}, "patch_size = -1"),
        ({"patch_size": 5, "validation_fraction": 0.0}, r"validation_fraction = 0.0.*0.*1"),
        ({"patch_size": 5, "validation_fraction": 1.0}, "validation_fraction = 1.0"),
    ],
)
def test_arguments_out_of_range_are_refused(tiny_scene: Scene, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        block_split(tiny_scene, seed=0, **arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guard": -1}, r"guard = -1.*0"),
        ({"min_pixels": 0}, r"min_pixels = 0.*1"),
        ({"num_candidates": 0}, r"num_candidates = 0.*1"),
    ],
)
def test_counts_out_of_range_are_refused(tiny_scene: Scene, changes: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        block_split(tiny_scene, patch_size=5, seed=0, **changes)


def test_a_class_without_pixels_is_named(tiny_scene: Scene) -> None:
    scene = replace(tiny_scene, class_names=(*tiny_scene.class_names, "snow"))
    with pytest.raises(InvalidInputError, match="snow"):
        block_split(scene, patch_size=5, seed=0)


# Made before scenes could be split with rare classes in training: the embedded pairs' splits stay what they were.
@pytest.mark.parametrize(
    ("name", "hashes"),
    [
        ("west-east", ["65dbbcef54433c4b", "d7bdd952b5e6086d", "d244f7762092ff82"]),
        ("east-west", ["f153ac3594ba156a", "4190dca83ef00d4f", "c2f6aaaa533577d8"]),
        ("sw-se", ["81746704bea69702", "4d13da0acac88861", "c4140345a273ac88"]),
        ("se-sw", ["128181cfd073b004", "504c771ab66d8709", "1af5fa2320c4d8c6"]),
        ("nw-ne", ["bf24ec8b8ac2864c", "6e39e343e112b4c5", "a72f77f4eca8b5db"]),
    ],
)
def test_the_splits_of_the_embedded_pairs_are_the_ones_they_always_were(name: str, hashes: list[str]) -> None:
    scene = load_pair(NamedPair(name=name)).source
    splits = [
        block_split(scene, patch_size=patch, seed=0, validation_fraction=fraction)
        for patch, fraction in ((7, 0.2), (7, 0.4), (13, 0.2))
    ]
    assert [split.content_hash for split in splits] == hashes
    assert {split.kind for split in splits} == {"blocks"}


@pytest.mark.parametrize("patch_size", [7, 11])
@pytest.mark.parametrize("train_fraction", [0.1, 0.5, 0.8])
def test_a_whole_scene_splits_with_its_rare_classes_in_training(train_fraction: float, patch_size: int) -> None:
    scene = load_indian_pines()
    for seed in (0, 1):
        split = block_split(
            scene,
            patch_size=patch_size,
            seed=seed,
            validation_fraction=1 - train_fraction,
            min_pixels=5,
            rare_to_training=True,
        )
        assert split.separation().num_inside_training_patch == 0
        train, test = class_counts(scene, split.train), class_counts(scene, split.validation)
        scored = np.isin(np.arange(16), split.scored_classes)
        assert scored.sum() >= 12
        assert (train[scored] >= 5).all()
        assert (test[scored] >= 5).all()
        assert (train[~scored] == scene.class_counts[~scored]).all()
        assert (test[~scored] == 0).all()
        # A split keeps its share: a tenth is no more than a seventh and no less than a tenth.
        share = len(split.train) / scene.class_counts.sum()
        assert {0.1: 0.1, 0.5: 0.2, 0.8: 0.45}[train_fraction] <= share <= max(train_fraction, 1 / 7)


@pytest.mark.parametrize("patch_size", [7, 11])
def test_a_training_side_splits_once_more(patch_size: int) -> None:
    scene = load_indian_pines()
    rare = {"patch_size": patch_size, "min_pixels": 5, "rare_to_training": True}
    for seed in range(3):
        outer = block_split(scene, seed=seed, validation_fraction=0.5, **rare)
        labels = np.zeros(scene.labels.size, dtype=int)
        labels[outer.train] = scene.labels.ravel()[outer.train]
        source = replace(scene, labels=labels.reshape(scene.shape))
        inner = block_split(source, seed=seed, validation_fraction=0.2, **rare)
        assert len(inner.scored_classes) >= 9
        assert set(inner.train) | set(inner.validation) <= set(outer.train)
        assert inner.separation().num_inside_training_patch == 0
        assert (class_counts(scene, inner.train) > 0).all()
        SourceDomain(pair_name="indian_pines", scene=source, split=inner)


def test_a_class_of_one_pixel_trains_where_it_would_be_refused() -> None:
    labels = np.ones((40, 40), dtype=int)
    labels[:, 20:] = 2
    labels[4, 4] = 3
    scene = scene_of(labels, ("soil", "tree", "pond"))
    with pytest.raises(InvalidInputError, match="class 10"):
        block_split(scene, patch_size=5, seed=0)
    for fraction in (0.2, 0.9):
        split = block_split(scene, patch_size=5, seed=0, validation_fraction=fraction, rare_to_training=True)
        assert split.scored_classes == (0, 1)
        assert class_counts(scene, split.train)[2] == 1
        assert chebyshev(split).min() > 2


def test_a_scene_of_rare_classes_alone_has_no_split() -> None:
    labels = np.zeros((20, 20), dtype=int)
    labels[2, 2], labels[2, 3] = 1, 2
    with pytest.raises(InvalidInputError, match="10 pixels"):
        block_split(scene_of(labels, ("soil", "tree")), patch_size=5, seed=0, rare_to_training=True)
    with pytest.raises(NoLayoutError, match="20 pixels"):
        block_split(scene_of(labels, ("soil", "tree")), patch_size=5, seed=0, rare_to_training=True)
