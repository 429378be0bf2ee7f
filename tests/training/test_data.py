"""Which scenes and pixels a training is given, from plain values."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.errors import InvalidInputError
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.scenes.scene import Scene
from sceneshift.splits.pair import ScenePair
from sceneshift.training.data import DataSpec, source_split


@pytest.fixture
def pair(make_scene):
    return ScenePair(name="tiny-other", sources=(make_scene(0),), target=make_scene(1, name="other").without_labels())


def divide(pair, kind, **changes):
    return source_split(pair, kind, **{"fraction": 0.75, "patch_size": 5, "seed": 0, **changes})


def share(split):
    return len(split.train) / (len(split.train) + len(split.validation))


class TestRecipes:
    def test_the_recipe_of_a_scene_says_what_the_specification_says(self):
        data = DataSpec(scene="indian_pines", split="random", train_fraction=0.2, patch_size=7, seed=3, data_dir="d")
        (recipe,) = data.recipes()
        assert isinstance(recipe, InScene)
        assert (recipe.scene, recipe.split, recipe.train_fraction, recipe.patch_size, recipe.data_dir) == (
            "indian_pines",
            "random",
            0.2,
            7,
            "d",
        )
        masks = replace(data, split="fixed", train_fraction=None, train_mask="a.npy", test_mask="b.npy")
        (fixed,) = masks.recipes()
        assert (fixed.split, fixed.train_mask, fixed.test_mask) == ("fixed", "a.npy", "b.npy")
        assert not fixed.cut_to_overlap
        assert "cut_to_overlap" not in masks.as_dict()  # the key of a specification from before is the same
        (cut,) = replace(masks, cut_to_overlap=True).recipes()
        assert cut == replace(fixed, cut_to_overlap=True)

    def test_pairs_have_a_recipe_each(self):
        assert DataSpec(pairs=("sw-se", "west-east"), data_dir="d").recipes() == (
            NamedPair(name="sw-se", data_dir="d"),
            NamedPair(name="west-east", data_dir="d"),
        )

    def test_a_recipes_seed_follows_from_seed_and_scene(self):
        def seed(scene="indian_pines", seed=0):
            (recipe,) = DataSpec(scene=scene, split="random", seed=seed).recipes()
            return recipe.seed

        assert seed() == seed()
        assert len({seed(), seed(seed=1), seed("samson")}) == 3

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"scene": "indian_pines", "split": "random", "train_mask": "m"}, "--train-mask"),
            ({"scene": "indian_pine"}, "'indian_pines'"),
            ({"pairs": ("west-eest",)}, "'west-east'"),
        ],
    )
    def test_values_that_do_not_go_together_and_unknown_names_are_refused(self, values, message):
        with pytest.raises(InvalidInputError, match=message):
            DataSpec(**values).recipes()


class TestFractions:
    @pytest.mark.parametrize(
        ("values", "fraction", "name"),
        [
            ({"pairs": ("sw-se",)}, 0.8, "blocks 0.8"),
            ({"pairs": ("sw-se",), "train_fraction": 0.6, "split": "random"}, 0.6, "random 0.6"),
            ({"pairs": ("sw-se",), "split": "all"}, None, "all"),
            ({"pairs": ("sw-se",), "validates": False}, None, "all"),
            ({"scene": "indian_pines"}, 0.5, "blocks 0.5"),
            ({"scene": "indian_pines", "validates": False}, 0.1, "blocks 0.1"),
            ({"scene": "indian_pines", "validates": False, "train_fraction": 0.3}, 0.3, "blocks 0.3"),
            ({"scene": "indian_pines", "split": "fixed"}, None, "fixed"),
        ],
    )
    def test_the_share_that_trains_has_a_default_and_a_name(self, values, fraction, name):
        data = DataSpec(**values)
        assert (data.fraction, data.split_name) == (fraction, name)

    def test_pixels_are_held_back_unless_the_split_or_the_specification_says_otherwise(self):
        assert DataSpec(pairs=("sw-se",)).holds_back
        assert not DataSpec(pairs=("sw-se",), split="all").holds_back
        assert not DataSpec(pairs=("sw-se",), validates=False).holds_back


class TestRefused:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({}, "not both"),
            ({"pairs": ("sw-se",), "scene": "indian_pines"}, "not both"),
            ({"pairs": ("sw-se", "sw-se")}, "once"),
            ({"pairs": ("sw-se",), "split": "fixed"}, "one scene"),
            ({"pairs": ("sw-se",), "train_mask": "m.npy"}, "one scene"),
            ({"pairs": ("sw-se",), "test_mask": "m.npy"}, "one scene"),
            ({"scene": "indian_pines", "split": "all"}, "no pixel"),
            ({"pairs": ("sw-se",), "pixels_per_class": 0}, "pixels_per_class = 0"),
            ({"pairs": ("sw-se",), "split": "block"}, "'blocks'"),
            ({"scene": "indian_pines", "split": "field"}, "'fields'"),
            ({"pairs": ("sw-se",), "train_fraction": 1.0}, "train_fraction = 1.0"),
            ({"scene": "indian_pines", "train_fraction": float("nan")}, "train_fraction = nan"),
        ],
    )
    def test_what_does_not_go_together(self, values, message):
        with pytest.raises(InvalidInputError, match=message):
            DataSpec(**values)


class TestPlainValues:
    @pytest.mark.parametrize(
        "data",
        [
            DataSpec(pairs=("sw-se", "west-east"), split="fields", pixels_per_class=7, seed=5, patch_size=9),
            DataSpec(scene="indian_pines", split="random", validates=False, train_fraction=0.3),
            DataSpec(scene="indian_pines", split="fixed", train_mask="/a.npy", test_mask="/b.npy", data_dir="/d"),
            DataSpec(scene="indian_pines", split="fixed", train_mask="/a", test_mask="/b", cut_to_overlap=True),
        ],
    )
    def test_they_come_back_from_json_as_they_were(self, data):
        values = data.as_dict()
        # What flags say of a file or of overlaps is written only where they do: other specifications keep their key.
        left_out = {"described"} if data.cut_to_overlap else {"described", "cut_to_overlap"}
        assert values.keys() == {field.name for field in fields(DataSpec)} - left_out
        assert DataSpec.from_dict(json.loads(json.dumps(values))) == data

    def test_paths_become_absolute_so_that_another_folder_finds_the_same_data(self, tiny_scene, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        write_scene(tiny_scene, Path("tiny.arrow"))
        names = ("train_mask", "test_mask", "data_dir", "catalogue")
        values = DataSpec(scene="tiny.arrow", split="fixed", **{name: f"at/{name}" for name in names}).as_dict()
        assert {name: values[name] for name in names} == {name: str(tmp_path / "at" / name) for name in names}
        assert values["scene"] == str(tmp_path / "tiny.arrow")

    def test_a_scene_s_name_is_no_path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        values = DataSpec(scene="indian_pines").as_dict()
        assert (values["scene"], values["data_dir"], values["catalogue"]) == ("indian_pines", None, None)


class TestLoaded:
    @pytest.fixture
    def data(self, unit_catalogue):
        return DataSpec(pairs=("one-two",), catalogue=unit_catalogue(one="counts", two="counts"), patch_size=5)

    def test_trainings_are_given_sources_and_no_target_labels(self, data):
        loaded = data.load()
        (pair,), (source,) = loaded.pairs, loaded.sources
        assert loaded.spec == data
        assert [recipe.name for recipe in loaded.recipes] == [pair.name] == [source.pair_name] == ["one-two"]
        assert not isinstance(pair.target, Scene)
        assert vars(source).keys() == {"pair_name", "scene", "split", "part"}
        assert share(source.split) == pytest.approx(0.8, abs=0.1)

    def test_at_most_so_many_pixels_per_class_train(self, data):
        (source,) = replace(data, pixels_per_class=20).load().sources
        assert np.bincount(source.labels_of(source.split.train)).tolist() == [20, 20, 20]
        assert len(source.split.validation) > 0

    def test_the_same_scenes_are_divided_again_without_being_read_again(self, data):
        loaded = data.load()
        again = loaded.divided(replace(data, seed=1))
        assert again.spec.seed == 1
        assert again.pairs is loaded.pairs
        assert again.sources[0].split.content_hash != loaded.sources[0].split.content_hash
        assert again.sources[0].split.content_hash == replace(data, seed=1).load().sources[0].split.content_hash

    def test_identity_and_origin_name_what_decides_the_result(self, data):
        loaded = data.load()
        (pair,), (source,) = loaded.pairs, loaded.sources
        (recipe,) = loaded.recipes
        assert loaded.identity() == {
            "split.hash.one-two": source.split.content_hash,
            "definition.hash.one-two": recipe.definition_hash,
            "source.shape.one-two": [40, 30, 8],
            "target.shape.one-two": [40, 30, 8],
            "classes.one-two": ["soil", "tree", "water"],
        }
        assert loaded.origin() == {
            "source.hash.one-two": source.scene.content_hash,
            "target.hash.one-two": pair.target.cube_hash,
        }
        assert loaded.hashes().keys() == {
            f"{what}.hash.one-two" for what in ("split", "definition", "source", "target")
        }

    def test_within_a_scene_the_test_pixels_are_part_of_the_identity(self):
        loaded = DataSpec(scene="indian_pines", split="random", patch_size=5).load()
        (pair,) = loaded.pairs
        assert loaded.identity()["test_split.hash.indian_pines"] == pair.test_split.content_hash
        assert "definition.hash.indian_pines" not in loaded.identity()

    def test_pairs_that_share_a_pixel_are_refused(self):
        with pytest.raises(InvalidInputError, match=r"'west-east'.*'east-west'"):
            DataSpec(pairs=("west-east", "east-west")).load()


@pytest.mark.parametrize(("kind", "guard"), [("blocks", 2), ("fields", 2), ("random", 0)])
def test_a_source_is_divided_by_kind(pair, kind, guard):
    split = divide(pair, kind)
    assert (split.kind, split.guard, split.patch_size) == (kind, guard, 5)
    assert share(split) == pytest.approx(0.75, abs=0.1)
    assert split.content_hash == divide(pair, kind).content_hash
    assert split.content_hash != divide(pair, kind, seed=1).content_hash
    assert split.content_hash != divide(replace(pair, name="x"), kind).content_hash


def test_all_trains_on_all(pair):
    split = divide(pair, "all")
    assert (len(split.train), len(split.validation)) == (768, 0)


@pytest.mark.parametrize("kind", ["blocks", "fields", "random", "fixed"])
def test_within_a_scene_no_test_pixel_validates_or_trains(tiny_scene, as_scene_pair, kind):
    pair = as_scene_pair(tiny_scene)
    split = divide(pair, kind)
    assert split.kind == ("random" if kind == "fixed" else kind)
    tested = pair.test_split.validation
    assert np.intersect1d(split.train, tested).size == np.intersect1d(split.validation, tested).size == 0
    assert np.isin(np.r_[split.train, split.validation], pair.test_split.train).all()


def test_within_a_scene_a_class_of_a_handful_trains_whole(tiny_scene, as_scene_pair):
    labels = tiny_scene.labels.copy()
    rare = np.flatnonzero(labels == 3)[6:]
    labels.ravel()[rare] = 0
    few = replace(tiny_scene, labels=labels)
    with pytest.raises(InvalidInputError):
        divide(ScenePair(name="p", sources=(few,), target=replace(tiny_scene, name="o").without_labels()), "blocks")
    pair = as_scene_pair(few, fraction=0.8)
    split = divide(pair, "blocks")
    trained = pair.source.labels.ravel()[split.train]
    assert (trained == 3).sum() == 5
    assert split.scored_classes == (0, 1)
