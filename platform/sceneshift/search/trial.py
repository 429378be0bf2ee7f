"""One trial as a Ray worker runs it: the plain loop, in the trial's own actor or inside Ray Train."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ray
import torch
from ray import tune

from sceneshift.errors import StudyError
from sceneshift.methods.registry import find_method
from sceneshift.splits.source import SourceDomain
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.loop import OBJECTIVE, EpochReport, TrainingDiverged, TrainingPlan, train
from sceneshift.training.ray_train import MAX_WORKER_FAILURES, WorkerShape, train_with_ray

#: Keys of a result row that are not metrics.
WEIGHTS_KEY, DIVERGED_KEY = "weights", "diverged"


@dataclass(frozen=True, kw_only=True)
class TrialOrder:
    """All a worker needs to know of a trial, as plain values; the sources travel beside it.

    Args:
        number: The trial's number in the trial store.
        method: Name of the method.
        config: The method's configuration as plain values.
        epochs: Epochs to train.
        seed: The trial's seed.
        checkpoint_location: Where the trial's checkpoints lie.
        in_ray_train: Train inside Ray Train's TorchTrainer instead of the trial's actor.
        workers: Workers that train together; more than one in Ray Train alone.
        cpus: CPUs a worker may use; also its number of torch threads.
        gpus: GPUs a worker has; a fraction shares one.
        precision: What training steps compute in.
        compile: Compile the modules with `torch.compile`.
    """

    number: int
    method: str
    config: dict[str, Any]
    epochs: int
    seed: int
    checkpoint_location: str
    in_ray_train: bool
    workers: int
    cpus: float
    gpus: float
    precision: str
    compile: bool

    def plan(self) -> TrainingPlan:
        """The order as the plain loop takes it."""
        config = find_method(self.method).config_type.from_mapping(self.config)
        return TrainingPlan(
            method=self.method,
            config=config,
            epochs=self.epochs,
            seed=self.seed,
            precision=self.precision,
            compile=self.compile,
        )

    def as_config(self) -> dict[str, Any]:
        """Plain values, for Ray Tune."""
        return asdict(self)


def run_trial(config: dict[str, Any], sources: Sequence[ray.ObjectRef]) -> None:
    """Ray Tune's trainable: train as ordered and report every epoch to Tune.

    Args:
        config: A :class:`TrialOrder` as plain values.
        sources: One :class:`SourceDomain` a pair, in the object store: who trains fetches them, nobody copies them on.

    Raises:
        StudyError: Ray Train came back before the last epoch.
    """
    order = TrialOrder(**config)
    if order.in_ray_train:
        train_in_ray(order, sources, report_to_tune=True)
    else:
        _train_and_report({"order": config}, sources, tune.report)


def train_alone(config: dict[str, Any], sources: Sequence[ray.ObjectRef]) -> str:
    """Train as ordered in a Ray task, outside any search; checkpoints are all that is kept.

    Args:
        config: A :class:`TrialOrder` as plain values.
        sources: As in :func:`run_trial`.

    Returns:
        Why it diverged; empty where it did not.
    """
    faults: list[str] = []

    def note(row: dict[str, Any]) -> None:
        faults.extend([row[DIVERGED_KEY]] if DIVERGED_KEY in row else [])

    _train_and_report({"order": config}, sources, note)
    return faults[0] if faults else ""


def train_in_ray(order: TrialOrder, sources: Sequence[ray.ObjectRef], *, report_to_tune: bool) -> None:
    """Train as ordered in Ray Train's workers, or go on with it.

    Args:
        order: What is trained.
        sources: As in :func:`run_trial`.
        report_to_tune: Pass every epoch on to Ray Tune; only inside a Tune trial.

    Raises:
        StudyError: Ray Train came back before the last epoch.
    """
    train_with_ray(
        _train_and_report,
        {"order": order.as_config()},
        sources,
        worker=WorkerShape(cpus=order.cpus, gpus=order.gpus),
        storage_path=order.checkpoint_location,
        report_to_tune=report_to_tune,
        num_workers=order.workers,
        # Inside a trial Tune counts the failures.
        max_failures=0 if report_to_tune else MAX_WORKER_FAILURES,
    )
    done = CheckpointFolder(order.checkpoint_location).latest_epoch()
    if done < order.epochs:
        # Tune would take it for a trial that has ended. Raised, it is tried again, from its last epoch.
        raise StudyError(f"Ray Train ended trial {order.number} after epoch {done} of {order.epochs}")


def _train_and_report(
    settings: dict[str, Any],
    sources: Sequence[ray.ObjectRef],
    report_row: Callable[[dict[str, Any]], None],
) -> None:
    domains: list[SourceDomain] = ray.get(list(sources))
    order = TrialOrder(**settings["order"])
    # Ray sets OMP_NUM_THREADS, yet a reused worker may keep the count of the trial before.
    torch.set_num_threads(max(1, math.floor(order.cpus)))

    def report(epoch: EpochReport) -> None:
        report_row({"epoch": epoch.epoch, WEIGHTS_KEY: epoch.weights, **epoch.metrics})

    try:
        train(
            order.plan(),
            domains,
            report=report,
            checkpoints=CheckpointFolder(order.checkpoint_location),
            # Of several workers on a machine each sees all their GPUs; Ray Train has chosen one for each.
            device=torch.device("cuda", torch.cuda.current_device()) if order.gpus > 0 else "cpu",
        )
    except TrainingDiverged as error:
        # Tune takes no row without the objective.
        report_row({"epoch": error.epoch, OBJECTIVE: math.nan, DIVERGED_KEY: str(error)})
