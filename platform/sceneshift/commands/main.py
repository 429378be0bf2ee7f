"""The console command ``sceneshift``, and what the scripts of ``experiments/`` run.

Imports nothing heavy: a command's own module is imported when its command line has been read.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sceneshift import __version__
from sceneshift.commands.examples import EXAMPLES
from sceneshift.commands.program import console_command
from sceneshift.errors import SceneshiftError, nearest_name


def console() -> int:
    """Run ``sceneshift COMMAND ...``; returns the exit status."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"sceneshift {__version__}")
        return 0
    if words[0] == "--completion":
        return _print_completion(words[1:])
    if words[0] not in COMMANDS:
        print(
            f"error: no command {words[0]!r}{nearest_name(words[0], COMMANDS)}. Expected one of {', '.join(COMMANDS)}.",
            file=sys.stderr,
        )
        return 2
    with console_command(words[0]):
        return COMMANDS[words[0]]()


def overview() -> str:
    """What ``sceneshift --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {EXAMPLES[name].summary}" for name in COMMANDS]
    return "\n".join(
        [
            "usage: sceneshift COMMAND [ARGUMENTS]",
            "",
            "Search and study hyperspectral networks that learn from one labelled scene and classify others.",
            "",
            *lines,
            "",
            "`sceneshift COMMAND --help` shows a command's examples and flags.",
            "`sceneshift --completion bash` (zsh, tcsh) prints a script that completes commands and flags.",
        ]
    )


def run(name: str) -> int:
    """Run a command with this process's command line, for a script; returns the exit status."""
    return COMMANDS[name]()


def resumable(work: Callable[[], int]) -> int:
    """Run a script's work that continues where it was interrupted; returns the exit status.

    Args:
        work: Does it, and returns the exit status.
    """
    try:
        return work()
    except SceneshiftError as error:
        return _failed(error)
    except KeyboardInterrupt:
        print("\nStopped. What is done is kept; start the same command again to continue.", file=sys.stderr)
        return 130


def _tune() -> int:
    from sceneshift.commands.tune_arguments import read_tune_command

    command = read_tune_command()
    try:
        if command.copy_space is not None:
            print(copy_space(command.copy_space, Path.cwd()))
            return 0
        space = command.space_path()
    except SceneshiftError as error:
        return _failed(error)
    from sceneshift.commands.tune import run_tune

    return run_tune(command, method=command.method, space_path=space)


def copy_space(method: str, folder: Path) -> str:
    """Copy a shipped search space to a folder, to be edited there; returns what to do with it.

    Raises:
        MissingDataError: The method has none.
        InvalidInputError: The file is there already, or can't be written.
    """
    from sceneshift.errors import InvalidInputError, first_line
    from sceneshift.search.space import find_space

    shipped, copy = find_space(method), folder / f"{method}.py"
    try:
        with copy.open("x", encoding="utf-8") as file:
            file.write(shipped.read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise InvalidInputError(f"{copy} exists; nothing was written. Move it away, or use it by --space.") from error
    except OSError as error:
        raise InvalidInputError(f"{copy} can't be written ({first_line(error)}); go to another folder.") from error
    return f"Wrote {copy}. Edit it, then\n  sceneshift tune {method} --space {copy.name}"


def _train() -> int:
    from sceneshift.commands.train import main

    return main()


def _compare() -> int:
    from sceneshift.commands.compare import main

    return main()


def _predict() -> int:
    from sceneshift.commands.predict import main

    return main()


def _report() -> int:
    from sceneshift.commands.report import main

    return main()


def _promote() -> int:
    from sceneshift.commands.promote_arguments import read_promote_command_line

    arguments = read_promote_command_line()
    from sceneshift.commands.promote import run_promotion

    return run_promotion(arguments)


def _register() -> int:
    from sceneshift.commands.register import read_register_command_line, run_register

    return run_register(read_register_command_line())


def _scenes() -> int:
    from sceneshift.commands.scene_arguments import read_scene_command

    command = read_scene_command()
    from sceneshift.commands.scenes import run_command

    try:
        return run_command(command)
    except SceneshiftError as error:
        return _failed(error)


def _ui() -> int:
    from sceneshift.commands.ui import read_ui_command_line, run_ui

    return run_ui(read_ui_command_line())


def _doctor() -> int:
    from sceneshift.commands.doctor import read_doctor_command_line, run_doctor

    return run_doctor(read_doctor_command_line())


def _failed(error: SceneshiftError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2


def _print_completion(words: Sequence[str]) -> int:
    from typing import Annotated, Any, cast

    import tyro

    from sceneshift.commands.compare_arguments import CompareArgs
    from sceneshift.commands.doctor import DoctorArgs
    from sceneshift.commands.predict_arguments import PredictArgs
    from sceneshift.commands.promote_arguments import PromoteArgs
    from sceneshift.commands.register import RegisterArgs
    from sceneshift.commands.report_arguments import ReportArgs
    from sceneshift.commands.scene_arguments import SceneCommand
    from sceneshift.commands.train_arguments import TrainArgs
    from sceneshift.commands.tune_arguments import TuneCommand
    from sceneshift.commands.ui import UiArgs

    if len(words) != 1 or words[0] not in _SHELLS:
        print(f"error: --completion {' '.join(words)}: expected one of {', '.join(_SHELLS)}.", file=sys.stderr)
        return 2
    # Of the command line this is the flags alone: nothing is parsed with it.
    everything: Any = (
        Annotated[TuneCommand, tyro.conf.subcommand("tune")]
        | Annotated[TrainArgs, tyro.conf.subcommand("train")]
        | Annotated[CompareArgs, tyro.conf.subcommand("compare")]
        | Annotated[PredictArgs, tyro.conf.subcommand("predict")]
        | Annotated[RegisterArgs, tyro.conf.subcommand("register")]
        | Annotated[PromoteArgs, tyro.conf.subcommand("promote")]
        | Annotated[ReportArgs, tyro.conf.subcommand("report")]
        | Annotated[cast(Any, SceneCommand), tyro.conf.subcommand("scenes")]
        | Annotated[UiArgs, tyro.conf.subcommand("ui")]
        | Annotated[DoctorArgs, tyro.conf.subcommand("doctor")]
    )
    tyro.cli(everything, prog="sceneshift", args=["--tyro-print-completion", words[0]])
    return 0


_SHELLS = ("bash", "zsh", "tcsh")

#: The commands by name, in the order of ``--help``.
COMMANDS: Mapping[str, Callable[[], int]] = {
    "tune": _tune,
    "train": _train,
    "compare": _compare,
    "scenes": _scenes,
    "predict": _predict,
    "register": _register,
    "promote": _promote,
    "report": _report,
    "ui": _ui,
    "doctor": _doctor,
}
