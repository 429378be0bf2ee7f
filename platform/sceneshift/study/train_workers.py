"""A training in this process, or in Ray Train's workers, which train one network together."""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from sceneshift.errors import ResourceError, SceneshiftError, StudyError, first_line
from sceneshift.files.arrow_scenes import sent_whole
from sceneshift.search.cluster import ClusterSize, ray_cluster, trials_that_fit
from sceneshift.splits.source import SourceDomain
from sceneshift.study.train_preparation import PreparedTraining
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.loop import EpochReport, PairRun, TrainingPlan, train
from sceneshift.training.workers import Workers

if TYPE_CHECKING:
    from ray.util.queue import Queue


def train_network(training: PreparedTraining, report: Callable[[EpochReport], None]) -> PairRun:
    """Train as the command line says, or go on with it.

    Args:
        training: What is trained.
        report: Called in this process after every epoch.

    Returns:
        The finished run, in this process.

    Raises:
        ResourceError: The workers don't fit the machine or the cluster.
        StudyError: Ray Train ended the training before its last epoch, or its checkpoints are of another.
        TrainingDiverged: A loss became NaN or infinite.
    """
    checkpoints = CheckpointFolder(training.checkpoint_location)
    tell: Callable[[EpochReport], None] = report
    if training.in_ray_train and checkpoints.latest_epoch() < training.plan.epochs:
        _train_in_ray(training, report)
        if (done := checkpoints.latest_epoch()) < training.plan.epochs:
            raise StudyError(
                f"Ray Train came back, but {checkpoints.location} holds epoch {done} of {training.plan.epochs}. On "
                "several machines --storage-path must be a directory all of them share."
            )
        # Told already: what follows only takes the trained network back from its last checkpoint.
        tell = _be_silent
    (run,) = train(training.plan, [training.source], report=tell, checkpoints=checkpoints, device=training.device)
    return run


def _be_silent(_: EpochReport) -> None:
    """Tell nobody."""


def _train_in_ray(training: PreparedTraining, report: Callable[[EpochReport], None]) -> None:
    workers = training.arguments.workers_per_trial
    with ray_cluster() as cluster:
        # Ray reads the environment, which is set by now, when it is imported.
        import ray.train
        from ray.util.queue import Empty, Queue

        from sceneshift.training.ray_train import MAX_WORKER_FAILURES, WorkerShape, train_with_ray

        shape = WorkerShape(
            cpus=float(training.arguments.threads or max(1, cluster.cpus // workers)),
            gpus=1.0 if training.device.type == "cuda" else 0.0,
        )
        _check_room(cluster, workers=workers, cpus=shape.cpus, gpus=shape.gpus)
        told = Queue()

        def hear(timeout_s: float = 0.5) -> bool:
            try:
                news = told.get(timeout=timeout_s)
            except Empty:
                return False
            if isinstance(news, SceneshiftError):
                raise news
            report(news)
            return True

        settings = {
            "plan": training.plan,
            "location": training.checkpoint_location,
            "cpus": shape.cpus,
            "on_gpu": shape.gpus > 0,
        }
        try:
            with contextlib.nullcontext() if cluster.stays_one_node else sent_whole():
                train_with_ray(
                    partial(_train_and_tell, told=told),
                    settings,
                    [training.source],
                    worker=shape,
                    storage_path=str(training.directory),
                    report_to_tune=False,
                    num_workers=workers,
                    max_failures=MAX_WORKER_FAILURES,
                    meanwhile=hear,
                )
        except ray.train.TrainingFailedError as error:
            raise StudyError(f"Ray Train ended the training ({first_line(error)}).") from error
        while hear(0.0):
            pass


def _check_room(cluster: ClusterSize, *, workers: int, cpus: float, gpus: float) -> None:
    fit = trials_that_fit(cluster, cpus=cpus, gpus=gpus)
    if fit < workers:
        each = f"{cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
        advice = f"use --workers-per-trial {fit}" if fit else "use fewer --threads, or --trainer plain"
        raise ResourceError(
            f"{workers} workers with {each} each; there is room for {fit} on {cluster.cpus:g} CPU and {cluster.gpus:g} "
            f"GPU. Nothing was started; {advice}."
        )


def _train_and_tell(
    settings: dict[str, Any],
    sources: Sequence[SourceDomain],
    report_row: Callable[[dict[str, Any]], None],
    *,
    told: "Queue",
) -> None:
    """What each worker runs."""
    plan: TrainingPlan = settings["plan"]
    is_first = Workers.of_this_process().rank == 0
    torch.set_num_threads(max(1, int(settings["cpus"])))

    def report(epoch: EpochReport) -> None:
        if is_first:
            told.put(epoch)
        report_row({"epoch": epoch.epoch})

    try:
        train(
            plan,
            sources,
            report=report,
            checkpoints=CheckpointFolder(settings["location"]),
            # Of several workers on a machine each sees all their GPUs; Ray Train has chosen one for each.
            device=torch.device("cuda", torch.cuda.current_device()) if settings["on_gpu"] else "cpu",
        )
    except SceneshiftError as error:
        # Raised in all workers; told by the first, it is raised where the training was begun.
        if is_first:
            told.put(error)
