import dataclasses
import re
import shlex
import subprocess
import sys
from typing import ClassVar

import pytest
import tyro

from sceneshift.commands.flags import SELECTION_HELP, resume_command
from sceneshift.commands.train_arguments import TrainArgs
from sceneshift.commands.tune_arguments import TuneArgs
from sceneshift.errors import InvalidInputError
from sceneshift.selection.registry import STRATEGIES


def parse(*words):
    return tyro.cli(TuneArgs, args=list(words))


def test_the_command_line_is_frozen():
    # A flag that is renamed breaks somebody's script: change this list knowingly.
    assert {field.name for field in dataclasses.fields(TuneArgs)} == {
        "pairs",
        "scene",
        "split",
        "by_field",
        "train_fraction",
        "labels",
        "class_names",
        "label_values",
        "unlabelled_values",
        "wavelengths_nm",
        "cube_variable",
        "labels_variable",
        "train_mask",
        "test_mask",
        "cut_to_overlap",
        "data_dir",
        "catalogue",
        "profile",
        "num_samples",
        "max_concurrent_trials",
        "epochs",
        "evaluate_every",
        "record",
        "target_access",
        "selection",
        "cpus_per_trial",
        "gpus_per_trial",
        "workers_per_trial",
        "executor",
        "precision",
        "compile",
        "preset",
        "refit",
        "time_budget_s",
        "stall_timeout_s",
        "seed",
        "storage_path",
        "shared_data",
        "experiment_name",
        "smoke_test",
        "resume",
    }


def test_no_argument_is_needed():
    assert parse() == TuneArgs()
    assert (parse().pairs, parse().scene, parse().split) == (None, None, "blocks")  # the search space says what


def test_flags_are_spelled_as_ray_and_mlflow_spell_them():
    line = """--pairs se-sw --num-samples 3 --max-concurrent-trials 2 --epochs 4 --cpus-per-trial 0.5
        --gpus-per-trial 0.25 --workers-per-trial 2 --executor ray-train --precision tf32 --compile --time-budget-s 9.5
        --seed 3 --storage-path s3://b/p --experiment-name n --resume --profile paper"""
    arguments = parse(*line.split())
    assert arguments == TuneArgs(
        pairs=("se-sw",),
        num_samples=3,
        max_concurrent_trials=2,
        epochs=4,
        cpus_per_trial=0.5,
        gpus_per_trial=0.25,
        workers_per_trial=2,
        executor="ray-train",
        precision="tf32",
        compile=True,
        time_budget_s=9.5,
        seed=3,
        storage_path="s3://b/p",
        experiment_name="n",
        resume=True,
        profile="paper",
    )
    assert parse("--smoke-test").smoke_test


def test_one_scene_is_divided_by_flags_of_its_own():
    line = "--scene houston13 --split fixed --train-mask tr.tif --test-mask te.tif --data-dir d"
    assert parse(*line.split()) == TuneArgs(
        scene="houston13", split="fixed", train_mask="tr.tif", test_mask="te.tif", data_dir="d"
    )
    line = "--scene indian_pines --split random --train-fraction 0.3"
    assert parse(*line.split()) == TuneArgs(scene="indian_pines", split="random", train_fraction=0.3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_samples": 0}, "--num-samples 0"),
        ({"epochs": 0}, "--epochs 0"),
        ({"max_concurrent_trials": 0}, "--max-concurrent-trials 0"),
        ({"cpus_per_trial": 0.0}, "--cpus-per-trial 0.0"),
        ({"gpus_per_trial": -1.0}, "--gpus-per-trial -1.0"),
        ({"time_budget_s": 0.0}, "--time-budget-s 0.0"),
        ({"stall_timeout_s": -1.0}, "--stall-timeout-s -1.0: expected 0 or more"),
        ({"resume": True}, "--resume needs --experiment-name"),
        ({"smoke_test": True, "profile": "paper"}, "leave out --profile paper"),
        ({"pairs": ()}, "--pairs"),
        ({"pairs": ("a", "a")}, "each once"),
        ({"pairs": ("west-east",), "scene": "indian_pines"}, r"--pairs.*--scene"),
        ({"train_fraction": 0.0}, r"--train-fraction 0.0.*0.*1"),
        ({"train_fraction": 1.0}, r"--train-fraction 1.0.*0.*1"),
        ({"scene": "s", "split": "fixed", "train_fraction": 0.1}, r"--split fixed.*--train-fraction"),
        ({"pairs": ("a",), "split": "fixed"}, "--scene"),
        ({"pairs": ("a",), "train_mask": "m"}, "--scene"),
        ({"cut_to_overlap": True}, "--cut-to-overlap cuts --train-mask and --test-mask .* TOML catalogue"),
        ({"pairs": ("a",), "test_mask": "m"}, "--scene"),
        ({"experiment_name": "a/b"}, "without '/'"),
        ({"experiment_name": "it's"}, "--experiment-name"),
        ({"experiment_name": 'a"b'}, "quotes"),
        ({"experiment_name": " a"}, "surrounding spaces"),
        ({"experiment_name": ".a"}, "leading dot"),
    ],
)
def test_what_could_not_be_run_is_refused_by_flag(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        TuneArgs(**changes)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["t.py"], ["t.py", "--run-name", "n"]),
        (["t.py", "--set", "a=1", "b=2"], ["t.py", "--set", "a=1", "b=2", "--run-name", "n"]),
        (["t.py", "--run-name", "n", "--resume"], ["t.py", "--run-name", "n"]),
        (["t.py", "--run-name=n", "--seed", "2"], ["t.py", "--run-name=n", "--seed", "2"]),
        (["t.py", "--run_name", "n"], ["t.py", "--run_name", "n"]),
        (["t.py", "--data-dir", "a b"], ["t.py", "--data-dir", "a b", "--run-name", "n"]),
    ],
)
def test_the_command_that_continues_names_what_it_continues_with(monkeypatch, words, expected):
    monkeypatch.setattr(sys, "argv", words)
    assert shlex.split(resume_command("--run-name", "n")) == [sys.executable, *expected, "--resume"]


