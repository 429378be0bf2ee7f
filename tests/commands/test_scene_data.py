"""From flags to pixels, and the lines that tell of them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sceneshift.catalogue.pair_spec import InScene
from sceneshift.commands.announcements import describe_pair, in_scene_recipe, source_split
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.split import random_split


@pytest.fixture
def pair(make_scene):
    return ScenePair(name="tiny-other", source=make_scene(0), target=make_scene(1, name="other").without_labels())


def in_scene(scene: Scene, *, fraction: float = 0.3, notes=("a note",)) -> ScenePair:
    split = random_split(scene, train_fraction=fraction, patch_size=5, seed=0)
    labels = np.zeros(scene.labels.size, dtype=np.int64)
    labels[split.train] = scene.labels.ravel()[split.train]
    source = replace(scene, labels=labels.reshape(scene.shape))
    return ScenePair(name=scene.name, source=source, target=scene.without_labels(), test_split=split, notes=notes)


def divide(pair, kind, **changes):
    return source_split(pair, kind, **{"fraction": 0.75, "patch_size": 5, "seed": 0, **changes})


def flags(**changes):
    plain = {"split": "random", "train_mask": None, "test_mask": None, "data_dir": None, "catalogue": None}
    return SimpleNamespace(**plain | changes)


def test_the_recipe_says_what_the_flags_say():
    recipe = in_scene_recipe(flags(data_dir="d"), "indian_pines", fraction=0.2, patch_size=7, seed=3)
    assert isinstance(recipe, InScene)
    assert (recipe.scene, recipe.split, recipe.train_fraction, recipe.patch_size, recipe.data_dir) == (
        "indian_pines",
        "random",
        0.2,
        7,
        "d",
    )
    masks = flags(split="fixed", train_mask="a.npy", test_mask="b.npy")
    fixed = in_scene_recipe(masks, "indian_pines", fraction=0.2, patch_size=7, seed=3)
    assert (fixed.split, fixed.train_mask, fixed.test_mask) == ("fixed", "a.npy", "b.npy")


def test_a_recipes_seed_follows_from_seed_and_scene():
    def seed(scene="indian_pines", seed=0):
        return in_scene_recipe(flags(), scene, fraction=0.1, patch_size=5, seed=seed).seed

    assert seed() == seed()
    assert len({seed(), seed(seed=1), seed("samson")}) == 3


def test_flags_that_do_not_go_together_are_refused():
    with pytest.raises(InvalidInputError, match="--split random takes no --train-mask"):
        in_scene_recipe(flags(train_mask="m"), "indian_pines", fraction=0.1, patch_size=5, seed=0)
    with pytest.raises(InvalidInputError, match=r"no scene is called 'indian_pine'.*did you mean 'indian_pines'"):
        in_scene_recipe(flags(), "indian_pine", fraction=0.1, patch_size=5, seed=0)


@pytest.mark.parametrize(("kind", "guard"), [("blocks", 2), ("fields", 2), ("random", 0)])
def test_a_source_is_divided_by_kind(pair, kind, guard):
    split = divide(pair, kind)
    assert (split.kind, split.guard, split.patch_size) == (kind, guard, 5)
    share = len(split.train) / (len(split.train) + len(split.validation))
    assert share == pytest.approx(0.75, abs=0.1)
    assert split.content_hash == divide(pair, kind).content_hash
    assert split.content_hash != divide(pair, kind, seed=1).content_hash
    assert split.content_hash != divide(replace(pair, name="x"), kind).content_hash


def test_all_trains_on_all(pair):
    split = divide(pair, "all")
    assert (len(split.train), len(split.validation)) == (768, 0)


@pytest.mark.parametrize("kind", ["blocks", "fields", "random", "fixed"])
def test_within_a_scene_no_test_pixel_validates_or_trains(tiny_scene, kind):
    pair = in_scene(tiny_scene)
    split = divide(pair, kind)
    assert split.kind == ("random" if kind == "fixed" else kind)
    tested = pair.test_split.validation
    assert np.intersect1d(split.train, tested).size == np.intersect1d(split.validation, tested).size == 0
    assert np.isin(np.r_[split.train, split.validation], pair.test_split.train).all()


def test_within_a_scene_a_class_of_a_handful_trains_whole(tiny_scene):
    labels = tiny_scene.labels.copy()
    rare = np.flatnonzero(labels == 3)[6:]
    labels.ravel()[rare] = 0
    few = replace(tiny_scene, labels=labels)
    with pytest.raises(InvalidInputError):
        source_split(
            ScenePair(name="p", source=few, target=replace(tiny_scene, name="o").without_labels()),
            "blocks",
            fraction=0.75,
            patch_size=5,
            seed=0,
        )
    pair = in_scene(few, fraction=0.8)
    split = divide(pair, "blocks")
    trained = pair.source.labels.ravel()[split.train]
    assert (trained == 3).sum() == 5
    assert split.scored_classes == (0, 1)
    told = describe_pair(pair, split)
    assert f"{' ' * 21}NOT in the validation score, on one side of the split alone: water" in told


def test_a_pair_is_told_in_one_line(pair):
    split = divide(pair, "blocks")
    near = split.separation()
    assert describe_pair(pair, split) == [
        f"pair tiny-other      {len(split.train)} training and {len(split.validation)} validation pixels by blocks, "
        f"guard 2 (patch 5: 0 validation pixels inside a training patch, {near.num_overlapping_patches} with an "
        "overlapping patch)"
    ]
    assert "validation pixels at random, which LEAKS (patch 5: " in describe_pair(pair, divide(pair, "random"))[0]
    assert describe_pair(pair, divide(pair, "all")) == [
        "pair tiny-other      all 768 labelled pixels of the source train"
    ]


def test_a_scene_is_told_with_its_test_side_and_its_notes(tiny_scene):
    pair = in_scene(tiny_scene)
    test = pair.test_split
    near = test.separation()
    first = (
        f"scene tiny           {len(test.train)} training and {len(test.validation)} test pixels at random, which "
        "LEAKS (patch 5: "
        f"{near.num_inside_training_patch} test pixels inside a training patch, {near.num_overlapping_patches} with an "
        "overlapping patch)"
    )
    note = f"{' ' * 21}a note"
    assert describe_pair(pair, divide(pair, "all")) == [first, note]
    split = divide(pair, "random")
    lines = describe_pair(pair, split)
    assert (lines[0], lines[-1], len(lines)) == (first, note, 3)
    assert lines[1].startswith(
        f"{' ' * 21}{len(split.train)} training and {len(split.validation)} validation pixels at random, which LEAKS"
    )


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [("counts", "counts", ["counts"]), ("counts", None, ["counts (tiny), not stated (other)"]), (None, None, [])],
)
def test_units_are_told_where_one_is_stated(pair, source, target, told):
    pair = replace(pair, source=replace(pair.source, unit=source), target=replace(pair.target, unit=target))
    lines = describe_pair(pair, divide(pair, "all"))
    assert lines[1:] == [f"{' ' * 21}unit: {units}" for units in told]


def test_a_long_name_keeps_a_space_before_the_counts(pair):
    long = replace(pair, name="a-very-long-name-of-a-pair")
    assert describe_pair(long, divide(long, "all"))[0].startswith("pair a-very-long-name-of-a-pair all 768")
