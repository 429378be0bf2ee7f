"""Trainings in this process, one after another: for debugging, for tests and for teaching."""

import math
import time
from collections.abc import Sequence
from typing import ClassVar

import torch

from sceneshift.addresses import without_secrets
from sceneshift.errors import InvalidInputError, StorageError, first_line
from sceneshift.execution.executor import (
    Failure,
    FailureKind,
    Job,
    JobQueue,
    Placement,
    StopReason,
    StopRequest,
    Verdict,
)
from sceneshift.execution.worker import DIVERGED_KEY, ERROR_KEY, Row, epoch_of, train_job
from sceneshift.splits.source import SourceDomain
from sceneshift.training.target_pixels import TargetPixels


class LocalExecutor:
    """Runs jobs in this process, one at a time.

    An exception in a training fails its job, as the death of a worker does elsewhere; nothing restarts it.

    Args:
        placement: CPUs (torch threads) and GPUs; one job at a time, of one worker.

    Raises:
        InvalidInputError: Several workers per training.
    """

    name: ClassVar[str] = "local"

    def __init__(self, placement: Placement) -> None:
        if placement.workers > 1:
            raise InvalidInputError(
                f"the local executor trains in this process; {placement.workers} workers per training need "
                "executor 'ray-train'."
            )
        self._placement = placement

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
        """Run the jobs; see :class:`~sceneshift.execution.executor.Executor`.

        A training that hangs can't be ended from within its own process: after ``stall_timeout_s`` without an epoch the
        run ends with the next one.
        """
        ends_at = math.inf if time_budget_s is None else time.monotonic() + time_budget_s
        threads = torch.get_num_threads()
        try:
            with stop.heard():
                while stop.reason is None and time.monotonic() < ends_at and (job := queue.next()) is not None:
                    queue.started(job.number)
                    self._run(job, queue, sources, targets, stop, ends_at, stall_timeout_s)
        finally:
            torch.set_num_threads(threads)

    def _run(
        self,
        job: Job,
        queue: JobQueue,
        sources: Sequence[SourceDomain],
        targets: Sequence[TargetPixels],
        stop: StopRequest,
        ends_at: float,
        stall_timeout_s: float,
    ) -> None:
        last = time.monotonic()

        def hear(row: Row) -> None:
            nonlocal last
            if DIVERGED_KEY in row:
                queue.diverged(job.number, row[DIVERGED_KEY])
                return
            if ERROR_KEY in row:
                queue.failed(job.number, Failure(kind=FailureKind.ERROR, message=row[ERROR_KEY]))
                return
            verdict, now = queue.epoch(job.number, epoch_of(row)), time.monotonic()
            if stall_timeout_s > 0 and now - last > stall_timeout_s:
                stop.request(StopReason.STALLED, f"an epoch took {now - last:.0f} s")
            last = now
            if verdict is Verdict.STOP or stop.reason is not None or now >= ends_at:
                raise _Ended

        try:
            train_job(job, self._placement, job.of(sources), hear, targets=targets)
        except _Ended:
            pass
        except StorageError as error:
            queue.failed(job.number, Failure(kind=FailureKind.STORAGE, message=str(error)))
        except MemoryError as error:
            queue.failed(job.number, Failure(kind=FailureKind.MEMORY, message=first_line(error)))
        except Exception as error:  # whatever the training raises only fails this job
            queue.failed(
                job.number,
                Failure(kind=FailureKind.ERROR, message=f"{type(error).__name__}: {without_secrets(str(error))}"),
            )


class _Ended(Exception):  # not an error: the training is no longer needed
    """Raised through the plain loop to end it after a recorded epoch."""
