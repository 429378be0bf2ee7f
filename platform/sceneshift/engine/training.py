"""A single training from its specification to its closed result."""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sceneshift.catalogue.units import describe_units, refuse_normalization
from sceneshift.closing.trained import TrainedNetwork
from sceneshift.closing.training import ClosedTraining, close_training
from sceneshift.engine.listener import Listener
from sceneshift.engine.run_record import JOURNAL, RunRecord, give_back, open_run_directory
from sceneshift.errors import InvalidInputError, ResourceError, SceneshiftError, StorageError, StudyError, first_line
from sceneshift.execution.executor import Executor, FailureKind, FixedJobs, Job, Placement, StopReason, StopRequest
from sceneshift.execution.local import LocalExecutor
from sceneshift.methods.registry import find_method
from sceneshift.report.separation import separation_rows, separation_tags
from sceneshift.search.prepared import writable_root
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.models import LoggedModel
from sceneshift.tracking.provenance import CHANGES_TAG, SPEC_TAG, code_origin, code_tags
from sceneshift.tracking.training_run import TrainingRun
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.data import LoadedData
from sceneshift.training.loop import EpochReport
from sceneshift.training.precision import check_precision
from sceneshift.training.spec import TrainSpec, flat

if TYPE_CHECKING:
    from sceneshift.execution.cluster import ClusterSize

#: What chose the network that a training keeps.
LAST_EPOCH = "none, the last epoch of one training"

#: Where a training can run; "auto" is "ray-train" with several workers, else "local".
TRAIN_EXECUTORS = ("auto", "local", "ray", "ray-train")

#: What a training can run on; "auto" is "cuda" where there is a GPU.
DEVICES = ("auto", "cpu", "cuda")

#: What of a specification tells where files lie, and nothing of what is in them.
_PLACES = (
    *(f"data.{name}" for name in ("scene", "data_dir", "catalogue", "train_mask", "test_mask")),
    "compile",
    "evaluate_every",
)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a training runs and is kept; nothing of it changes what comes out, but for rounding.

    Args:
        name: Name of the run; by default method, data, split and time.
        experiment: MLflow experiment, and folder below ``storage_path``.
        storage_path: Directory under which everything is kept.
        executor: One of :data:`TRAIN_EXECUTORS`.
        device: One of :data:`DEVICES`.
        threads: CPU threads per worker; by default torch's choice, or the machine's shared among the workers.
        workers: Processes that train the network together, in Ray Train.
        resume: Continue the run of that name after its last epoch; a finished one is scored and mapped again.

    Raises:
        InvalidInputError: A value is unknown or out of range.
    """

    name: str | None = None
    experiment: str = "training"
    storage_path: str = "results"
    executor: str = "auto"
    device: str = "auto"
    threads: int | None = None
    workers: int = 1
    resume: bool = False

    def __post_init__(self) -> None:
        if self.executor not in TRAIN_EXECUTORS:
            raise InvalidInputError(f"executor = {self.executor!r}; expected one of {', '.join(TRAIN_EXECUTORS)}.")
        if self.device not in DEVICES:
            raise InvalidInputError(f"device = {self.device!r}; expected one of {', '.join(DEVICES)}.")
        for name in ("threads", "workers"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InvalidInputError(f"{name} = {value}; expected at least 1.")
        if self.workers > 1 and self.executor in ("local", "ray"):
            raise InvalidInputError(
                f"executor {self.executor!r} trains in one process; {self.workers} workers need 'ray-train'."
            )
        if self.resume and self.name is None:
            raise InvalidInputError("a run is resumed by its name; none was given.")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InvalidInputError("--device cuda: torch sees no GPU here; use --device cpu.")

    @property
    def in_ray(self) -> str | None:
        """The executor on Ray that trains, or None for this process."""
        if self.executor == "auto":
            return "ray-train" if self.workers > 1 else None
        return None if self.executor == "local" else self.executor

    @property
    def torch_device(self) -> torch.device:
        """Where to train and map."""
        return torch.device("cuda" if torch.cuda.is_available() and self.device != "cpu" else "cpu")


@dataclass(frozen=True, kw_only=True)
class PreparedTraining:
    """A training that has been checked and may begin.

    Args:
        spec: What is trained.
        options: Where.
        name: The run's name.
        data: Scenes, splits and training pixels.
        directory: The run's local directory.
    """

    spec: TrainSpec
    options: RunOptions
    name: str
    data: LoadedData
    directory: Path

    @property
    def checkpoint_location(self) -> str:
        """Where the run keeps its checkpoints."""
        return str(self.directory / "checkpoints")

    @property
    def trained_on(self) -> str:
        """The pairs, or the scene."""
        return " ".join(pair.name for pair in self.data.pairs)

    def separation(self) -> list[dict[str, Any]]:
        """How separate validation or test pixels are from those that train."""
        data = self.data
        return [r for p, s in zip(data.pairs, data.sources, strict=True) for r in separation_rows(p, s.split)]

    def settings(self) -> dict[str, Any]:
        """What a resumed training must agree with, as plain values."""
        own = {name: value for name, value in flat(self.spec.as_dict()).items() if name not in _PLACES}
        return {**own, "trained_on": self.trained_on, **self.data.identity()}

    def origin(self) -> dict[str, str]:
        """The code and the data a result came from. A resumed training may differ in them, and says so."""
        return {**code_origin(), **self.data.origin()}

    def tags(self) -> dict[str, str]:
        """Where the run comes from."""
        stated = {pair.name: units for pair in self.data.pairs if (units := describe_units(pair)) is not None}
        return {
            **code_tags(),
            SPEC_TAG: json.dumps(self.spec.as_dict()),
            "method": self.spec.method,
            "trained_on": self.trained_on,
            "split": self.data.spec.split_name,
            "seed": str(self.spec.seed),
            "selection": LAST_EPOCH,
            **self.data.hashes(),
            **{f"units.{name}": units for name, units in stated.items()},
            **separation_tags(self.separation()),
        }

    def open_directory(self, *, tracking: str) -> RunRecord:
        """Make the run's directory, or check that a resumed run is the same; see :func:`open_run_directory`.

        Args:
            tracking: Where MLflow keeps the run.
        """
        return open_run_directory(
            self.directory,
            self.name,
            resume=self.options.resume,
            now=RunRecord(settings=self.settings(), origin=self.origin(), tracking=tracking, changes=()),
        )

    def params(self) -> dict[str, Any]:
        """What MLflow keeps as parameters."""
        spec = self.spec.as_dict()
        return {
            "trained on": self.trained_on,
            "split": self.data.spec.split_name,
            **{name: spec[name] for name in ("method", "epochs", "seed", "precision")},
            **spec["config"],
        }


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training came to.

    Args:
        name: The run's name.
        directory: Its local directory.
        epochs: Metrics by epoch.
        weights: Hash of each pair's classifier.
        closed: Scores, verdict and the registered model; None where it was interrupted, or not to be closed.
        is_interrupted: Whether it ended before its last epoch and can be resumed.
        tracking_uri: Where MLflow keeps the run.
        experiment_id: Its experiment there.
        run_id: The run there.
    """

    name: str
    directory: Path
    epochs: Mapping[int, Mapping[str, float]]
    weights: Mapping[str, str]
    closed: ClosedTraining | None
    is_interrupted: bool
    tracking_uri: str
    experiment_id: str
    run_id: str

    @property
    def model(self) -> LoggedModel | None:
        """The registered model."""
        return None if self.closed is None else self.closed.model


