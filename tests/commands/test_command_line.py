"""How the scripts read their command lines: both spellings of a flag with several values, on every script."""

import sys
from typing import Any, get_args

import pytest

from sceneshift.commands.command_line import flags_of_several_values, gather_repeated, read_arguments
from sceneshift.commands.predict_arguments import PredictArgs
from sceneshift.commands.promote_arguments import PromoteArgs
from sceneshift.commands.report_arguments import ReportArgs
from sceneshift.commands.scene_arguments import SceneCommand
from sceneshift.commands.train_arguments import TrainArgs
from sceneshift.commands.tune_arguments import TuneArgs

TRAIN = ["--method", "s2vnet", "--scene", "indian_pines"]
PREDICT = ["--model", "m", "--scene", "s", "--out", "d", "--labels", "l.png"]
IMPORT = ["import", "cube.hdr", "--out", "s.arrow"]
SIMULATE = ["simulate", "--out", "d"]

#: What a file doesn't say about its scene.
OF_FILES: list[tuple[str, list[str], tuple[Any, ...]]] = [
    ("--class-names", ["soil", "tree"], ("soil", "tree")),
    ("--label-values", ["3", "7"], (3, 7)),
    ("--unlabelled-values", ["255", "9"], (255, 9)),
    ("--wavelengths-nm", ["500.5", "610"], (500.5, 610.0)),
]

#: Arguments, the words before a flag, the flag, two values, and what comes of them.
CASES = [
    (TuneArgs, [], "--pairs", ["west-east", "sw-se"], ("west-east", "sw-se")),
    (TrainArgs, TRAIN, "--set", ["heads=2", "width=16"], ("heads=2", "width=16")),
    (PredictArgs, PREDICT, "--format", ["npy", "envi"], ("npy", "envi")),
    *(
        (kind, words, flag, values, expected)
        for kind, words in (
            (TuneArgs, ["--scene", "own.hdr"]),
            (TrainArgs, ["--method", "s2vnet", "--scene", "own.hdr"]),
            (PredictArgs, PREDICT),
            (SceneCommand, IMPORT),
            (SceneCommand, ["show", "own.hdr"]),
            (SceneCommand, ["export", "own.hdr", "--out", "s.tif", "--format", "geotiff"]),
        )
        for flag, values, expected in OF_FILES
        if (kind, flag) != (PredictArgs, "--label-values")  # it needs --class-names as well
    ),
    (PredictArgs, [*PREDICT, "--class-names", "soil", "tree"], "--label-values", ["3", "7"], (3, 7)),
    (SceneCommand, SIMULATE, "--classes", ["Corn-notill", "Woods"], ("Corn-notill", "Woods")),
    (SceneCommand, SIMULATE, "--shares", ["0.25", "2"], (0.25, 2.0)),
    (SceneCommand, SIMULATE, "--set", ["season.share=0.1", "mixing.gamma=1"], ("season.share=0.1", "mixing.gamma=1")),
]


def read(monkeypatch: pytest.MonkeyPatch, kind: Any, words: list[str]) -> Any:
    monkeypatch.setattr(sys, "argv", ["script.py", *words])
    return read_arguments(kind, "")


@pytest.mark.parametrize(("kind", "before", "flag", "values", "expected"), CASES)
def test_a_flag_with_several_values_may_be_repeated_or_not(monkeypatch, kind, before, flag, values, expected) -> None:
    one, other = values
    for words in (
        [flag, one, other],
        [flag, one, flag, other],
        [f"{flag}={one}", f"{flag}={other}"],
        [flag.replace("-", "_").replace("__", "--", 1), one, flag, other],
    ):
        arguments = read(monkeypatch, kind, [*before, *words])
        assert getattr(arguments, flag.removeprefix("--").replace("-", "_")) == expected


def test_no_script_has_a_flag_with_several_values_that_is_not_tested() -> None:
    commands = [get_args(command)[0] for command in get_args(SceneCommand)]
    kinds = (TuneArgs, TrainArgs, PredictArgs, PromoteArgs, ReportArgs, *commands)
    positional = {"--files"}  # of `scenes.py check`
    named = {command.__name__.lower(): command for command in commands}
    tested = {(named[before[0]] if kind is SceneCommand else kind, flag) for kind, before, flag, _, _ in CASES}
    assert {(kind, flag) for kind in kinds for flag in flags_of_several_values(kind) - positional} == tested


def test_repeated_values_keep_the_flags_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*TRAIN, "--set", "heads=2", "--seed", "3", "--set", "width=16", "--resume", "--run-name", "r"]
    arguments = read(monkeypatch, TrainArgs, words)
    assert arguments.set == ("heads=2", "width=16")
    assert (arguments.seed, arguments.resume, arguments.run_name) == (3, True, "r")


def test_of_another_flag_the_last_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    # --num-samples is added to a command that is printed, whatever it had before.
    assert read(monkeypatch, TuneArgs, ["--num-samples", "3", "--num-samples", "5"]).num_samples == 5
    size = read(monkeypatch, SceneCommand, [*SIMULATE, "--size", "8", "9", "--size", "10", "11"]).size
    assert size == (10, 11)


def test_a_given_value_takes_the_default_s_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, PredictArgs, PREDICT).format == ("png",)
    assert read(monkeypatch, PredictArgs, [*PREDICT, "--format", "npy"]).format == ("npy",)


def test_words_without_a_repetition_stay_as_they_are() -> None:
    words = ["simulate", "--out", "d", "--shares", "-1", "2", "--set=a.b=1", "--same-ground", "-h"]
    assert gather_repeated(words, {"--shares"}) == words
