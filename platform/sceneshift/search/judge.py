"""Decides what happens to a search's trials: records epochs, completes, prunes, fails. Independent of executors."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import optuna

from sceneshift.execution.executor import (
    MAX_RETRIES,
    Failure,
    FailureKind,
    Job,
    StopReason,
    StopRequest,
    Verdict,
)
from sceneshift.search.trial_record import Ended, TrialRecord
from sceneshift.search.trial_store import TrialStore
from sceneshift.training.loop import EpochReport


class SearchListener(Protocol):
    """Is notified while a search runs: the screen, MLflow."""

    def changed(self, record: TrialRecord) -> None:
        """A trial has begun, recorded an epoch, or ended."""

    def finished(self, record: TrialRecord) -> None:
        """A trial has ended; called once per trial."""


_FAILED = {
    FailureKind.MEMORY: Ended.OUT_OF_MEMORY,
    FailureKind.PROCESS: Ended.PROCESS_DIED,
    FailureKind.ERROR: Ended.ERROR,
}


class Judge:
    """A search's trials as an executor's queue; see :class:`sceneshift.execution.executor.JobQueue`.

    Args:
        store: Where trials are recorded; trials left running in it by an interrupted search come first.
        num_samples: Total number of trials.
        epochs: Epochs of a complete trial.
        make_config: Draws a trial's configuration from the space.
        job: Builds the job that trains a trial.
        stop: Asked to end the search if trials can't store their checkpoints.
        listeners: Notified of every change.
    """

    def __init__(
        self,
        store: TrialStore,
        *,
        num_samples: int,
        epochs: int,
        make_config: Callable[[optuna.Trial], Mapping[str, Any]],
        job: Callable[[TrialRecord], Job],
        stop: StopRequest,
        listeners: Sequence[SearchListener] = (),
    ) -> None:
        self._store = store
        self._num_samples = num_samples
        self._epochs = epochs
        self._make_config = make_config
        self._job = job
        self._stop = stop
        self._listeners = listeners
        self._unfinished = [record for record in store.records() if record.state == "running"]
        self._retried: Counter[int] = Counter()
        self._announced: set[int] = set()

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to run."""
        return not self._unfinished and len(self._store.records()) >= self._num_samples

    def next(self) -> Job | None:
        """An interrupted trial, or a new one; None when there are enough."""
        if self._unfinished:
            record = self._unfinished.pop(0)
            # A search that was killed while drawing a configuration draws the same one again.
            record = record if record.config else self._store.draw(record.number, self._make_config)
        elif len(self._store.records()) < self._num_samples:
            record = self._store.ask(self._make_config)
        else:
            return None
        return self._job(record)

    def started(self, number: int) -> None:
        """Notify the listeners that the trial runs."""
        self._tell(number)

    def epoch(self, number: int, report: EpochReport) -> Verdict:
        """Record the epoch; complete a trial after its last one, or prune it if ASHA says so.

        The rungs are computed from the store (Optuna's SuccessiveHalvingPruner), so they survive a restart.
        """
        self._store.report(number, report.epoch, report.metrics, report.weights)
        verdict = Verdict.STOP
        if report.epoch >= self._epochs and not math.isfinite(self._store.value(number)):
            self._store.fail(number, Ended.DIVERGED, "its score is not finite at any epoch that may be chosen")
        elif report.epoch >= self._epochs:
            self._store.complete(number)
        elif self._store.should_stop(number, report.epoch):
            self._store.prune(number, Ended.EARLY_STOP, f"stopped by ASHA after epoch {report.epoch}")
        else:
            verdict = Verdict.CONTINUE
        self._tell(number)
        return verdict

    def diverged(self, number: int, message: str) -> None:
        """Close the trial as failed."""
        self._store.fail(number, Ended.DIVERGED, message)
        self._tell(number)

    def failed(self, number: int, failure: Failure) -> None:
        """Close the trial as failed, with the reason.

        A trial that could not write its checkpoint is left open: it is not the cause, and later trials would fail too.
        It ends the search, which can be resumed when there is space.
        """
        if failure.kind is FailureKind.STORAGE:
            self._stop.request(StopReason.STORAGE, failure.message)
            return
        self._store.fail(number, _FAILED[failure.kind], failure.message or "its process failed")
        self._tell(number)

    def retry(self, number: int) -> bool:
        """Return a trial from :meth:`next` again, a limited number of times."""
        self._retried[number] += 1
        if self._retried[number] > MAX_RETRIES:
            return False
        self._unfinished.append(self._store.record(number))
        return True

    def out_of_time(self, budget_s: float) -> None:
        """Close the running trials as stopped early, because the time budget is used up."""
        for record in self._store.records():
            if record.state == "running":
                self._store.prune(record.number, Ended.TIME_BUDGET, f"time budget of {budget_s:g} s used up")
                self._tell(record.number)

    def _tell(self, number: int) -> None:
        record = self._store.record(number)
        for listener in self._listeners:
            listener.changed(record)
        if record.is_finished and number not in self._announced:
            self._announced.add(number)
            for listener in self._listeners:
                listener.finished(record)