def prepare_training(spec: TrainSpec, options: RunOptions) -> PreparedTraining:
    """Read and check everything a training needs.

    Raises:
        InvalidInputError: A value or the data doesn't allow the training.
        MissingDataError: The data isn't there.
    """
    on_gpu = options.torch_device.type == "cuda"
    check_precision(spec.precision, on_gpu=on_gpu)
    if spec.compile and not on_gpu:
        raise InvalidInputError("--compile is for GPUs; on a CPU the hot loops are compiled as it is.")
    root = writable_root(options.storage_path)
    data = spec.data.load()
    for pair in data.pairs:
        refuse_normalization(pair, spec.config.normalization)
    trained_on = "-".join(pair.name for pair in data.pairs)
    name = options.name or f"{spec.method}-{trained_on}-{spec.data.split}-{datetime.now():%Y%m%d-%H%M%S}"
    return PreparedTraining(
        spec=spec, options=options, name=name, data=data, directory=root / options.experiment / name
    )


def train(
    spec: TrainSpec,
    options: RunOptions | None = None,
    *,
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
        options: Where, and what the run is called.
        listener: Who hears of it.
        stop: Ends it when asked to, to be resumed.
        last_epoch: Ends it after that epoch without closing, where a trial that was stopped early is run again.
        closes: Whether the target is mapped and scored, and the network registered; of one pair or scene alone.
        tags: On the run, beside its own.
        checks: Called with the run's tags before anything is written; each may raise.

    Returns:
        Its epochs, and what closing came to.

    Raises:
        SceneshiftError: The specification, the data or the machine don't allow the training. Where ``resumable`` of the
            error is true there is something to resume.
    """
    options, listener, stop = options or RunOptions(), listener or Listener(), stop or StopRequest()
    if closes and spec.data.scene is None and len(spec.data.pairs) != 1:
        raise InvalidInputError(
            f"{len(spec.data.pairs)} pairs; a training is closed on one pair or scene. Train them one by one, or pass "
            "closes=False."
        )
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    backend = TrackingBackend.resolve(writable_root(options.storage_path))
    training = prepare_training(spec, options)
    all_tags = {**training.tags(), **(tags or {})}
    for check in checks:
        check(all_tags)
    listener.training_prepared(training)
    backend.connect()
    record = training.open_directory(tracking=backend.uri)
    listener.training_begins(training)
    if record.changes:
        listener.code_or_data_changed(f"run {training.name!r}", record.changes)
    with _told_what_can_be_resumed(training):
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
def _told_what_can_be_resumed(training: PreparedTraining) -> Iterator[None]:
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
            epochs=run.epochs_told(""),
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
            run.close("KILLED")
            return result(None, is_interrupted=True)
        for trained_on, digest in weights.items():
            run.tag(f"weights.{trained_on}", digest)
        closed = None
        if closes:
            (source,), (pair,), (recipe,) = training.data.sources, training.data.pairs, training.data.recipes
            network = TrainedNetwork.load(
                training.spec.method,
                training.spec,
                source,
                training.checkpoint_location,
                weights=weights.get(pair.name),
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
                selection=LAST_EPOCH,
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

    job = Job(number=0, spec=training.spec, checkpoint_location=training.checkpoint_location)
    queue = FixedJobs([job], stop, on_epoch=hear, last_epoch=last_epoch)
    in_ray = training.options.in_ray
    with ray_cluster() if in_ray is not None else contextlib.nullcontext() as cluster:
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
        executor.run(queue, training.data.sources, stop=stop)
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


def published_epochs(method: str) -> int:
    """Epochs of a training of a method as published."""
    return find_method(method).published_epochs
