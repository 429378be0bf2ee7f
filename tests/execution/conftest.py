import pytest

from sceneshift.execution.executor import Job, Verdict
from sceneshift.methods.registry import find_method
from sceneshift.training.data import DataSpec
from sceneshift.training.spec import TrainSpec


class RecordingQueue:
    """A queue that keeps what it receives, in order, and stops each job after its given epoch."""

    def __init__(self, jobs, *, last=None):
        self.waiting = list(jobs)
        self.last = last or {}
        self.received = []
        self.retried = []

    def next(self):
        return self.waiting.pop(0) if self.waiting else None

    def started(self, number):
        self.received.append(("started", number))

    def epoch(self, number, report):
        self.received.append(("epoch", number, report))
        return Verdict.STOP if report.epoch >= self.last.get(number, 2) else Verdict.CONTINUE

    def diverged(self, number, message):
        self.received.append(("diverged", number, message))

    def failed(self, number, failure):
        self.received.append(("failed", number, failure))

    def retry(self, number):
        self.retried.append(number)
        return False

    def of(self, what, number):
        return [entry[2] for entry in self.received if entry[:2] == (what, number)]


@pytest.fixture
def make_job(tmp_path):
    """Build a job of cross-entropy on the tiny source: 2 epochs of two batches."""

    def make(number, *, location=None, epochs=2, **config):
        values = {"patch_size": 5, "width": 8, "batch_size": 45, **config}
        spec = TrainSpec(
            method="cross_entropy",
            config=find_method("cross_entropy").config_type.from_mapping(values),
            epochs=epochs,
            seed=number,
            data=DataSpec(pairs=("tiny-pair",)),
        )
        where = location or tmp_path / "checkpoints" / f"{number}"
        return Job(number=number, spec=spec, checkpoint_location=str(where))

    return make


@pytest.fixture
def recording_queue():
    return RecordingQueue