def test_help_lists_every_flag_and_starts_nothing(request):
    done = subprocess.run(
        [sys.executable, "experiments/tune_s2amsnet.py", "--help"],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        check=True,
    )
    for field in dataclasses.fields(TuneArgs):
        assert f"--{field.name.replace('_', '-')}" in done.stdout
    assert "--list-settings" in done.stdout


def test_a_bad_value_on_the_command_line_is_reported_without_a_traceback(request):
    done = subprocess.run(
        [sys.executable, "experiments/tune_s2amsnet.py", "--num-samples", "0"],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "--num-samples 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_by_field_is_the_split_by_fields():
    assert parse("--by-field").split == parse("--split", "fields").split == "fields"
    assert parse("--split", "fields", "--by-field").split == "fields"
    for other in ("random", "fixed"):
        with pytest.raises(InvalidInputError, match=rf"--by-field.*--split {other}"):
            TuneArgs(split=other, by_field=True, scene="indian_pines")


class TestSelection:
    """Of searches and trainings alike."""

    PAIR: ClassVar = {"method": "cross_entropy", "pair": "west-east", "epochs": 4, "evaluate_every": 2}

    def test_a_strategy_that_reads_the_record_implies_it(self):
        assert TuneArgs(selection="shifted-blocks").record
        assert TuneArgs(selection="infomax", target_access="unlabelled").record
        assert TrainArgs(**self.PAIR, selection="shifted-blocks").record
        assert not TuneArgs(selection="source-random", split="random").record
        assert not TuneArgs().record

    @pytest.mark.parametrize("name", ["infomax", "oracle"])
    def test_target_pixels_must_be_allowed(self, name):
        for build in (TuneArgs, lambda **given: TrainArgs(**self.PAIR, **given)):
            with pytest.raises(InvalidInputError):
                build(selection=name)

    def test_compiled_networks_are_not_recorded(self):
        with pytest.raises(InvalidInputError):
            TuneArgs(selection="shifted-blocks", compile=True)

    @pytest.mark.parametrize("name", ["gde", "seed-agreement", "leave-one-scene-out", "source-random", "no-such"])
    def test_what_can_not_choose_is_refused_before_anything_is_loaded(self, name, pytestconfig):
        arguments = {"target_access": "unlabelled", "record": True}
        with pytest.raises(InvalidInputError):
            TuneArgs(selection=name, profile="laptop", **arguments).spec(
                "s2amsnet", pytestconfig.rootpath / "search_spaces" / "s2amsnet.py"
            )
        with pytest.raises(InvalidInputError):
            TrainArgs(**self.PAIR, selection=name, **arguments)

    def test_a_training_that_evaluates_once_chooses_nothing(self):
        with pytest.raises(InvalidInputError):
            TrainArgs(**{**self.PAIR, "evaluate_every": 0}, selection="shifted-blocks")

    def test_help_names_every_strategy(self):
        words = set(re.findall(r"[a-z]+(?:-[a-z]+)*", SELECTION_HELP.replace("--", " ")))
        assert set(STRATEGIES) <= words

    def test_a_search_is_reported_which(self, pytestconfig):
        space = pytestconfig.rootpath / "search_spaces" / "s2amsnet.py"
        spec = TuneArgs(selection="atc", target_access="unlabelled", profile="laptop").spec("s2amsnet", space)
        assert (spec.strategy, spec.record, spec.target_access) == ("atc", True, "unlabelled")
