"""One training as plain values."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.methods.cross_entropy import CrossEntropyConfig
from sceneshift.methods.registry import METHODS, find_method
from sceneshift.methods.s2vnet import S2VNetConfig
from sceneshift.splits.fields import number_fields
from sceneshift.training.data import DataSpec
from sceneshift.training.spec import FORMAT, TrainSpec, flat

SPEC = TrainSpec(
    method="cross_entropy",
    config=CrossEntropyConfig(patch_size=5, width=8),
    epochs=3,
    seed=4,
    data=DataSpec(pairs=("sw-se",), patch_size=7, pixels_per_class=20),
)


def test_what_a_plan_refuses_a_specification_does():
    with pytest.raises(InvalidInputError, match="epochs = 0"):
        replace(SPEC, epochs=0)
    with pytest.raises(InvalidInputError, match=r"CrossEntropyConfig.*S2VNetConfig"):
        replace(SPEC, config=S2VNetConfig())


class TestPlainValues:
    @pytest.mark.parametrize("method", METHODS)
    def test_they_come_back_from_json_as_they_were(self, method):
        kind = find_method(method)
        spec = replace(
            SPEC,
            method=method,
            config=kind.config_type(),
            epochs=1 if kind.fitted_at_once else SPEC.epochs,
            precision="bfloat16",
            evaluate_every=0,
        )
        values = json.loads(json.dumps(spec.as_dict()))
        again = TrainSpec.from_dict(values)
        assert again == spec
        assert type(again.config) is type(spec.config)
        assert again.key() == spec.key()

    def test_they_name_every_field_and_the_format(self):
        assert SPEC.as_dict().keys() == {
            "format",
            "method",
            "config",
            "epochs",
            "seed",
            "precision",
            "compile",
            "evaluate_every",
            "record",
            "target_access",
            "data",
        }
        assert SPEC.as_dict()["format"] == FORMAT
        assert SPEC.as_dict()["data"] == SPEC.data.as_dict()

    def test_reading_leaves_the_values_alone(self):
        values = SPEC.as_dict()
        before = json.dumps(values)
        TrainSpec.from_dict(values)
        assert json.dumps(values) == before

    @pytest.mark.parametrize("found", [FORMAT - 1, FORMAT + 1, None])
    def test_another_format_is_refused_by_its_number(self, found):
        with pytest.raises(StudyError, match=f"format {found}; .* reads format {FORMAT}"):
            TrainSpec.from_dict({**SPEC.as_dict(), "format": found})

    def test_values_without_a_format_are_refused(self):
        values = SPEC.as_dict()
        del values["format"]
        with pytest.raises(StudyError, match="format None"):
            TrainSpec.from_dict(values)

    def test_an_unknown_setting_is_refused_with_the_nearest(self):
        values = SPEC.as_dict()
        values["config"] = {"widht": 3}
        with pytest.raises(InvalidInputError, match="'width'"):
            TrainSpec.from_dict(values)


class TestKey:
    @pytest.mark.parametrize(
        "changes",
        [
            {"method": "s2vnet", "config": S2VNetConfig(patch_size=5)},
            {"config": replace(SPEC.config, lr=0.5)},
            {"config": replace(SPEC.config, width=16)},
            {"config": replace(SPEC.config, normalization="derivative")},
            {"epochs": 4},
            {"seed": 5},
            {"precision": "bfloat16"},
            {"compile": True},
            *(
                {"data": replace(SPEC.data, **of_data)}
                for of_data in (
                    {"pairs": ("west-east",)},
                    {"pairs": (), "scene": "indian_pines"},
                    {"split": "random"},
                    {"validates": False},
                    {"train_fraction": 0.6},
                    {"patch_size": 9},
                    {"pixels_per_class": None},
                    {"seed": 1},
                    {"data_dir": "/d"},
                    {"catalogue": "/c.toml"},
                )
            ),
        ],
    )
    def test_it_changes_with_what_decides_the_result(self, changes):
        assert replace(SPEC, **changes).key() != SPEC.key()

    def test_it_changes_with_the_masks(self):
        def key(**masks):
            return replace(SPEC, data=DataSpec(scene="indian_pines", split="fixed", **masks)).key()

        assert len({key(), key(train_mask="/a", test_mask="/b"), key(train_mask="/a", test_mask="/c")}) == 3

    @pytest.mark.parametrize("evaluate_every", [0, 2])
    def test_how_often_one_evaluates_decides_nothing(self, evaluate_every):
        assert replace(SPEC, evaluate_every=evaluate_every).key() == SPEC.key()

    def test_it_can_name_a_folder(self):
        key = SPEC.key()
        assert len(key) == 16
        assert set(key) <= set("0123456789abcdef")


class TestOnEveryField:
    @pytest.fixture
    def spec(self, unit_catalogue):
        data = DataSpec(pairs=("one-two",), catalogue=unit_catalogue(one="counts", two="counts"), patch_size=5, seed=3)
        return replace(SPEC, data=replace(data, pixels_per_class=30))

    def test_nothing_else_of_the_training_changes(self, spec):
        again = spec.on_every_field(pixels_per_class=7)
        assert again == replace(spec, data=replace(spec.data, validates=False, pixels_per_class=7))
        assert again.key() != spec.key()

    def test_pixels_are_drawn_over_every_field_and_none_validates(self, spec):
        def source(pixels_per_class):
            (found,) = spec.on_every_field(pixels_per_class=pixels_per_class).data.load().sources
            return found

        whole, thinned = source(None), source(20)
        assert len(whole.split.train) == (whole.scene.labels > 0).sum()
        assert np.bincount(thinned.labels_of(thinned.split.train)).tolist() == [20, 20, 20]
        assert len(thinned.split.validation) == len(whole.split.validation) == 0
        # Four fields per class; some of them hold validation pixels of the trials.
        fields, _ = number_fields(thinned.scene.labels)
        assert len(np.unique(fields.ravel()[thinned.split.train])) == fields.max()
        assert source(20).split.content_hash == thinned.split.content_hash

    @pytest.mark.parametrize("train_fraction", [None, 0.3])
    def test_within_a_scene_the_test_pixels_stay_the_same(self, train_fraction):
        data = DataSpec(scene="indian_pines", split="random", patch_size=5, train_fraction=train_fraction)
        spec = replace(SPEC, data=data)
        of_trials, of_refit = data.load(), spec.on_every_field(pixels_per_class=None).data.load()
        (before,), (after,) = of_trials.pairs, of_refit.pairs
        assert after.test_split.content_hash == before.test_split.content_hash
        np.testing.assert_array_equal(of_refit.sources[0].split.train, before.test_split.train)


def test_a_flat_rendering_has_one_entry_per_value():
    assert flat({"a": 1, "b": {"c": [1, 2], "d": {"e": None}}, "f": {}}) == {"a": 1, "b.c": [1, 2], "b.d.e": None}
    values = flat(SPEC.as_dict())
    assert (values["config.lr"], values["data.pairs"], values["epochs"]) == (SPEC.config.lr, ["sw-se"], 3)
