"""A run that is run again from what MLflow has of it."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sceneshift.engine import repeating as repeating
from sceneshift.engine.prepared_training import RunOptions
from sceneshift.engine.repeating import OriginalRun, repeat
from sceneshift.engine.training import TrainResult
from sceneshift.errors import StudyError
from sceneshift.methods.cross_entropy import CrossEntropyConfig
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.provenance import REPEAT_OF_TAG, SPEC_TAG, sources_hash
from sceneshift.training.data import DataSpec
from sceneshift.training.spec import TrainSpec

SPEC = TrainSpec(
    method="cross_entropy",
    config=CrossEntropyConfig(lr=0.00123456789012345, width=32, normalization="l2-per-pixel"),
    epochs=5,
    seed=4,
    data=DataSpec(pairs=("sw-se",), seed=7),
)
TAGS = {
    SPEC_TAG: json.dumps(SPEC.as_dict()),
    "code.hash": sources_hash(),
    "split.hash.sw-se": "aa",
    "source.hash.sw-se": "bb",
    "weights.sw-se": "cc",
    "seed": "4",
}
EPOCHS = {1: {"val/aa": 0.1}, 2: {"val/aa": 0.2}}


def run(**changes):
    values = {
        "run_id": "abc",
        "name": "trial-0003",
        "tags": {**TAGS, **changes.pop("tags", {})},
        "epochs": EPOCHS,
        "target": {"target/oa": 0.5},
        "study_params": {},
    }
    return OriginalRun(**{**values, **changes})


class Client:
    """As much of MLflow's client as reading a run takes."""

    tracking_uri = "sqlite:///m.db"

    def __init__(self, tags, *, parent=None):
        self._tags, self._parent = tags, parent or {}

    def get_run(self, run_id):
        if run_id == "parent":
            return SimpleNamespace(data=SimpleNamespace(params=self._parent))
        if run_id != "abc":
            raise KeyError(run_id)
        metrics = {"val/aa": 0.2, "train/sw-se/loss": 1.0, "time/epoch_s": 3.0, "target/oa": 0.5}
        return SimpleNamespace(
            info=SimpleNamespace(run_name="trial-0003"), data=SimpleNamespace(tags=self._tags, metrics=metrics)
        )

    def get_metric_history(self, run_id, key):
        values = {"val/aa": [0.1, 0.2], "train/sw-se/loss": [2.0, 1.0]}[key]
        return [SimpleNamespace(step=step, value=value) for step, value in enumerate(values, start=1)]


class TestReading:
    def test_a_training_is_read_with_every_epoch_and_its_target(self):
        found = OriginalRun.read(Client(TAGS), "abc")
        assert (found.run_id, found.name, found.tags, found.study_params) == ("abc", "trial-0003", TAGS, {})
        assert found.epochs == {
            1: {"val/aa": 0.1, "train/sw-se/loss": 2.0},
            2: {"val/aa": 0.2, "train/sw-se/loss": 1.0},
        }
        assert found.target == {"target/oa": 0.5}
        assert not found.is_trial

    def test_a_trial_is_read_with_what_its_search_took(self):
        tags = {**TAGS, "sceneshift.trial": "3", "mlflow.parentRunId": "parent"}
        found = OriginalRun.read(Client(tags, parent={"cpus_per_trial": "2.0"}), "abc")
        assert found.is_trial
        assert found.study_params == {"cpus_per_trial": "2.0"}

    def test_a_run_that_is_not_there_is_named_with_the_place(self):
        with pytest.raises(StudyError, match=r"sqlite:///m\.db.*'other'"):
            OriginalRun.read(Client(TAGS), "other")

    @pytest.mark.parametrize("tags", [{}, {**TAGS, "sceneshift.study": "parent"}])
    def test_what_is_neither_trial_nor_training_is_refused(self, tags):
        with pytest.raises(StudyError, match="abc"):
            OriginalRun.read(Client(tags), "abc")

    def test_a_run_of_an_earlier_version_is_refused_with_that_version(self):
        with pytest.raises(StudyError, match=r"sceneshift 0\.1\.3"):
            OriginalRun.read(Client({"sceneshift.repeat": "{}", "version.sceneshift": "0.1.3"}), "abc")

    def test_what_was_trained_comes_back_as_it_was(self):
        assert run().spec == SPEC

    def test_another_format_is_refused(self):
        tags = {SPEC_TAG: json.dumps({**SPEC.as_dict(), "format": 99})}
        with pytest.raises(StudyError, match="format 99"):
            _ = run(tags=tags).spec


class TestData:
    def test_other_data_is_refused_with_the_hashes_that_differ(self):
        run().refuse_other_data({"split.hash.sw-se": "aa", "source.hash.sw-se": "bb", "seed": "9"})
        with pytest.raises(StudyError) as refused:
            run().refuse_other_data({"split.hash.sw-se": "aa", "source.hash.sw-se": "XX"})
        assert "source.hash.sw-se: was 'bb', is 'XX'" in str(refused.value)
        assert "split.hash" not in str(refused.value)
        assert "Nothing was trained" in str(refused.value)

    def test_other_code_is_warned_of(self, package_log):
        same = {"split.hash.sw-se": "aa", "source.hash.sw-se": "bb"}
        run().refuse_other_data(same)
        assert package_log.records == []
        run(tags={"code.hash": "old"}).refuse_other_data(same)
        (record,) = package_log.records
        assert record.levelname == "WARNING"
        assert record.args == ("old", sources_hash())


