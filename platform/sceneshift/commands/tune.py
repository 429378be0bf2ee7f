"""Search, from the command line to the last screen."""

import os
import shlex
import sys
from pathlib import Path

from sceneshift.addresses import without_secrets
from sceneshift.commands.console import error_text, how_to_resume, interrupting, show_log
from sceneshift.commands.flags import resume_command
from sceneshift.commands.interrupts import INTERRUPTED_STATUS, Interrupts, end_process
from sceneshift.commands.tune_arguments import TuneArgs, read_command_line
from sceneshift.errors import SceneshiftError


def main(method: str, space_path: Path, description: str) -> int:
    """Run a search script; returns the exit status."""
    arguments = read_command_line(f"{description.rstrip()}\n\n{where_settings_are(method, space_path)}")
    begun: list[str] = []

    def resume() -> str:
        return resume_command("--experiment-name", begun[0]) if begun else ""

    with Interrupts(lambda: how_to_resume(resume())) as interrupts:
        try:
            return tune(arguments, method=method, space_path=space_path, interrupts=interrupts, begun=begun)
        except SceneshiftError as error:
            print(error_text(error, resume), file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"\nStopped.{how_to_resume(resume())}", file=sys.stderr)
            return INTERRUPTED_STATUS


def where_settings_are(method: str, space_path: Path) -> str:
    """What ``--help`` says of the method's settings: naming them here would import torch."""
    return (
        f"{os.path.relpath(space_path)} says which settings of {method} are searched, and which values the others "
        f"have. All of them: python experiments/train.py --method {method} --list-settings"
    )


def tune(arguments: TuneArgs, *, method: str, space_path: Path, interrupts: Interrupts, begun: list[str]) -> int:
    """Run a search and print its results.

    Args:
        arguments: The command line.
        method: Name of the method.
        space_path: Its search space.
        interrupts: Handles Ctrl-C.
        begun: Holds the search's name while there is something to resume.

    Returns:
        0 when the search is closed; 130 when it was interrupted and can be resumed.

    Raises:
        SceneshiftError: The arguments, the data or the machine don't allow the search, or it failed.
    """
    # Heavy imports wait until the arguments are known to be good; Ray and MLflow read the environment when imported.
    from sceneshift.execution.cluster import apply_ray_settings, resolved_ray_address
    from sceneshift.tracking.backend import TrackingBackend, apply_mlflow_settings

    apply_ray_settings()
    apply_mlflow_settings()
    from sceneshift.commands.last_screen import render_closed, render_screen
    from sceneshift.commands.search_screen import SearchScreen
    from sceneshift.engine.searching import search
    from sceneshift.execution.executor import StopRequest
    from sceneshift.search.prepared import local_root

    show_log()
    backend = TrackingBackend.resolve(local_root(arguments.storage_path))
    if arguments.executor != "local":
        print(f"RAY_ADDRESS          {resolved_ray_address()}")
    print(f"MLFLOW_TRACKING_URI  {backend.shown}", flush=True)
    stop = StopRequest()

    def command() -> str:
        return resume_command("--experiment-name", begun[0]) if begun else ""

    with interrupts.diverted(interrupting(stop)):
        result = search(
            arguments.spec(method, space_path),
            resume=arguments.resume,
            listener=SearchScreen(begun, command),
            stop=stop,
            command=without_secrets(shlex.join(sys.argv)),
            on_hang=lambda why: end_process(f"error: {why}", how_to_resume(command()), 2),
        )
    if not result.is_closed:
        return INTERRUPTED_STATUS
    print(render_screen(result, backend) if result.run_id else render_closed(result))
    return 0
