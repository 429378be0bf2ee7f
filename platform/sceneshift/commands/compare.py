"""A comparison of methods, from the command line to its tables."""

import sys
from dataclasses import replace
from pathlib import Path

from sceneshift.commands.compare_arguments import CompareArgs, read_compare_command_line
from sceneshift.commands.console import error_text, interrupting, show_log
from sceneshift.commands.interrupts import INTERRUPTED_STATUS, Interrupts, end_process
from sceneshift.commands.ui import how_to_open
from sceneshift.errors import InvalidInputError, SceneshiftError

_HOW_TO_CONTINUE = " What is done is kept; start the same command again to continue."


def main() -> int:
    """Run the comparison script; returns the exit status."""
    arguments = read_compare_command_line()
    with Interrupts(lambda: _HOW_TO_CONTINUE) as interrupts:
        try:
            if arguments.comparison.is_dir():
                return _reproduce(arguments.comparison)
            return _compare(arguments, interrupts)
        except SceneshiftError as error:
            print(error_text(error, lambda: ""), file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"\nStopped.{_HOW_TO_CONTINUE}", file=sys.stderr)
            return INTERRUPTED_STATUS


def _reproduce(folder: Path) -> int:
    from sceneshift.commands.compare_screen import render_written
    from sceneshift.comparison.publishing import reproduce

    print(render_written(reproduce(folder), folder))
    return 0


def _compare(arguments: CompareArgs, interrupts: Interrupts) -> int:
    # Heavy imports wait until the arguments are known to be good; Ray and MLflow read the environment when imported.
    from sceneshift.execution.cluster import apply_ray_settings
    from sceneshift.tracking.backend import TrackingBackend, apply_mlflow_settings

    apply_ray_settings()
    apply_mlflow_settings()
    from sceneshift.commands.compare_screen import CompareScreen, render_results, render_written
    from sceneshift.comparison.comparing import compare
    from sceneshift.comparison.listener import ComparisonListener, Listeners
    from sceneshift.comparison.outputs import write_outputs
    from sceneshift.comparison.placing import Places
    from sceneshift.comparison.publishing import publish
    from sceneshift.comparison.spec import read_spec
    from sceneshift.comparison.tracked import TrackedComparison
    from sceneshift.execution.executor import StopRequest
    from sceneshift.search.prepared import writable_root
    from sceneshift.search.space import spaces_folder
    from sceneshift.tracking.comparison_run import ComparisonRun

    show_log()
    if "://" in str(arguments.storage_path):
        raise InvalidInputError(f"--storage-path {arguments.storage_path}: a comparison is kept in a local directory.")
    root = writable_root(str(arguments.storage_path))
    spec = read_spec(arguments.comparison, spaces=spaces_folder())
    spec = replace(spec, data_dir=arguments.data_dir or spec.data_dir, catalogue=arguments.catalogue or spec.catalogue)
    places = Places(
        executor=arguments.executor,
        at_once=arguments.max_concurrent_trials,
        threads=arguments.threads,
        gpus=arguments.gpus_per_trial,
        stall_timeout_s=arguments.stall_timeout_s,
        on_hang=lambda why: end_process(f"error: {why}", _HOW_TO_CONTINUE, 2),
    )
    folder = root / "comparisons" / spec.name
    stop, screen = StopRequest(), CompareScreen()
    tracked: TrackedComparison | None = None
    if not arguments.strategies:  # another choice among trainings that have their runs
        backend = TrackingBackend.resolve(root)
        print(f"MLFLOW_TRACKING_URI  {backend.shown}", flush=True)
        tracked = TrackedComparison(
            lambda name, tags, params: ComparisonRun(backend, name=name, tags=tags, params=params)
        )
    listeners: tuple[ComparisonListener, ...] = (screen,) if tracked is None else (screen, tracked)
    compared = None
    try:
        with interrupts.diverted(interrupting(stop)):
            compared = compare(
                spec,
                folder,
                places=places,
                listener=Listeners(*listeners),
                stop=stop,
                time_trainings=arguments.time_trainings,
                strategies=arguments.strategies,
            )
    finally:
        if tracked is not None:
            tracked.close(compared)
    if compared.results is None:
        if stop.reason is None:  # so many trainings were asked for
            print(screen.render_cost())
            return 0
        print(f"Stopped.{_HOW_TO_CONTINUE}")
        return INTERRUPTED_STATUS
    print(render_results(compared.results))
    print(render_written(write_outputs(compared.results, compared.folder, maps=compared.maps), compared.folder))
    if tracked is not None and tracked.run is not None:
        print(f"Open the MLflow UI  {how_to_open(tracked.run.backend, root)}")
        print(f"This comparison     {tracked.run.link()}")
    if arguments.publish:
        place = publish(
            compared, arguments.comparison, root / "published", folder, most_pixels=arguments.publish_pixels
        )
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        print(f"published {place} ({size / 1e6:.2f} MB); commit it with the project")
    return 0