class TestComparing:
    def test_equal_figures_are_equal(self):
        """Golden: the wording is asserted here alone."""
        equal, words = run().compare({1: {"val/aa": 0.1}, 2: {"val/aa": 0.2}}, {"sw-se": "cc"})
        assert equal
        assert words == "Run again: all 3 figures of trial-0003 are equal to the last bit, weights included."
        assert run().compare(EPOCHS, {"sw-se": "cc"}, target={"target/oa": 0.5})[0]

    @pytest.mark.parametrize(
        ("epochs", "weights", "target", "expected"),
        [
            ({**EPOCHS, 2: {"val/aa": 0.2000000001}}, "cc", 0.5, "val/aa of epoch 2: was 0.2, is 0.2000000001"),
            ({1: {"val/aa": 0.1}}, "cc", 0.5, "val/aa of epoch 2: was 0.2, is None"),
            (EPOCHS, "dd", 0.5, "weights of sw-se: was 'cc', is 'dd'"),
            (EPOCHS, "cc", 0.6, "target/oa: was 0.5, is 0.6"),
        ],
    )
    def test_what_is_not_equal_is_named(self, epochs, weights, target, expected):
        equal, words = run().compare(epochs, {"sw-se": weights}, target={"target/oa": target})
        assert not equal
        assert expected in words
        assert re.findall(r"\b\d+\b", words.splitlines()[0].replace("trial-0003", "")) == ["4", "1"]


class TestRepeating:
    """What is asked of the training; trainings themselves are in tests/commands/test_train.py."""

    @pytest.fixture
    def again(self, monkeypatch, tmp_path):
        """Repeat a run, with a training that is made up; returns the result and what the training was asked for."""

        def again(original, outcome=None, **options):
            asked = {}

            def train(spec, options, **arguments):
                asked.update(spec=spec, options=options, **arguments)
                if isinstance(outcome, Exception):
                    raise outcome
                made = {
                    "name": options.name,
                    "directory": tmp_path,
                    "epochs": {n: {**text, "time/epoch_s": 9.0} for n, text in EPOCHS.items()},
                    "weights": {"sw-se": "cc"},
                    "closed": None if not arguments["closes"] else SimpleNamespace(metrics={"target/oa": 0.5, "x": 1}),
                    "is_interrupted": False,
                    "tracking_uri": "",
                    "experiment_id": "1",
                    "run_id": "2",
                }
                return TrainResult(**{**made, **(outcome or {})})

            monkeypatch.setattr(TrackingBackend, "connect", lambda self: None)
            monkeypatch.setattr(OriginalRun, "read", lambda client, run_id: original)
            monkeypatch.setattr(repeating, "train", train)
            return repeat("abc", RunOptions(storage_path=str(tmp_path), **options)), asked

        return again

    @pytest.fixture
    def trial(self):
        return run(
            tags={"sceneshift.trial": "3"}, target={}, study_params={"cpus_per_trial": "2.0", "gpus_per_trial": "0.0"}
        )

    def test_a_training_is_trained_and_closed_as_then(self, again):
        result, asked = again(run())
        assert result.is_equal
        assert (asked["spec"], asked["last_epoch"], asked["closes"]) == (SPEC, None, True)
        assert asked["tags"] == {REPEAT_OF_TAG: "abc"}
        assert asked["options"].name == "trial-0003-again"
        assert (asked["options"].threads, asked["options"].device) == (None, "auto")

    def test_a_trial_is_trained_as_far_as_it_ran_where_it_ran(self, again, trial):
        result, asked = again(trial)
        assert result.is_equal
        assert (asked["spec"], asked["last_epoch"], asked["closes"]) == (SPEC, 2, False)
        assert (asked["options"].threads, asked["options"].device) == (2, "cpu")

    def test_what_is_asked_for_comes_before_the_original_s(self, again, trial):
        _, asked = again(trial, name="mine", threads=1, device="cpu")
        assert (asked["options"].name, asked["options"].threads, asked["options"].device) == ("mine", 1, "cpu")

    def test_data_is_compared_before_anything_is_written(self, again):
        original = run()
        _, asked = again(original)
        assert asked["checks"] == (original.refuse_other_data,)

    def test_another_figure_is_not_equal(self, again):
        result, _ = again(run(), {"weights": {"sw-se": "dd"}})
        assert not result.is_equal
        assert result.training.weights == {"sw-se": "dd"}

    def test_an_interrupted_training_is_not_compared(self, again):
        result, _ = again(run(), {"is_interrupted": True, "closed": None})
        assert (result.is_equal, result.words) == (False, "")

    def test_a_trial_that_diverged_at_once_does_so_again(self, again, trial):
        reason = "training diverged in epoch 1: loss not finite"
        original = replace(trial, epochs={}, tags={**trial.tags, "sceneshift.reason": reason})
        result, asked = again(original, StudyError(reason))
        assert (result.training, result.is_equal, asked["last_epoch"]) == (None, True, 0)
        with pytest.raises(StudyError, match="something else"):
            again(original, StudyError("something else"))
        with pytest.raises(StudyError, match="diverged"):
            again(trial, StudyError(reason))


def test_names_with_a_plus_are_compared_as_mlflow_has_them():
    tags = {"split.hash.nw and sw-se/nw": "aa", "weights.nw and sw-se": "w"}
    original = run(tags=tags, epochs={1: {"val/nw and sw-se/nw/aa": 0.5}}, target={})
    known = {key: value for key, value in TAGS.items() if key.startswith(("split.hash", "source.hash"))}
    original.refuse_other_data({**known, "split.hash.nw+sw-se/nw": "aa"})
    with pytest.raises(StudyError, match=r"'aa'.*'bb'"):
        original.refuse_other_data({**known, "split.hash.nw+sw-se/nw": "bb"})
    assert original.compare({1: {"val/nw+sw-se/nw/aa": 0.5}}, {"nw+sw-se": "w"})[0]
    assert not original.compare({1: {"val/nw+sw-se/nw/aa": 0.4}}, {"nw+sw-se": "w"})[0]
