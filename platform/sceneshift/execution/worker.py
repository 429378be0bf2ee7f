"""Training a job in a worker process: the plain loop, with epochs and failures reported as rows of plain values.

Ray transports rows; in the local process they are read back immediately.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from sceneshift.errors import SceneshiftError, StorageError
from sceneshift.execution.executor import Job, Placement
from sceneshift.selection.outputs import epoch_scorer
from sceneshift.selection.registry import find_strategy
from sceneshift.selection.strategy import SCORE_PREFIX
from sceneshift.splits.source import SourceDomain
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.loop import EpochReport, TrainingDiverged, train
from sceneshift.training.target_pixels import TargetPixels

#: Keys of a row that are not metrics.
WEIGHTS_KEY, DIVERGED_KEY, ERROR_KEY = "weights", "diverged", "error"

Row = dict[str, Any]


def train_job(
    job: Job,
    placement: Placement,
    sources: Sequence[SourceDomain],
    report_row: Callable[[Row], None],
    *,
    targets: Sequence[TargetPixels] = (),
) -> None:
    """Train a job, or continue it after its last epoch.

    A failure that would recur on every retry, such as a batch smaller than the number of workers, is reported as a row;
    others are raised.

    Args:
        job: What is trained.
        placement: The resources of this worker.
        sources: The job's sources.
        report_row: Called after every epoch, and with a failure; may raise to end the training.
        targets: Unlabelled target pixels by pair, for a job that is allowed them.
    """
    if placement.cpus >= 1:
        # Ray sets OMP_NUM_THREADS, but a reused worker may keep the number of the previous job.
        torch.set_num_threads(math.floor(placement.cpus))

    strategy = find_strategy(job.strategy)

    def report(epoch: EpochReport) -> None:
        report_row({"epoch": epoch.epoch, WEIGHTS_KEY: epoch.weights, **epoch.metrics})

    try:
        train(
            job.spec,
            sources,
            report=report,
            checkpoints=CheckpointFolder(job.checkpoint_location),
            # If a machine has several workers, each sees all their GPUs; Ray Train has chosen one for each.
            device=torch.device("cuda", torch.cuda.current_device()) if placement.gpus > 0 else "cpu",
            keep=strategy.keep,
            targets=targets,
            score=epoch_scorer(strategy) if job.spec.record else None,
        )
    except TrainingDiverged as error:
        report_row({"epoch": error.epoch, DIVERGED_KEY: str(error)})
    except StorageError:
        raise
    except SceneshiftError as error:
        report_row({"epoch": 0, ERROR_KEY: str(error)})


def epoch_of(row: Mapping[str, Any]) -> EpochReport:
    """Restore an epoch's report from its row, without Ray's additions.

    Ray flattens nested values: weights come back as ``weights/<pair>``, or as they were sent.
    """
    metrics = {
        key: float(value)
        for key, value in row.items()
        if key.startswith(("val/", "train/", "time/", SCORE_PREFIX)) and isinstance(value, int | float)
    }
    prefix = f"{WEIGHTS_KEY}/"
    weights = {key.removeprefix(prefix): str(value) for key, value in row.items() if key.startswith(prefix)}
    weights |= {pair: str(digest) for pair, digest in row.get(WEIGHTS_KEY, {}).items()}
    return EpochReport(epoch=int(row["epoch"]), metrics=metrics, weights=weights)
