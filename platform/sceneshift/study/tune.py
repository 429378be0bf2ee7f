"""A search from its arguments to its last screen."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from sceneshift.errors import SceneshiftError
from sceneshift.study.arguments import TuneArgs, read_command_line, resume_command
from sceneshift.study.interrupts import INTERRUPTED_STATUS, Interrupts, go_on_with


def main(method: str, space_path: Path, description: str) -> int:
    """Entry point of a search script; returns the exit status."""
    arguments = read_command_line(description)
    begun: list[str] = []

    def how_to_go_on() -> str:
        return go_on_with(resume_command("--experiment-name", begun[0])) if begun else ""

    with Interrupts(how_to_go_on) as interrupts:
        try:
            return tune(arguments, method=method, space_path=space_path, interrupts=interrupts, begins=begun.append)
        except SceneshiftError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"\nStopped.{how_to_go_on()}", file=sys.stderr)
            return INTERRUPTED_STATUS


def tune(
    arguments: TuneArgs,
    *,
    method: str,
    space_path: Path,
    interrupts: Interrupts,
    begins: Callable[[str], None],
) -> int:
    """Run a search and close it.

    Args:
        arguments: The command line.
        method: Name of the method.
        space_path: Its search space.
        interrupts: Takes Ctrl-C.
        begins: Told the study's name when there is something to go on with.

    Returns:
        0 when the study is closed; 130 when it was interrupted and can be resumed.

    Raises:
        SceneshiftError: The arguments, the data or the machine don't allow the search; nothing was started.
    """
    started = time.monotonic()
    # Heavy imports wait until the arguments are known to be good; Ray and MLflow read the environment when imported.
    from sceneshift.search.cluster import apply_ray_settings, ray_cluster, resolved_ray_address
    from sceneshift.tracking.backend import TrackingBackend, apply_mlflow_settings

    apply_ray_settings()
    apply_mlflow_settings()
    from sceneshift.study.preparation import local_root, prepare

    backend = TrackingBackend.resolve(local_root(arguments))
    print(f"RAY_ADDRESS          {resolved_ray_address()}")
    print(f"MLFLOW_TRACKING_URI  {backend.uri}", flush=True)

    study = prepare(arguments, method=method, space_path=space_path)
    study.refuse_wrong_name()
    if arguments.resume:
        study = study.with_recorded_epochs()
    print("\n".join(study.announcement()), flush=True)

    from sceneshift.study.running import refuse_another_mlflow, reopen_store, run_and_close, tell_if_closed
    from sceneshift.tracking.search_run import refuse_known_experiment

    reopened = reopen_store(study) if arguments.resume else None
    if reopened is not None and tell_if_closed(study, reopened):
        return 0
    client = backend.connect()
    if reopened is None:
        refuse_known_experiment(client, study.name)
    else:
        refuse_another_mlflow(study, reopened, client, backend.uri)
    with ray_cluster() as cluster:
        if study.chooses_epochs:
            study = study.paced(cluster)
        plan = study.plan(cluster)
        begins(study.name)
        return run_and_close(study, plan, backend, reopened=reopened, interrupts=interrupts, started=started)
