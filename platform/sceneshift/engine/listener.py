"""Listeners are notified while a search or a training runs: a screen, a notebook, a test."""

import logging
from typing import TYPE_CHECKING

from sceneshift.search.trial_record import TrialRecord
from sceneshift.training.loop import EpochReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sceneshift.engine.prepared_training import PreparedTraining
    from sceneshift.execution.executor import Placement
    from sceneshift.search.pace import Pace
    from sceneshift.search.prepared import PreparedSearch


_LOG = logging.getLogger(__name__)


class Listener:
    """Ignores everything; override the methods of interest. They are called in this order, per search or training."""

    def search_prepared(self, search: "PreparedSearch") -> None:
        """A search has been checked; nothing is written yet."""

    def epochs_decided(self, pace: "Pace") -> None:
        """The number of epochs was chosen by timing steps."""

    def duration_expected(self, seconds: float) -> None:
        """What a search without a time budget is expected to take on CPUs, by timed steps."""

    def search_begins(self, search: "PreparedSearch", placement: "Placement", finished: int) -> None:
        """Trials begin, or continue; from now on the search can be resumed."""

    def changed(self, record: TrialRecord) -> None:
        """A trial has begun, recorded an epoch, or ended."""

    def finished(self, record: TrialRecord) -> None:
        """A trial has ended."""

    def training_prepared(self, training: "PreparedTraining") -> None:
        """A training has been checked; nothing is written yet."""

    def training_begins(self, training: "PreparedTraining") -> None:
        """A training begins, or continues; from now on it can be resumed."""

    def epoch(self, report: EpochReport) -> None:
        """A training has finished an epoch."""

    def interrupted(self, done: int, total: int) -> None:
        """The user has ended it after ``done`` trials, or epochs. MLflow is updated next, which may take time."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Progress of long work, such as mapping a target; ``what`` names it and its unit, in the plural."""

    def code_or_data_changed(self, what: str, changes: "Sequence[str]") -> None:
        """Code or data have changed since the last run of what is resumed."""


class LogListener(Listener):
    """Logs the end of every trial or epoch, and long work: what is used unless another listener is given.

    Shown by ``logging.basicConfig(level=logging.INFO)``.
    """

    def __init__(self) -> None:
        self._num_done, self._num = 0, 0

    def search_begins(self, search: "PreparedSearch", placement: "Placement", finished: int) -> None:
        """Say how many trials there are."""
        self._num_done, self._num = finished, search.profile.num_samples
        _LOG.info("%s: %d trials of at most %d epochs", search.spec.name, self._num, search.profile.epochs)

    def finished(self, record: TrialRecord) -> None:
        """Say how a trial ended."""
        self._num_done += 1
        score = "no score" if record.value is None else f"score {record.value:.4g}"
        _LOG.info(
            "trial %d (%d of %d): %s after %d epochs, %s",
            record.number,
            self._num_done,
            self._num,
            record.state,
            record.last_epoch,
            score,
        )

    def epoch(self, report: EpochReport) -> None:
        """Say that an epoch is done."""
        _LOG.info("epoch %d", report.epoch)

    def progress(self, what: str, done: int, total: int) -> None:
        """Say when long work begins and when it is done."""
        if done in (0, total):
            _LOG.info("%s: %d of %d", what, done, total)
