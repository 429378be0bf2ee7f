import json

import pytest

from sceneshift.commands.train_arguments import TrainArgs
from sceneshift.commands.tune_arguments import TuneArgs, repeatable_arguments
from sceneshift.engine.repeat import OriginalRun
from sceneshift.errors import StudyError
from sceneshift.tracking.provenance import REPEAT_TAG, sources_hash


def run(**changes):
    tags = {
        REPEAT_TAG: json.dumps({"arguments": repeatable_arguments(TuneArgs(pairs=("sw-se",), seed=4))}),
        "code.hash": sources_hash(),
        "split.hash.sw-se": "aa",
        "source.hash.sw-se": "bb",
        "weights.sw-se": "cc",
        "seed": "4",
    }
    values = {
        "run_id": "abc",
        "name": "trial-0003",
        "tags": {**tags, **changes.pop("tags", {})},
        "params": {"lr": "0.00123456789012345", "flips": "True", "width": "32", "normalization": "l2-per-pixel"},
        "epochs": {1: {"val/aa": 0.1}, 2: {"val/aa": 0.2}},
        "target": {"target/oa": 0.5},
        "study_params": {},
    }
    return OriginalRun(**{**values, **changes})


def test_a_configuration_comes_back_from_text_as_it_was():
    assert run().config() == {
        "lr": 0.00123456789012345,
        "flips": True,
        "width": 32,
        "normalization": "l2-per-pixel",
    }


def test_arguments_come_back_with_changes():
    assert run().arguments(TuneArgs) == TuneArgs(pairs=("sw-se",), seed=4)
    told = {"arguments": repeatable_arguments(TrainArgs(method="s2vnet", scene="indian_pines", set=("width=16",)))}
    training = run(tags={REPEAT_TAG: json.dumps(told)})
    assert training.arguments(TrainArgs, run_name="again", threads=1) == TrainArgs(
        method="s2vnet", scene="indian_pines", set=("width=16",), run_name="again", threads=1
    )


def test_a_flag_of_another_version_is_told():
    with pytest.raises(StudyError, match="made by another version of this package, with --old-flag"):
        run(tags={REPEAT_TAG: json.dumps({"arguments": {"old_flag": 1}})}).arguments(TuneArgs)


def test_other_data_is_refused_with_the_hashes_that_differ():
    run().refuse_other_data({"split.hash.sw-se": "aa", "source.hash.sw-se": "bb", "seed": "9"})
    with pytest.raises(StudyError) as refused:
        run().refuse_other_data({"split.hash.sw-se": "aa", "source.hash.sw-se": "XX"})
    assert "source.hash.sw-se: was 'bb', is 'XX'" in str(refused.value)
    assert "split.hash" not in str(refused.value)
    assert "Nothing was trained" in str(refused.value)


def test_other_code_is_told(capsys):
    same = {"split.hash.sw-se": "aa", "source.hash.sw-se": "bb"}
    run().refuse_other_data(same)
    assert capsys.readouterr().out == ""
    run(tags={"code.hash": "old"}).refuse_other_data(same)
    assert "NOTE: the package's code is another than then (hash of its sources: was old" in capsys.readouterr().out


def test_equal_figures_are_told_as_such():
    equal, words = run().compare({1: {"val/aa": 0.1}, 2: {"val/aa": 0.2}}, {"sw-se": "cc"})
    assert equal
    assert words == "Run again: all 3 figures of trial-0003 are equal to the last bit, weights included."
    assert run().compare(run().epochs, {"sw-se": "cc"}, target={"target/oa": 0.5})[0]


@pytest.mark.parametrize(
    ("epochs", "weights", "target", "told"),
    [
        ({1: {"val/aa": 0.1}, 2: {"val/aa": 0.2000000001}}, "cc", 0.5, "val/aa of epoch 2: was 0.2, is 0.2000000001"),
        ({1: {"val/aa": 0.1}}, "cc", 0.5, "val/aa of epoch 2: was 0.2, is None"),
        ({1: {"val/aa": 0.1}, 2: {"val/aa": 0.2}}, "dd", 0.5, "weights of sw-se: was 'cc', is 'dd'"),
        ({1: {"val/aa": 0.1}, 2: {"val/aa": 0.2}}, "cc", 0.6, "target/oa: was 0.5, is 0.6"),
    ],
)
def test_what_is_not_equal_is_named(epochs, weights, target, told):
    equal, words = run().compare(epochs, {"sw-se": weights}, target={"target/oa": target})
    assert not equal
    assert told in words
    assert "of 4 figures of trial-0003 1 are not equal" in words
