"""One job as Ray runs it: the plain loop in the trial's own actor, or inside Ray Train."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import ray
from ray import tune

from sceneshift.errors import StudyError
from sceneshift.execution.executor import Job, Placement
from sceneshift.execution.ray_train import WorkerShape, train_with_ray
from sceneshift.execution.worker import Row, train_job
from sceneshift.splits.source import SourceDomain
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.target_pixels import TargetPixels


def trial_config(job: Job, placement: Placement) -> dict[str, Any]:
    """A job as the configuration of a Tune trial."""
    return {"number": job.number, "job": job.as_dict(), "placement": asdict(placement)}


def run_in_actor(config: dict[str, Any], sources: Sequence[ray.ObjectRef], targets: Sequence[ray.ObjectRef]) -> None:
    """Ray Tune's trainable: train in this actor, and report every epoch to Tune.

    Args:
        config: The result of :func:`trial_config`.
        sources: One :class:`SourceDomain` per pair, in the object store: the training process fetches them.
        targets: Likewise the :class:`TargetPixels`; none where jobs are allowed none.
    """
    _train(config, sources, targets, tune.report)


def run_in_ray_train(
    config: dict[str, Any], sources: Sequence[ray.ObjectRef], targets: Sequence[ray.ObjectRef]
) -> None:
    """Ray Tune's trainable: train in the workers of Ray Train, whose epochs are passed to Tune.

    Args:
        config: The result of :func:`trial_config`.
        sources: As in :func:`run_in_actor`.
        targets: As there.

    Raises:
        StorageError: The location of the checkpoints can't be written to.
        StudyError: Ray Train came back before the last epoch.
    """
    job, placement = Job.from_dict(config["job"]), Placement(**config["placement"])
    # Ray Train stores its own files there, with less clear error messages.
    CheckpointFolder.check(job.checkpoint_location)
    train_with_ray(
        _train,
        config,
        sources,
        targets,
        worker=WorkerShape(cpus=placement.cpus, gpus=placement.gpus),
        storage_path=job.checkpoint_location,
        num_workers=placement.workers,
    )
    done = CheckpointFolder(job.checkpoint_location).latest_epoch()
    if done < job.spec.epochs:
        # Tune would consider the trial ended. With an error, it is retried from its last epoch.
        raise StudyError(
            f"Ray Train ended job {job.number} after epoch {done} of {job.spec.epochs}; on several machines the "
            "checkpoints must be in a directory all of them share, or at a URI such as s3://…"
        )


def _train(
    config: dict[str, Any],
    sources: Sequence[ray.ObjectRef],
    targets: Sequence[ray.ObjectRef],
    report_row: Callable[[Row], None],
) -> None:
    job, placement = Job.from_dict(config["job"]), Placement(**config["placement"])
    domains: list[SourceDomain] = ray.get(list(sources))
    allowed: list[TargetPixels] = ray.get(list(targets))
    train_job(job, placement, job.of(domains), report_row, targets=allowed)
