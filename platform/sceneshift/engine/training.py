"""A single training from its specification to its closed result."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sceneshift.closing.choosing import choice_as_dict, choose_epoch
from sceneshift.closing.estimates import estimate_pairs, held_back_of
from sceneshift.closing.trained import TrainedNetwork
from sceneshift.closing.training import ClosedTraining, close_training
from sceneshift.cores import keep_to_allowed_cores
from sceneshift.engine.listener import Listener, LogListener
from sceneshift.engine.prepared_training import PreparedTraining, RunOptions, prepare_training
from sceneshift.engine.run_record import JOURNAL, give_back
from sceneshift.errors import InvalidInputError, ResourceError, SceneshiftError, StorageError, StudyError, first_line
from sceneshift.execution.executor import Executor, FailureKind, FixedJobs, Job, Placement, StopReason, StopRequest
from sceneshift.execution.local import LocalExecutor
from sceneshift.search.prepared import writable_root
from sceneshift.selection.accuracy_estimate import AccuracyEstimate
from sceneshift.selection.candidates import Choice
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.held_back import HeldBack
from sceneshift.tracking.models import LoggedModel
from sceneshift.tracking.provenance import CHANGES_TAG
from sceneshift.tracking.training_run import TrainingRun
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.loop import EpochReport
from sceneshift.training.spec import TrainSpec

if TYPE_CHECKING:
    from sceneshift.execution.cluster import ClusterSize


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of a training.

    Args:
        name: The run's name.
        directory: Its local directory.
        epochs: Metrics by epoch.
        weights: Hash of each pair's classifier.
        closed: Scores, verdict and the registered model; None if it was interrupted or not to be closed.
        is_interrupted: Whether it ended before its last epoch and can be resumed.
        tracking_uri: Where MLflow stores the run.
        experiment_id: Its experiment there.
        run_id: The run there.
    """

    name: str
    directory: Path
    epochs: Mapping[int, Mapping[str, float]]
    weights: Mapping[str, str]
    closed: ClosedTraining | None
    is_interrupted: bool
    tracking_uri: str = field(repr=False)
    experiment_id: str
    run_id: str

    @property
    def model(self) -> LoggedModel | None:
        """The registered model."""
        return None if self.closed is None else self.closed.model


def train(
    spec: TrainSpec,
    options: RunOptions | None = None,
    *,
    selection: str | None = None,
    listener: Listener | None = None,
    stop: StopRequest | None = None,
    last_epoch: int | None = None,
    closes: bool = True,
    tags: Mapping[str, str] | None = None,
    checks: Sequence[Any] = (),
) -> TrainResult:
    """Train, map and score one network.

    ``MLFLOW_TRACKING_URI`` is honoured; without it a SQLite file below ``options.storage_path`` is used.

    Args:
        spec: What to train.
        options: Where it runs, and the run's name.
        selection: Name of the strategy that chooses the epoch whose network is kept; None keeps the last.
        listener: Notified while it runs; by default it is logged.
        stop: Ends it when asked to, so that it can be resumed.
        last_epoch: Ends it after that epoch without closing, to repeat a trial that was stopped early.
        closes: Whether the target is mapped and scored, and the network registered; only for one pair or scene.
        tags: Additional tags of the run.
        checks: Called with the run's tags before anything is written; each may raise.

    Returns:
        Its epochs, and the result of closing it.

    Raises:
        SceneshiftError: The specification, the data or the machine don't allow the training. If the error's
            ``resumable`` is true, it can be resumed.
    """
    options, listener, stop = options or RunOptions(), listener or LogListener(), stop or StopRequest()
    if closes and spec.data.scene is None and len(spec.data.pairs) != 1:
        raise InvalidInputError(
            f"{len(spec.data.pairs)} pairs; a training is closed on one pair or scene. Train them one by one, or pass "
            "closes=False."
        )
    keep_to_allowed_cores()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    backend = TrackingBackend.resolve(writable_root(options.storage_path))
    training = prepare_training(spec, options, selection)
    all_tags = {**training.tags(), **(tags or {})}
    for check in checks:
        check(all_tags)
    listener.training_prepared(training)
    backend.connect()
    record = training.open_directory(tracking=backend.shown)
    listener.training_begins(training)
    if record.changes:
        listener.code_or_data_changed(f"run {training.name!r}", record.changes)
    with _errors_marked_resumable(training):
        run = TrainingRun(
            backend,
            experiment=options.experiment,
            name=training.name,
            tags=all_tags,
            params=training.params(),
            journal=training.directory / JOURNAL,
            began_at=record.tracking if options.resume else None,
        )
        if record.changes:
            run.tag(CHANGES_TAG, "; ".join(record.changes))
        return _run_and_close(
            training, run, backend, listener=listener, stop=stop, last_epoch=last_epoch, closes=closes
        )


@contextlib.contextmanager
def _errors_marked_resumable(training: PreparedTraining) -> Iterator[None]:
    """Mark errors that leave something to resume; a run without an epoch frees its name."""
    try:
        yield
    except Exception as error:
        resumable = training.options.resume or not give_back(training.directory)
        if isinstance(error, OSError) and not isinstance(error, SceneshiftError):
            error = StorageError(f"{training.directory} can't be written ({first_line(error)}).")
        if isinstance(error, SceneshiftError):
            error.resumable = resumable
        raise error


