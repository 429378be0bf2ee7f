import dataclasses
import subprocess
import sys

import pytest
import tyro

from sceneshift.errors import InvalidInputError
from sceneshift.study.arguments import TuneArgs


def parse(*words):
    return tyro.cli(TuneArgs, args=list(words))


def test_the_command_line_is_frozen():
    # A flag that is renamed breaks somebody's script: change this list knowingly.
    assert [field.name for field in dataclasses.fields(TuneArgs)] == [
        "pairs",
        "profile",
        "num_samples",
        "max_concurrent_trials",
        "epochs",
        "cpus_per_trial",
        "gpus_per_trial",
        "trainer",
        "precision",
        "compile",
        "time_budget_s",
        "seed",
        "storage_path",
        "experiment_name",
        "smoke_test",
        "resume",
    ]


def test_no_argument_is_needed():
    assert parse() == TuneArgs()
    assert parse().pairs == ("west-east", "sw-se")


def test_flags_are_spelled_as_ray_and_mlflow_spell_them():
    line = """--pairs se-sw --num-samples 3 --max-concurrent-trials 2 --epochs 4 --cpus-per-trial 0.5
        --gpus-per-trial 0.25 --trainer train --precision tf32 --compile --time-budget-s 9.5 --seed 3 --storage-path s3://b/p
        --experiment-name n --resume --profile paper"""
    arguments = parse(*line.split())
    assert arguments == TuneArgs(
        pairs=("se-sw",),
        num_samples=3,
        max_concurrent_trials=2,
        epochs=4,
        cpus_per_trial=0.5,
        gpus_per_trial=0.25,
        trainer="train",
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_samples": 0}, "--num-samples 0"),
        ({"epochs": 0}, "--epochs 0"),
        ({"max_concurrent_trials": 0}, "--max-concurrent-trials 0"),
        ({"cpus_per_trial": 0.0}, "--cpus-per-trial 0.0"),
        ({"gpus_per_trial": -1.0}, "--gpus-per-trial -1.0"),
        ({"time_budget_s": 0.0}, "--time-budget-s 0.0"),
        ({"resume": True}, "--resume needs --experiment-name"),
        ({"smoke_test": True, "profile": "paper"}, "leave out --profile paper"),
        ({"pairs": ()}, "expected at least one pair"),
        ({"pairs": ("a", "a")}, "each once"),
        ({"experiment_name": "a/b"}, "without '/'"),
        ({"experiment_name": ".a"}, "leading dot"),
    ],
)
def test_what_could_not_be_run_is_refused_by_flag(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        TuneArgs(**changes)


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


def test_a_bad_value_on_the_command_line_is_told_without_a_traceback(request):
    done = subprocess.run(
        [sys.executable, "experiments/tune_s2amsnet.py", "--num-samples", "0"],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "--num-samples 0: expected at least 1." in done.stderr
    assert "Traceback" not in done.stderr
