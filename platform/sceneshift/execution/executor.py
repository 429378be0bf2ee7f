"""The executor protocol: an executor takes jobs from a queue, trains them, and reports every epoch back.

The queue decides; an executor only runs. A contract suite (``tests/execution/test_contract.py``) checks that all of
them behave the same.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from sceneshift.selection.registry import find_strategy
from sceneshift.selection.strategy import SourceBlocks
from sceneshift.splits.source import SourceDomain
from sceneshift.training.loop import EpochReport
from sceneshift.training.spec import TrainSpec
from sceneshift.training.target_pixels import TargetPixels


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The resources that trainings use on a machine or cluster.

    Args:
        at_once: Number of concurrent trainings.
        workers: Workers that train one network together.
        cpus: CPUs per worker, also its torch threads; 0 keeps torch's default.
        gpus: GPUs per worker; a fraction shares one.
        scenes_by_path: Workers open stored scenes by path, which all nodes must see; otherwise they get them
            through Ray's object store.
    """

    at_once: int = 1
    workers: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    scenes_by_path: bool = True


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training to run.

    Args:
        number: Its number in the queue.
        spec: What is trained.
        checkpoint_location: Where its checkpoints are; a job that has some continues from the last.
        pairs: The sources it trains on, by the name of their pair; all of the queue's by default.
        strategy: Name of the strategy for model selection that says which epochs' weights are kept.

    Raises:
        InvalidInputError: No strategy has that name.
    """

    number: int
    spec: TrainSpec
    checkpoint_location: str
    pairs: tuple[str, ...] = ()
    strategy: str = SourceBlocks.name

    def __post_init__(self) -> None:
        find_strategy(self.strategy)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for another process."""
        return {**asdict(self), "spec": self.spec.as_dict(), "pairs": list(self.pairs)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Job":
        """Restore a job from :meth:`as_dict`."""
        return cls(**{**values, "spec": TrainSpec.from_dict(values["spec"]), "pairs": tuple(values["pairs"])})

    def of(self, sources: Sequence[SourceDomain]) -> list[SourceDomain]:
        """The sources it trains on."""
        return [source for source in sources if not self.pairs or source.pair_name in self.pairs]


class Verdict(StrEnum):
    """What happens to a job after an epoch."""

    CONTINUE = "continue"
    STOP = "stop"


class FailureKind(StrEnum):
    """Why a job failed."""

    #: A checkpoint could not be written: the job is not the cause, and every other one would fail too.
    STORAGE = "storage"
    MEMORY = "out of memory"
    #: Its process died more often than it is restarted.
    PROCESS = "process died"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed job.

    Args:
        kind: The kind of failure.
        message: The reason in one line.
    """

    kind: FailureKind
    message: str


class JobQueue(Protocol):
    """The source of an executor's jobs, which also decides about them."""

    def next(self) -> Job | None:
        """The next job; None if there is none left."""

    def started(self, number: int) -> None:
        """A job begins, or continues."""

    def epoch(self, number: int, report: EpochReport) -> Verdict:
        """A job has trained an epoch, or reports its last one again after an interruption."""

    def diverged(self, number: int, message: str) -> None:
        """A job's loss is no longer finite; it has ended."""

    def failed(self, number: int, failure: Failure) -> None:
        """A job has failed and ended."""

    def retry(self, number: int) -> bool:
        """Make :meth:`next` return a job again that never began; False if that was done often enough."""


class StopReason(StrEnum):
    """Why an executor ends before its queue does."""

    INTERRUPTED = "interrupted"
    STALLED = "stalled"
    STORAGE = "storage"


@dataclass
class StopRequest:
    """Ends a run on request. Of several requests, the first counts.

    Args:
        reason: Why; None while there was no request.
        message: A sentence with the reason, unless it was the user.
        is_heard: Whether a running executor checks it; otherwise Python handles an interrupt itself.
    """

    reason: StopReason | None = None
    message: str = ""
    is_heard: bool = False

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """A context in which an executor checks the request."""
        self.is_heard = True
        try:
            yield
        finally:
            self.is_heard = False

    def request(self, reason: StopReason, message: str = "") -> None:
        """End the run."""
        if self.reason is None:
            self.reason, self.message = reason, message


class Executor(Protocol):
    """Runs jobs."""

    name: ClassVar[str]

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
        """Run a queue's jobs until there are none left, time is up, or it is asked to stop.

        Jobs that are then still running are left open: they continue when the queue is run again.

        Args:
            queue: The jobs.
            sources: One per pair.
            stop: Checked at least after every epoch.
            targets: Unlabelled target pixels by pair, for jobs that are allowed them; without any, no worker is given
                anything of a target.
            time_budget_s: Seconds after which it ends; None for no limit.
            stall_timeout_s: Seconds without an epoch after which it ends by ``stop``; 0 for no limit.

        Raises:
            StorageError: Its own files can't be written.
            StudyError: What it runs on failed.
        """


@dataclass
class FixedJobs:
    """A queue of given jobs that are never stopped early: refits and single trainings.

    Args:
        jobs: What to run.
        on_epoch: Called with a job's number after each of its epochs.
        stop: Asked to end if a checkpoint can't be written.
        last_epoch: Ends every job after that epoch, if it is earlier than the job's own last.
    """

    jobs: Sequence[Job]
    stop: StopRequest
    on_epoch: Callable[[int, EpochReport], None] | None = None
    last_epoch: int | None = None
    divergences: dict[int, str] = field(default_factory=dict)
    failures: dict[int, Failure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._waiting = list(self.jobs)
        self._retried: dict[int, int] = {}

    def next(self) -> Job | None:
        """The next job; None if there is none left."""
        return self._waiting.pop(0) if self._waiting else None

    def started(self, number: int) -> None:
        """Nothing to do."""

    def epoch(self, number: int, report: EpochReport) -> Verdict:
        """Pass the epoch on; after its last epoch, a job has ended."""
        if self.on_epoch is not None:
            self.on_epoch(number, report)
        last = self._job(number).spec.epochs if self.last_epoch is None else self.last_epoch
        return Verdict.STOP if report.epoch >= last else Verdict.CONTINUE

    def diverged(self, number: int, message: str) -> None:
        """Record the reason."""
        self.divergences[number] = message

    def failed(self, number: int, failure: Failure) -> None:
        """Record the reason; if checkpoints can't be written, end the run."""
        self.failures[number] = failure
        if failure.kind is FailureKind.STORAGE:
            self.stop.request(StopReason.STORAGE, failure.message)

    def retry(self, number: int) -> bool:
        """Allow two retries per job."""
        self._retried[number] = self._retried.get(number, 0) + 1
        if self._retried[number] > MAX_RETRIES:
            return False
        self._waiting.append(self._job(number))
        return True

    def _job(self, number: int) -> Job:
        return next(job for job in self.jobs if job.number == number)


#: How often a job whose process died is restarted; it continues after its last epoch.
MAX_RETRIES = 2