def _run_and_close(
    training: PreparedTraining,
    run: TrainingRun,
    backend: TrackingBackend,
    *,
    listener: Listener,
    stop: StopRequest,
    last_epoch: int | None,
    closes: bool,
) -> TrainResult:
    weights: dict[str, str] = {}

    def hear(number: int, report: EpochReport) -> None:
        run.log_epoch(report.epoch, report.metrics)
        weights.update(report.weights)
        listener.epoch(report)

    def result(closed: ClosedTraining | None, *, is_interrupted: bool) -> TrainResult:
        return TrainResult(
            name=training.name,
            directory=training.directory,
            epochs=run.epoch_metrics(""),
            weights=weights,
            closed=closed,
            is_interrupted=is_interrupted,
            tracking_uri=backend.uri,
            experiment_id=run.experiment_id,
            run_id=run.run_id,
        )

    try:
        is_interrupted = _train(training, hear, stop, last_epoch=last_epoch)
        if is_interrupted:
            listener.interrupted(max(run.epoch_metrics(""), default=0), training.spec.epochs)
            run.close("KILLED")
            return result(None, is_interrupted=True)
        for trained_on, digest in weights.items():
            run.tag(f"weights.{trained_on}", digest)
        closed = None
        if closes:
            (pair,), (recipe,) = training.data.pairs, training.data.recipes
            choice = _choose(training, run.epoch_metrics(""))
            is_last = choice is None or (choice.epoch == training.spec.epochs and not choice.is_average)
            network = TrainedNetwork.load(
                training.spec.method,
                training.spec,
                training.data.sources,
                training.checkpoint_location,
                epoch=None if choice is None else choice.epoch,
                weights=weights.get(pair.name) if is_last else None,
                averaged=choice is not None and choice.is_average,
            )
            closed = close_training(
                network,
                pair,
                recipe,
                run,
                name=training.name,
                folder=training.directory / "report",
                settings=training.settings(),
                hashes=training.data.hashes(),
                selection=training.selection_rule,
                choice=None if choice is None else choice_as_dict(training.strategy, choice),
                estimates=_estimates(training, choice),
                held_back=_held_back(training, choice).get(pair.name),
                progress=listener.progress,
                device=training.options.torch_device,
            )
        run.close("FINISHED")
    except BaseException:
        epochs_done = CheckpointFolder(training.checkpoint_location).latest_epoch()
        if training.options.resume or epochs_done > 0:
            run.close("FAILED")
        else:
            run.forget()
        raise
    return result(closed, is_interrupted=False)


def _train(training: PreparedTraining, hear: Any, stop: StopRequest, *, last_epoch: int | None) -> bool:  # noqa: ANN401
    """Run the one job; returns whether it was interrupted."""
    from sceneshift.execution.cluster import ray_cluster

    job = Job(
        number=0,
        spec=training.spec,
        checkpoint_location=training.checkpoint_location,
        strategy=training.strategy.name,
    )
    queue = FixedJobs([job], stop, on_epoch=hear, last_epoch=last_epoch)
    in_ray = training.options.in_ray
    opened = contextlib.nullcontext() if in_ray is None else ray_cluster(dashboard=in_ray == "ray-train")
    with opened as cluster:
        executor: Executor
        if cluster is None:
            threads = training.options.threads or torch.get_num_threads()
            gpus = 1.0 if training.options.torch_device.type == "cuda" else 0.0
            executor = LocalExecutor(Placement(cpus=threads, gpus=gpus))
        else:
            from sceneshift.execution.ray_tune import RayExecutor

            executor = RayExecutor(
                _placement(training, cluster), training.directory, in_ray_train=in_ray == "ray-train"
            )
        targets = training.data.target_pixels(training.spec.target_access)
        executor.run(queue, training.data.sources, stop=stop, targets=targets)
    if queue.divergences:
        raise StudyError(queue.divergences[0])
    if stop.reason is StopReason.INTERRUPTED:
        return True
    if queue.failures:
        failure = queue.failures[0]
        kind = StorageError if failure.kind is FailureKind.STORAGE else StudyError
        raise kind(failure.message)
    if stop.reason is not None:
        raise StudyError(f"the training ended early: {stop.message}.")
    return False


def _choose(training: PreparedTraining, epochs: Mapping[int, Mapping[str, float]]) -> Choice | None:
    if training.selection is None:
        return None
    return choose_epoch(
        training.strategy, epochs=epochs, location=training.checkpoint_location, recipes=training.data.recipes
    )


def _estimates(training: PreparedTraining, choice: Choice | None) -> dict[str, AccuracyEstimate]:
    """Of the network that is kept, where target pixels were recorded."""
    if training.spec.target_access == "none":
        return {}
    return estimate_pairs(training.checkpoint_location, choice or _last(training), training.data.sources)


def _held_back(training: PreparedTraining, choice: Choice | None) -> dict[str, HeldBack]:
    """Answers on held-back pixels of the network that is kept, where they were recorded."""
    if not training.spec.record:
        return {}
    sources = training.data.sources
    return held_back_of(training.checkpoint_location, choice or _last(training), sources, of_this_network=True)


def _last(training: PreparedTraining) -> Choice:
    return Choice(trial=0, epoch=training.spec.epochs, score=math.nan)


def _placement(training: PreparedTraining, cluster: "ClusterSize") -> Placement:
    from sceneshift.execution.cluster import trials_that_fit

    workers = training.options.workers
    cpus = float(training.options.threads or max(1, cluster.cpus // workers))
    gpus = 1.0 if training.options.torch_device.type == "cuda" else 0.0
    fit = trials_that_fit(cluster, cpus=cpus, gpus=gpus)
    if fit < workers:
        each = f"{cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
        advice = f"use --workers-per-trial {fit}" if fit else "use fewer --threads, or --executor local"
        raise ResourceError(
            f"{workers} workers with {each} each; there is room for {fit} on {cluster.cpus:g} CPU and {cluster.gpus:g} "
            f"GPU. Nothing was started; {advice}."
        )
    return Placement(workers=workers, cpus=math.floor(cpus), gpus=gpus, scenes_by_path=cluster.stays_one_node)
