"""Training, from the command line to the last screen."""

import sys
from dataclasses import fields
from typing import TYPE_CHECKING

from sceneshift.commands.console import error_text, how_to_resume, interrupting, show_log
from sceneshift.commands.flags import resume_command
from sceneshift.commands.interrupts import INTERRUPTED_STATUS, Interrupts
from sceneshift.commands.train_arguments import OWN_FLAGS, TrainArgs, read_train_command_line
from sceneshift.errors import SceneshiftError

if TYPE_CHECKING:
    from sceneshift.engine.training import TrainResult


def main() -> int:
    """Run the training command; returns the exit status."""
    arguments = read_train_command_line()
    begun: list[str] = []

    def resume() -> str:
        return resume_command("--run-name", begun[0]) if begun else ""

    with Interrupts(lambda: how_to_resume(resume())) as interrupts:
        try:
            if arguments.list_settings:
                print("\n".join(settings_of(arguments.method)))
                return 0
            return train_one(arguments, interrupts=interrupts, begun=begun)
        except SceneshiftError as error:
            print(error_text(error, resume), file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"\nStopped.{how_to_resume(resume())}", file=sys.stderr)
            return INTERRUPTED_STATUS


def settings_of(method: str) -> list[str]:
    """One line per setting of a method: its name, its default, and its flag.

    Settings that have no effect on the method are left out.

    Args:
        method: A method's name.

    Raises:
        InvalidInputError: There is no such method.
    """
    from sceneshift.methods.registry import find_method

    config = find_method(method).config_type()
    values = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in config.without_effect}
    rows = [("setting", "default", "flag")]
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}" if name in OWN_FLAGS else f"--set {name}={value}"
        rows.append((name, str(value), flag))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if config.presets:
        lines += ["", f"Presets: {', '.join(f'--preset {name}' for name in config.presets)}"]
    return [*lines, "", f"What they mean: {type(config).__module__}.{type(config).__qualname__}"]


def train_one(arguments: TrainArgs, *, interrupts: Interrupts, begun: list[str]) -> int:
    """Train, map and score one network, or repeat an earlier run, and print the results.

    Args:
        arguments: The command line.
        interrupts: Handles Ctrl-C.
        begun: Holds the run's name while there is something to resume.

    Returns:
        0 when the training is closed; 1 when the results differ from the original's; 130 when it was interrupted
        and can be resumed.

    Raises:
        SceneshiftError: The arguments, the data or the machine don't allow the training, or it failed.
    """
    # Heavy imports wait until the arguments are known to be good; Ray and MLflow read the environment when imported.
    from sceneshift.execution.cluster import apply_ray_settings
    from sceneshift.tracking.backend import TrackingBackend, apply_mlflow_settings

    apply_ray_settings()
    apply_mlflow_settings()
    from sceneshift.commands.training_screen import TrainingScreen, render_closed_training
    from sceneshift.engine.repeating import repeat
    from sceneshift.engine.training import train
    from sceneshift.execution.executor import StopRequest
    from sceneshift.search.prepared import writable_root

    show_log()
    backend = TrackingBackend.resolve(writable_root(arguments.storage_path))
    print(f"MLFLOW_TRACKING_URI  {backend.shown}", flush=True)
    stop, screen = StopRequest(), TrainingScreen(begun)
    result: TrainResult | None
    is_equal, words = True, ""
    with interrupts.diverted(interrupting(stop)):
        if arguments.from_run is not None:
            repeated = repeat(arguments.from_run, arguments.options(), listener=screen, stop=stop)
            result, is_equal, words = repeated.training, repeated.is_equal, repeated.words
        else:
            result = train(
                arguments.spec(), arguments.options(), selection=arguments.selection, listener=screen, stop=stop
            )
    if result is not None and result.is_interrupted:
        return INTERRUPTED_STATUS
    if result is not None and result.closed is not None:
        print(render_closed_training(result, screen.training, backend))
    if words:
        print(f"\n{words}")
        if result is not None:
            print(f"This run           {backend.study_link(result.experiment_id, result.run_id)}")
    return 0 if is_equal else 1
