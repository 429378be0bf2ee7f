"""What is notified while a comparison runs."""

from collections.abc import Mapping, Sequence

from sceneshift.comparison.cells import Cell, CellOutcome
from sceneshift.comparison.pools import Cost
from sceneshift.comparison.preparing import PreparedComparison
from sceneshift.training.loop import EpochReport


class ComparisonListener:
    """Notified while a comparison runs; these methods do nothing."""

    def begins(self, prepared: PreparedComparison, cost: Cost) -> None:
        """All is checked and its cost is estimated; nothing has been trained in this run."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Something that takes long goes on: what and its unit, how much is done, and of how much."""

    def batch_begins(self, cells: Sequence[Cell], seconds: Mapping[str, float], *, at_once: int) -> None:
        """Trainings begin: all of them, and the seconds that each is expected to take, by key."""

    def epoch(self, cell: Cell, report: EpochReport) -> None:
        """A training has trained an epoch."""

    def ended(self, cell: Cell, outcome: CellOutcome | None, failure: str | None) -> None:
        """A training has ended, or has failed for a reason."""


class Listeners(ComparisonListener):
    """Passes everything on.

    Args:
        listeners: Whom to.
    """

    def __init__(self, *listeners: ComparisonListener) -> None:
        self._listeners = listeners

    def begins(self, prepared: PreparedComparison, cost: Cost) -> None:
        """Pass it on."""
        for each in self._listeners:
            each.begins(prepared, cost)

    def progress(self, what: str, done: int, total: int) -> None:
        """Pass it on."""
        for each in self._listeners:
            each.progress(what, done, total)

    def batch_begins(self, cells: Sequence[Cell], seconds: Mapping[str, float], *, at_once: int) -> None:
        """Pass it on."""
        for each in self._listeners:
            each.batch_begins(cells, seconds, at_once=at_once)

    def epoch(self, cell: Cell, report: EpochReport) -> None:
        """Pass it on."""
        for each in self._listeners:
            each.epoch(cell, report)

    def ended(self, cell: Cell, outcome: CellOutcome | None, failure: str | None) -> None:
        """Pass it on."""
        for each in self._listeners:
            each.ended(cell, outcome, failure)
