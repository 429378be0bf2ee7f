"""The first lines a user sees."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.commands.announcements import announce_search, announce_training, announce_trials, describe_pair
from sceneshift.commands.train_arguments import TrainArgs
from sceneshift.commands.tune_arguments import TuneArgs
from sceneshift.engine.prepared_training import prepare_training
from sceneshift.execution.executor import Placement
from sceneshift.search.prepared import prepare
from sceneshift.splits.pair import ScenePair
from sceneshift.training.data import source_split


@pytest.fixture
def pair(make_scene):
    return ScenePair(name="tiny-other", sources=(make_scene(0),), target=make_scene(1, name="other").without_labels())


def divide(pair, kind):
    return source_split(pair, kind, fraction=0.75, patch_size=5, seed=0)


class TestPairs:
    def test_a_pair_is_described_in_one_line(self, pair):
        split = divide(pair, "blocks")
        near = split.separation()
        assert describe_pair(pair, [split]) == [
            f"pair tiny-other      {len(split.train)} training and {len(split.validation)} validation pixels by "
            f"blocks, guard 2 (patch 5: 0 validation pixels inside a training patch, {near.num_overlapping_patches} "
            "with an overlapping patch)"
        ]
        assert "validation pixels at random, which LEAKS (patch 5: " in describe_pair(pair, [divide(pair, "random")])[0]
        assert describe_pair(pair, [divide(pair, "all")]) == [
            "pair tiny-other      all 768 labelled pixels of the source train"
        ]

    def test_a_scene_is_described_with_its_test_side_and_its_notes(self, tiny_scene, as_scene_pair):
        pair = as_scene_pair(tiny_scene)
        test = pair.test_split
        near = test.separation()
        first = (
            f"scene tiny           {len(test.train)} training and {len(test.validation)} test pixels at random, which "
            f"LEAKS (patch 5: {near.num_inside_training_patch} test pixels inside a training patch, "
            f"{near.num_overlapping_patches} with an overlapping patch)"
        )
        note = f"{' ' * 21}a note"
        assert describe_pair(pair, [divide(pair, "all")]) == [first, note]
        split = divide(pair, "random")
        lines = describe_pair(pair, [split])
        assert (lines[0], lines[-1], len(lines)) == (first, note, 3)
        assert lines[1].startswith(
            f"{' ' * 21}{len(split.train)} training and {len(split.validation)} validation pixels at random, "
            "which LEAKS"
        )

    def test_a_class_that_validation_can_not_score_is_named(self, tiny_scene, as_scene_pair):
        labels = tiny_scene.labels.copy()
        labels.ravel()[np.flatnonzero(labels == 3)[6:]] = 0
        pair = as_scene_pair(replace(tiny_scene, labels=labels), fraction=0.8)
        lines = describe_pair(pair, [divide(pair, "blocks")])
        assert f"{' ' * 21}NOT in the validation score, only on one side of the split: water" in lines

    @pytest.mark.parametrize(
        ("source", "target", "expected"),
        [("counts", "counts", ["counts"]), ("counts", None, ["counts (tiny), not stated (other)"]), (None, None, [])],
    )
    def test_units_are_named_where_one_is_stated(self, pair, source, target, expected):
        pair = replace(pair, sources=(replace(pair.source, unit=source),), target=replace(pair.target, unit=target))
        lines = describe_pair(pair, [divide(pair, "all")])
        assert lines[1:] == [f"{' ' * 21}unit: {units}" for units in expected]

    def test_bands_that_are_constant_over_the_source_are_counted(self, pair):
        cube = pair.source.cube.copy()
        cube[..., 2] = 1.0
        constant = replace(pair, sources=(replace(pair.source, cube=cube),))
        (line,) = describe_pair(constant, [divide(constant, "all")])[1:]
        assert "1 of 8 bands" in line
        assert "the first: 2" in line

    def test_a_long_name_keeps_a_space_before_the_counts(self, pair):
        long = replace(pair, name="a-very-long-name-of-a-pair")
        assert describe_pair(long, [divide(long, "all")])[0].startswith("pair a-very-long-name-of-a-pair all 768")


class TestSearches:
    @pytest.fixture
    def prepared(self, request, tmp_path):
        def build(*, method="s2amsnet", **changes):
            given = {"storage_path": str(tmp_path), "experiment_name": "s", "profile": "laptop", **changes}
            spaces = request.config.rootpath / "search_spaces"
            return prepare(TuneArgs(**given).spec(method, spaces / f"{method}.py"))

        return build

    def test_profile_guard_and_separation(self, prepared, tmp_path):
        search = prepared()
        lines = announce_search(search)
        assert lines[0] == "study                s"
        assert lines[1] == f"kept in              {tmp_path}/s"
        assert lines[2].startswith("profile              laptop: ")
        assert lines[3] == (
            f"{' ' * 21}8 trials of at most 16 epochs (as many as fit, at least 8), at most 100 training pixels per "
            f"class, patch <= 7, search ends after {search.profile.time_budget_s:g} s"
        )
        assert [line.split()[1] for line in lines if line.startswith("pair ")] == ["west-east", "sw-se"]
        assert "guard 3 (patch 7: 0 validation pixels inside a training patch" in "\n".join(lines)

    def test_both_splits_of_a_search_within_a_scene(self, prepared):
        text = "\n".join(announce_search(prepared(method="s2vnet")))
        assert "scene indian_pines   " in text
        assert " test pixels by blocks, guard 3 (patch 7: 0 test pixels inside a training patch" in text
        assert " validation pixels by blocks, guard 3 (patch 7: 0 validation pixels inside a training patch" in text

    def test_classes_that_a_split_by_fields_can_not_score(self, prepared):
        text = "\n".join(announce_search(prepared(pairs=("sw-se",), by_field=True)))
        assert " validation pixels by fields, guard 3 (patch 7: 0 validation pixels inside a training patch" in text
        assert "NOT in the validation score, only on one side of the split: Corn-notill, Soybean-notill" in text

    def test_what_units_leave_out_and_which_are_declared(self, prepared, unit_catalogue):
        def lines(factor=1e4, **units):
            catalogue = unit_catalogue(factor, **units)
            return announce_search(prepared(pairs=("one-two",), catalogue=catalogue, split="random"))

        search = prepared(pairs=("one-two",), catalogue=unit_catalogue(1e4), split="random")
        assert lines()[-len(search.narrowing) :] == [
            f"{'' if i else 'narrowed':<21}{line}" for i, line in enumerate(search.narrowing)
        ]
        declared = lines(1.0, one="reflectance", two="counts")
        assert any("reflectance (one), counts (two)" in line for line in declared)
        assert not any(line.startswith("narrowed") for line in declared)

    def test_how_trials_run(self, prepared):
        search = prepared(pairs=("sw-se",), precision="bfloat16")
        placement = Placement(at_once=2, workers=3, cpus=1.0, gpus=0.5)
        assert announce_trials(search, placement) == (
            "search               2 trials at once of 3 workers, 1 CPU and 0.5 GPU each, training in Ray Train and in "
            "bfloat16"
        )
        alone = announce_trials(search, Placement(at_once=1, cpus=2.0))
        assert "workers" not in alone
        assert "GPU" not in alone


class TestTrainings:
    @pytest.fixture
    def lines(self, tmp_path):
        def announce(**changes):
            given = {"storage_path": str(tmp_path), "run_name": "r", "device": "cpu", "patch_size": 5, **changes}
            arguments = TrainArgs(**{"method": "s2vnet", **given})
            return announce_training(prepare_training(arguments.spec(), arguments.options()))

        return announce

    def test_method_settings_and_pixels(self, lines, tmp_path):
        shown = lines(scene="indian_pines", split="random", epochs=3)
        assert shown[:3] == [
            "run                  r",
            f"kept in              {tmp_path}/training/r",
            "method               s2vnet, 3 epochs, seed 0, float32, cpu",
        ]
        assert "patch_size 5, batch_size 64, lr 0.001" in shown[3]
        assert shown[4].startswith("scene indian_pines   1031 training and 9218 test pixels at random")

    def test_where_it_trains(self, lines):
        assert lines(pair="sw-se", workers_per_trial=2)[2].endswith("cpu, 2 workers in Ray Train")
        assert lines(pair="sw-se", executor="ray")[2].endswith("cpu in Ray")

    def test_a_split_by_fields(self, lines):
        text = "\n".join(lines(pair="west-east", split="fields", patch_size=7))
        assert "validation pixels by fields, guard 3" in text

    @pytest.mark.parametrize("changes", [{"scene": "indian_pines", "train_fraction": 0.15}, {"pair": "sw-se"}])
    def test_the_share_that_each_class_got(self, lines, changes):
        (line,) = (line for line in lines(split="blocks", patch_size=7, **changes) if "training share" in line)
        assert f"training share of each class: asked for {changes.get('train_fraction', 0.8):g}, " in line

    def test_a_cap_of_pixels_per_class(self, lines):
        text = lines(pair="sw-se", split="random", pixels_per_class=20)
        assert text[4].startswith("pair sw-se           100 training and ")
        text = "\n".join(lines(scene="indian_pines", split="random", pixels_per_class=20))
        assert "of these, 260 pixels train, at most 20 per class" in text
        assert "100 pixels train, at most 20 per class" in lines(pair="sw-se", split="all", pixels_per_class=20)[4]

    def test_declared_units(self, lines, unit_catalogue):
        catalogue = unit_catalogue(one="reflectance", two="counts")
        shown = lines(pair="one-two", catalogue=catalogue, split="random")
        assert any("reflectance (one), counts (two)" in line for line in shown)
