"""Running the trainings of a comparison on an executor: each is kept as soon as it ends, and none stops the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sceneshift.comparison.cells import Cell, CellOutcome, CellStore
from sceneshift.errors import StorageError, StudyError
from sceneshift.execution.executor import Executor, Failure, FixedJobs, Job, StopReason, StopRequest
from sceneshift.splits.source import SourceDomain
from sceneshift.training.loop import EpochReport
from sceneshift.training.target_pixels import TargetPixels

#: Called with a training that has ended, how it ended, and why it failed if it did; one of the two is None.
OnEnded = Callable[[Cell, CellOutcome | None, str | None], None]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Trainings that are run together.

    Args:
        cells: The trainings, each key once.
        sources: The sources of all pairs, divided as these trainings need it.
        targets: The unlabelled target of each pair.
    """

    cells: Sequence[Cell]
    sources: Sequence[SourceDomain]
    targets: Sequence[TargetPixels]


class CellQueue(FixedJobs):
    """A queue of trainings that keeps what each has left when it ends.

    Args:
        cells: The trainings.
        store: Where they leave their files.
        stop: Asked to end if a file can't be written.
        code: Versions, commit and hash of the package's code.
        on_ended: Called with every training that has ended.
        on_epoch: Called with a training after each of its epochs.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        store: CellStore,
        stop: StopRequest,
        *,
        code: Mapping[str, str],
        on_ended: OnEnded,
        on_epoch: Callable[[Cell, EpochReport], None],
    ) -> None:
        self._cells, self._store, self._code = list(cells), store, code
        self._on_ended, self._on_report = on_ended, on_epoch
        jobs = [
            Job(number=number, spec=cell.spec, pairs=(cell.pair,), checkpoint_location=store.location(cell.key))
            for number, cell in enumerate(self._cells)
        ]
        super().__init__(jobs, stop, on_epoch=self._hear)

    def _hear(self, number: int, report: EpochReport) -> None:
        cell = self._cells[number]
        self._on_report(cell, report)
        if report.epoch >= cell.spec.epochs:
            # The worker waits for the answer to its last epoch: nobody else writes here.
            outcome = self._store.finish(cell, diverged=None, code=self._code)
            self._on_ended(cell, outcome, None)

    def diverged(self, number: int, message: str) -> None:
        """Keep the training as one that diverged: it would again."""
        super().diverged(number, message)
        cell = self._cells[number]
        self._on_ended(cell, self._store.finish(cell, diverged=message, code=self._code), None)

    def failed(self, number: int, failure: Failure) -> None:
        """Note the reason; the next run of the comparison tries it again."""
        super().failed(number, failure)
        self._on_ended(self._cells[number], None, failure.message)


def run_batch(
    batch: Batch,
    executor: Executor,
    store: CellStore,
    *,
    stop: StopRequest,
    code: Mapping[str, str],
    on_ended: OnEnded,
    on_epoch: Callable[[Cell, EpochReport], None],
    stall_timeout_s: float,
) -> dict[str, str]:
    """Run trainings until all have ended, or the user stops them.

    Args:
        batch: The trainings.
        executor: What runs them.
        store: Where they leave their files.
        stop: Ends the run when asked to.
        code: Versions, commit and hash of the package's code.
        on_ended: Called with every training that has ended.
        on_epoch: Called with a training after each of its epochs.
        stall_timeout_s: Seconds without an epoch after which the run ends; 0 for no limit.

    Returns:
        Why trainings failed, by key; those that diverged are not among them.

    Raises:
        StorageError: Files can't be written.
        StudyError: The executor failed, or no training made progress.
    """
    if not batch.cells:
        return {}
    queue = CellQueue(batch.cells, store, stop, code=code, on_ended=on_ended, on_epoch=on_epoch)
    executor.run(queue, batch.sources, stop=stop, targets=batch.targets, stall_timeout_s=stall_timeout_s)
    if stop.reason is StopReason.STORAGE:
        raise StorageError(stop.message)
    if stop.reason is StopReason.STALLED:
        raise StudyError(f"no training made progress: {stop.message}. Start the command again to continue.")
    return {batch.cells[number].key: failure.message for number, failure in queue.failures.items()}
