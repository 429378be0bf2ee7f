"""A search from its arguments to its last screen."""

import sys
import time
from pathlib import Path

from sceneshift.errors import SceneshiftError
from sceneshift.study.arguments import TuneArgs, read_command_line


def main(method: str, space_path: Path, description: str) -> int:
    """Entry point of a search script; returns the exit status."""
    arguments = read_command_line(description)
    try:
        return tune(arguments, method=method, space_path=space_path)
    except SceneshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. If a study had begun, --resume with its --experiment-name goes on with it.", file=sys.stderr)
        return 130


def tune(arguments: TuneArgs, *, method: str, space_path: Path) -> int:
    """Run a search and close it.

    Args:
        arguments: The command line.
        method: Name of the method.
        space_path: Its search space.

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
    print("\n".join(study.announcement()), flush=True)

    from sceneshift.study.running import reopen_ledger, run_and_close, tell_if_closed
    from sceneshift.tracking.mirror import refuse_known_experiment

    reopened = reopen_ledger(study) if arguments.resume else None
    if reopened is not None and tell_if_closed(study, reopened):
        return 0
    client = backend.connect()
    if reopened is None:
        refuse_known_experiment(client, study.name)
    with ray_cluster() as cluster:
        return run_and_close(study, study.plan(cluster), backend, reopened=reopened, started=started)
