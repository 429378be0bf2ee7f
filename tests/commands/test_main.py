"""The console command, its help, and the groups of flags."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from sceneshift import __version__
from sceneshift.commands import program
from sceneshift.commands.command_line import helps_of
from sceneshift.commands.compare_arguments import CompareArgs
from sceneshift.commands.examples import EXAMPLES
from sceneshift.commands.flags import resume_command
from sceneshift.commands.main import COMMANDS, console, copy_space
from sceneshift.commands.predict_arguments import PredictArgs
from sceneshift.commands.promote_arguments import PromoteArgs
from sceneshift.commands.report_arguments import ReportArgs
from sceneshift.commands.train_arguments import TrainArgs, read_train_command_line
from sceneshift.commands.tune_arguments import TuneArgs, TuneCommand, read_tune_command
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.search.space import load_space, shipped_spaces

GROUPED = [TuneArgs, TuneCommand, TrainArgs, PredictArgs, CompareArgs]


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["/env/bin/sceneshift", *words])


def test_help_lists_every_command_with_its_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "--help")

    assert console() == 0

    out = capsys.readouterr().out
    assert set(EXAMPLES) == set(COMMANDS)
    for name in COMMANDS:
        assert f"  {name}" in out
        assert EXAMPLES[name].summary in out


@pytest.mark.parametrize("words", [(), ("tunn",)])
def test_no_command_is_an_error(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, *words)

    assert console() == 2

    shown = capsys.readouterr()
    assert "tune" in shown.out + shown.err


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    typed(monkeypatch, "--version")

    assert console() == 0
    assert capsys.readouterr().out.split() == ["sceneshift", __version__]


@pytest.mark.parametrize("kind", GROUPED)
def test_every_flag_is_in_one_group(kind: Any) -> None:
    grouped = [name for names in kind.GROUPS.values() for name in names]

    assert sorted(grouped) == sorted(field.name for field in dataclasses.fields(kind))


@pytest.mark.parametrize("kind", [*GROUPED, PromoteArgs, ReportArgs])
def test_every_flag_has_a_help_text(kind: Any) -> None:
    texts, hints = helps_of(kind), get_type_hints(kind, include_extras=True)

    without = [
        each.name
        for each in dataclasses.fields(kind)
        if each.name not in texts and "help=" not in str(hints[each.name])
    ]
    assert without == []


@pytest.mark.parametrize("command", sorted(EXAMPLES))
def test_help_has_examples_one_per_line_and_a_default_once(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, command, "--help")

    with pytest.raises(SystemExit, match="0"):
        console()

    out = capsys.readouterr().out
    examples = [line for line in out.splitlines() if line.startswith(f"  sceneshift {command}")]
    assert len(examples) == len(EXAMPLES[command].lines)
    assert all("  # " in example for example in examples)
    assert "(default: None)" not in out
    assert "(default: )" not in out
    assert "{None}" not in out


@pytest.mark.parametrize("name", ["list", "check", "import", "export", "show", "pair", "simulate"])
def test_help_of_a_command_of_scenes_has_a_default_once(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "scenes", name, "--help")

    with pytest.raises(SystemExit, match="0"):
        console()

    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert not any(f"(default: {nothing})" in out for nothing in ("None", "False", ""))
    assert ("(default: 0.0)" in out) == (name == "simulate")


def test_check_of_no_file_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    typed(monkeypatch, "scenes", "check")

    with pytest.raises(SystemExit, match="2"):
        console()

    assert "no file is given" in capsys.readouterr().err


def test_train_reads_words_after_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "train", "--method", "s2vnet", "--scene", "indian_pines", "--set", "a=1", "--set", "b=2")

    with program.console_command("train"):
        arguments = read_train_command_line()

    assert (arguments.method, arguments.scene, arguments.set) == ("s2vnet", "indian_pines", ("a=1", "b=2"))


def test_a_flag_that_contradicts_another_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "train", "--method", "s2vnet", "--scene", "a", "--pair", "b")

    with pytest.raises(SystemExit, match="2"):
        console()

    assert capsys.readouterr().err.startswith("error: ")


def test_tune_takes_the_shipped_space_of_its_method_or_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "tune", "s2amsnet", "--pairs", "sw-se")
    with program.console_command("tune"):
        command = read_tune_command()

    assert command.space_path() == shipped_spaces()["s2amsnet"]
    assert dataclasses.replace(command, space="mine.py").space_path() == Path("mine.py")
    with pytest.raises(MissingDataError, match="rbf_svm"):
        dataclasses.replace(command, method="rbf_svm").space_path()
    with pytest.raises(InvalidInputError, match="s2amsnet"):
        dataclasses.replace(command, method="s2amsne").space_path()


def test_a_space_can_be_copied_once_and_loaded_by_name(tmp_path: Path) -> None:
    copy_space("cross_entropy", tmp_path)

    copied, shipped = load_space(tmp_path / "cross_entropy.py"), load_space("cross_entropy")
    assert copied.source_hash == shipped.source_hash
    (tmp_path / "cross_entropy.py").write_text("mine")
    with pytest.raises(InvalidInputError, match=r"cross_entropy\.py"):
        copy_space("cross_entropy", tmp_path)
    assert (tmp_path / "cross_entropy.py").read_text() == "mine"
    with pytest.raises(MissingDataError):
        copy_space("nothing", tmp_path)


def test_printed_commands_follow_how_the_program_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "tune", "s2amsnet", "--seed", "3")
    with program.console_command("tune"):
        assert resume_command("--experiment-name", "a b") == (
            "/env/bin/sceneshift tune s2amsnet --seed 3 --experiment-name 'a b' --resume"
        )
        assert program.other("promote") == ["sceneshift", "promote"]

    monkeypatch.setattr(sys, "argv", ["experiments/train.py", "--seed", "3"])
    assert resume_command("--run-name", "x").split() == [
        *(sys.executable, "experiments/train.py", "--seed", "3", "--run-name", "x", "--resume")
    ]
    assert program.other("promote") == ["python", "experiments/promote.py"]


def test_completion_is_valid_bash_and_knows_commands_and_flags(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "--completion", "bash")
    with pytest.raises(SystemExit) as ended:
        console()

    assert not ended.value.code

    script = capsys.readouterr().out
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert all(f"'{name}'" in script for name in COMMANDS)
    assert "--max-concurrent-trials" in script

    typed(monkeypatch, "--completion", "fish")
    assert console() == 2


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['sceneshift', 'tune', '--help']\n"
        "from sceneshift.commands.main import console\n"
        "try:\n    console()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
