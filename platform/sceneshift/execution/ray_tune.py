"""Trainings on a Ray cluster, as trials of Ray Tune: the queue suggests and stops them.

None of the Tune components here has its own state, so nothing has to be saved or restored.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune import Callback, FailureConfig, RunConfig, Stopper, TuneConfig, Tuner
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sceneshift.addresses import without_secrets
from sceneshift.errors import SceneshiftError, StorageError, StudyError, first_line
from sceneshift.execution.executor import (
    MAX_RETRIES,
    Failure,
    FailureKind,
    JobQueue,
    Placement,
    StopRequest,
    Verdict,
)
from sceneshift.execution.ray_train import released_afterwards
from sceneshift.execution.ray_trial import run_in_actor, run_in_ray_train, trial_config
from sceneshift.execution.stall import StallWatch
from sceneshift.execution.worker import DIVERGED_KEY, ERROR_KEY, epoch_of
from sceneshift.files.arrow_scenes import sent_whole
from sceneshift.splits.source import SourceDomain
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.target_pixels import TargetPixels

_STOP: str = TrialScheduler.STOP
_CONTINUE: str = TrialScheduler.CONTINUE


class RayExecutor:
    """Runs jobs on the connected Ray cluster, each in its own actor or inside Ray Train.

    Args:
        placement: The resources of the jobs.
        directory: Local directory for Ray Tune's own files.
        in_ray_train: Train inside Ray Train's TorchTrainer; needed for several workers per job.
        on_hang: Called with a message if a stalled run does not end by itself; should end the process.
    """

    name: ClassVar[str] = "ray"

    def __init__(
        self,
        placement: Placement,
        directory: Path,
        *,
        in_ray_train: bool = False,
        on_hang: Callable[[str], None] | None = None,
    ) -> None:
        self._placement = placement
        self._directory = directory
        self._in_ray_train = in_ray_train
        self._on_hang = on_hang

    def run(
        self,
        queue: JobQueue,
        sources: Sequence[SourceDomain],
        *,
        stop: StopRequest,
        targets: Sequence[TargetPixels] = (),
        time_budget_s: float | None = None,
        stall_timeout_s: float = 0.0,
    ) -> None:
        """Run the jobs; see :class:`~sceneshift.execution.executor.Executor`. Ray must be connected."""
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        placement = self._placement
        if self._in_ray_train:
            # The trial only waits for its workers: if it had its own CPU, trials would hold the CPUs their workers
            # need.
            resources = {"cpu": 0, "node:__internal_head__": 0.001}
        else:
            resources = {"cpu": placement.cpus, "gpu": placement.gpus}
        watch = StallWatch(stall_timeout_s, stop=stop, on_hang=self._on_hang) if stall_timeout_s > 0 else None
        references = put_scenes(sources, by_path=placement.scenes_by_path)
        target_references = put_scenes(targets, by_path=placement.scenes_by_path)
        trainable = tune.with_parameters(
            run_in_ray_train if self._in_ray_train else run_in_actor, sources=references, targets=target_references
        )
        tuner = Tuner(
            tune.with_resources(trainable, resources),
            tune_config=TuneConfig(
                search_alg=_Suggest(queue, placement),
                scheduler=_Decide(queue, stop),
                # The queue decides when there are enough: Tune would count a retried trial twice.
                num_samples=-1,
                max_concurrent_trials=placement.at_once,
                time_budget_s=time_budget_s,
                # An actor that Ray Train ran in may still be busy ending the trial that was stopped; the next trial in
                # it came back at once, without an epoch.
                reuse_actors=not self._in_ray_train,
                trial_dirname_creator=lambda trial: f"trial_{trial.config['number']:04d}",
            ),
            run_config=RunConfig(
                name="tune",
                storage_path=str(self._directory),
                stop=_Stop(stop),
                callbacks=[_Starts(queue), *([] if watch is None else [watch])],
                failure_config=FailureConfig(max_failures=MAX_RETRIES),
                verbose=0,
            ),
        )
        released = released_afterwards() if self._in_ray_train else contextlib.nullcontext()
        with stop.heard(), watch or contextlib.nullcontext(), released:
            self._fit(tuner)

    def _fit(self, tuner: Tuner) -> None:
        # Tune would handle SIGINT itself, and keep its handler after the run.
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        try:
            tuner.fit()
        except RayError as error:
            raise StudyError(f"Ray broke down ({first_line(error)}).") from error
        except RuntimeError as error:
            # Tune passes on errors that it can't handle, such as running out of memory just as a trial begins.
            if "Caught unexpected exception" not in str(error):
                raise
            raise StudyError(f"Ray broke down ({first_line(error)}).") from error
        except (OSError, EOFError) as error:
            if isinstance(error, SceneshiftError):
                raise
            raise StorageError(
                f"the records in {self._directory} can't be written ({first_line(error)}); nothing was overwritten. "
                "Make room or repair the disk."
            ) from error


def put_scenes(domains: Sequence[SourceDomain] | Sequence[TargetPixels], *, by_path: bool) -> list[ray.ObjectRef]:
    """Put scenes into Ray's object store: Ray must be connected.

    Args:
        domains: Sources or targets, one per pair.
        by_path: Send only the location of stored scenes. All workers of a node then share the file's pages, and the
            object store holds none of them. Otherwise it holds one copy per node, which that node's workers share.
    """
    with contextlib.nullcontext() if by_path else sent_whole():
        return [ray.put(domain) for domain in domains]


class _PickledEmpty:
    """Ray Tune writes its parts to disk before it begins, but the state is elsewhere.

    A search is resumed from its trial store, never from Tune's copy.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Suggest(_PickledEmpty, Searcher):  # type: ignore[misc]  # Ray's classes are untyped here
    """The queue's next job, as a suggestion."""

    def __init__(self, queue: JobQueue, placement: Placement) -> None:
        # A metric that every row has: Tune insists on one, and nothing here asks for it.
        super().__init__(metric="epoch", mode="max")
        self._queue = queue
        self._placement = placement

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        job = self._queue.next()
        return str(Searcher.FINISHED) if job is None else trial_config(job, self._placement)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Does nothing: :class:`_Decide` has already notified the queue."""

    def save(self, checkpoint_path: str) -> None:
        """Does nothing, since there is no state."""

    def restore(self, checkpoint_path: str) -> None:
        """Does nothing, since there is no state."""


class _Decide(_PickledEmpty, FIFOScheduler):  # type: ignore[misc]
    """Passes epochs and failures to the queue, and the queue's decisions to Tune."""

    def __init__(self, queue: JobQueue, stop: StopRequest) -> None:
        super().__init__()
        self._queue = queue
        self._stop = stop

    def on_trial_result(self, tune_controller: object, trial: Trial, result: dict[str, Any]) -> str:
        number = trial.config["number"]
        if DIVERGED_KEY in result:
            self._queue.diverged(number, result[DIVERGED_KEY])
            return _STOP
        if ERROR_KEY in result:
            self._queue.failed(number, Failure(kind=FailureKind.ERROR, message=result[ERROR_KEY]))
            return _STOP
        return _STOP if self._queue.epoch(number, epoch_of(result)) is Verdict.STOP else _CONTINUE

    def on_trial_error(self, tune_controller: object, trial: Trial) -> None:
        """A trial's process failed more often than Tune restarts it.

        Tune also calls this for a trial that it is about to move to another worker; that one continues and stays open.

        A trial that is still pending was about to begin in another trial's process, which died. Tune does not retry it.
        """
        number = trial.config["number"]
        if trial.status == Trial.ERROR:
            return
        if trial.status == Trial.PENDING and self._queue.retry(number):
            return
        self._queue.failed(number, _why(trial))


