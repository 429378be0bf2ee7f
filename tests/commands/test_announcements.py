"""The first lines a user sees."""

import re
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


def numbers(text):
    """The whole numbers of a text that are words of their own."""
    return [int(number) for number in re.findall(r"\b\d+\b", text)]


def sides(lines):
    """What divides each side: its name, the kind of split, guard, patch size, and its pixels in training patches."""
    found = re.findall(r"(\w+) pixels by (\w+), guard (\d+) \(patch (\d+): (\d+) ", "\n".join(lines))
    return [(side, kind, *map(int, counts)) for side, kind, *counts in found]


def divide(pair, kind):
    return source_split(pair, kind, fraction=0.75, patch_size=5, seed=0)


class TestPairs:
    def test_a_pair_is_described_in_one_line(self, pair):
        """Golden: the wording is asserted here alone."""
        split = divide(pair, "blocks")
        near = split.separation()
        assert describe_pair(pair, [split]) == [
            f"pair tiny-other      {len(split.train)} training and {len(split.validation)} validation pixels by "
            f"blocks, guard 2 (patch 5: 0 validation pixels inside a training patch, {near.num_overlapping_patches} "
            "with an overlapping patch)"
        ]

    def test_what_leaks_is_called_so_and_what_trains_whole_is_counted(self, pair):
        split = divide(pair, "random")
        (line,) = describe_pair(pair, [split])
        near = split.separation()
        counts = [len(split.train), len(split.validation)]
        assert numbers(line) == [*counts, 5, near.num_inside_training_patch, near.num_overlapping_patches]
        assert "LEAKS" in line
        (line,) = describe_pair(pair, [divide(pair, "all")])
        assert line.startswith("pair tiny-other ")
        assert numbers(line) == [768]

    def test_a_scene_is_described_with_its_test_side_and_its_notes(self, tiny_scene, as_scene_pair):
        pair = as_scene_pair(tiny_scene)
        test = pair.test_split
        near = test.separation()
        first, note = describe_pair(pair, [divide(pair, "all")])
        assert first.startswith("scene tiny ")
        counts = [len(test.train), len(test.validation)]
        assert numbers(first) == [*counts, 5, near.num_inside_training_patch, near.num_overlapping_patches]
        assert "LEAKS" in first
        assert note == f"{' ' * 21}a note"
        split = divide(pair, "random")
        lines = describe_pair(pair, [split])
        assert (lines[0], lines[-1], len(lines)) == (first, note, 3)
        assert lines[1].startswith(" " * 21)
        assert numbers(lines[1])[:2] == [len(split.train), len(split.validation)]
        assert "LEAKS" in lines[1]

    def test_a_class_that_validation_can_not_score_is_named(self, tiny_scene, as_scene_pair):
        labels = tiny_scene.labels.copy()
        labels.ravel()[np.flatnonzero(labels == 3)[6:]] = 0
        pair = as_scene_pair(replace(tiny_scene, labels=labels), fraction=0.8)
        (line,) = [line for line in describe_pair(pair, [divide(pair, "blocks")]) if "NOT" in line]
        assert line.startswith(" " * 21)
        assert line.endswith(": water")

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
        assert numbers(lines[3]) == [8, 16, 8, 100, 7, search.profile.time_budget_s]
        assert [line.split()[1] for line in lines if line.startswith("pair ")] == ["west-east", "sw-se"]
        assert sides(lines) == [("validation", "blocks", 3, 7, 0)] * 2

    def test_both_splits_of_a_search_within_a_scene(self, prepared):
        lines = announce_search(prepared(method="s2vnet"))
        assert any(line.startswith("scene indian_pines   ") for line in lines)
        assert sides(lines) == [("test", "blocks", 3, 7, 0), ("validation", "blocks", 3, 7, 0)]

    def test_classes_that_a_split_by_fields_can_not_score(self, prepared):
        lines = announce_search(prepared(pairs=("sw-se",), by_field=True))
        assert sides(lines) == [("validation", "fields", 3, 7, 0)]
        assert any("NOT" in line and line.endswith(": Corn-notill, Soybean-notill") for line in lines)

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
        line = announce_trials(search, placement)
        assert line.startswith("search               2 trials")
        assert re.findall(r"([\d.]+) (workers|CPU|GPU)", line) == [("3", "workers"), ("1", "CPU"), ("0.5", "GPU")]
        assert "Ray Train" in line
        assert line.endswith("bfloat16")
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
        assert shown[4].startswith("scene indian_pines   ")
        assert numbers(shown[4])[:2] == [1031, 9218]
        assert "random" in shown[4]

    def test_where_it_trains(self, lines):
        with_workers = lines(pair="sw-se", workers_per_trial=2)[2]
        assert "2 workers" in with_workers
        assert with_workers.endswith("Ray Train")
        assert lines(pair="sw-se", executor="ray")[2].endswith("cpu in Ray")

    def test_a_split_by_fields(self, lines):
        ((*divided, inside),) = sides(lines(pair="west-east", split="fields", patch_size=7))
        assert (divided, inside) == (["validation", "fields", 3, 7], 0)

    @pytest.mark.parametrize("changes", [{"scene": "indian_pines", "train_fraction": 0.15}, {"pair": "sw-se"}])
    def test_the_share_that_each_class_got(self, lines, changes):
        (line,) = (line for line in lines(split="blocks", patch_size=7, **changes) if "training share" in line)
        assert float(re.findall(r"[\d.]+", line)[0]) == changes.get("train_fraction", 0.8)

    def test_a_cap_of_pixels_per_class(self, lines):
        line = lines(pair="sw-se", split="random", pixels_per_class=20)[4]
        assert line.startswith("pair sw-se ")
        assert numbers(line)[0] == 100
        line = lines(scene="indian_pines", split="random", pixels_per_class=20)[4]
        assert numbers(line)[:2] == [1031, 9218]
        assert numbers(line)[-2:] == [260, 20]
        assert numbers(lines(pair="sw-se", split="all", pixels_per_class=20)[4]) == [100, 20]

    def test_declared_units(self, lines, unit_catalogue):
        catalogue = unit_catalogue(one="reflectance", two="counts")
        shown = lines(pair="one-two", catalogue=catalogue, split="random")
        assert any("reflectance (one), counts (two)" in line for line in shown)