def _why(trial: Trial) -> Failure:
    """The message in a trial's error file."""
    lines = Path(trial.error_file).read_text().split("\n") if trial.error_file else []
    last = without_secrets(next((line.strip() for line in reversed(lines) if line.strip()), ""))
    kind, _, message = last.partition(": ")
    if kind.rpartition(".")[2].startswith(StorageError.__name__):
        return Failure(kind=FailureKind.STORAGE, message=message)
    if trial.error_file and not last:
        # On a full disk there was no space for the error either.
        try:
            CheckpointFolder.check(trial.config["job"]["checkpoint_location"])
        except StorageError as error:
            return Failure(kind=FailureKind.STORAGE, message=str(error))
    if "OutOfMemoryError" in "".join(lines):
        return Failure(
            kind=FailureKind.MEMORY,
            message="the machine ran short of memory, and Ray ended its process; run fewer trials at once",
        )
    if not last:
        return Failure(kind=FailureKind.PROCESS, message="its process failed")
    died = "ActorDiedError" in "".join(lines) or "WorkerCrashedError" in "".join(lines)
    return Failure(kind=FailureKind.PROCESS if died else FailureKind.ERROR, message=last)


class _Stop(_PickledEmpty, Stopper):  # type: ignore[misc]
    """Ends the run on request; Ray Tune checks ten times per second."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stop.reason is not None


class _Starts(_PickledEmpty, Callback):  # type: ignore[misc]
    """Notifies the queue of a job that begins."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._queue.started(trial.config["number"])
