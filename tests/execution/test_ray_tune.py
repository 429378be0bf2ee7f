"""Ray Tune's two extension points, which only pass on; and real accidents: a process that dies, and memory."""

import pickle
from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from sceneshift.execution import ray_tune
from sceneshift.execution.cluster import ray_cluster
from sceneshift.execution.executor import FailureKind, Placement, StopReason, StopRequest, Verdict
from sceneshift.execution.ray_tune import RayExecutor, _Decide, _Stop, _Suggest


class Queue:
    def __init__(self, job=None, *, verdict=Verdict.CONTINUE, retries=False):
        self.job, self.verdict, self.retries, self.received = job, verdict, retries, []

    def next(self):
        job, self.job = self.job, None
        return job

    def epoch(self, number, report):
        self.received.append((number, report.epoch, report.metrics, report.weights))
        return self.verdict

    def diverged(self, number, message):
        self.received.append((number, "diverged", message))

    def failed(self, number, failure):
        self.received.append((number, failure.kind, failure.message))

    def retry(self, number):
        self.received.append((number, "retry"))
        return self.retries


def trial(tmp_path=None, error=None, status="RUNNING", location="/nowhere"):
    file = None
    if error is not None:
        (tmp_path / "error.txt").write_text(error)
        file = str(tmp_path / "error.txt")
    return SimpleNamespace(
        config={"number": 3, "job": {"checkpoint_location": location}}, error_file=file, status=status
    )


def decide(queue):
    return _Decide(queue, StopRequest())


def test_the_queue_s_jobs_are_suggested_until_there_are_none(make_job):
    suggest = _Suggest(Queue(make_job(5)), Placement(cpus=2))
    config = suggest.suggest("t1")
    assert (config["number"], config["placement"]["cpus"]) == (5, 2)
    assert suggest.suggest("t2") == Searcher.FINISHED


@pytest.mark.parametrize(
    ("verdict", "expected"), [(Verdict.CONTINUE, TrialScheduler.CONTINUE), (Verdict.STOP, TrialScheduler.STOP)]
)
def test_epochs_are_passed_on_without_what_tune_adds(verdict, expected):
    queue = Queue(verdict=verdict)
    row = {"epoch": 1, "val/aa": 0.4, "train/a/ce": 1.0, "weights/a": "beef", "pid": 7, "done": False}
    assert decide(queue).on_trial_result(None, trial(), row) == expected
    assert queue.received == [(3, 1, {"val/aa": 0.4, "train/a/ce": 1.0}, {"a": "beef"})]


def test_divergence_and_errors_of_a_row_end_the_trial():
    queue = Queue()
    assert decide(queue).on_trial_result(None, trial(), {"epoch": 1, "diverged": "nan"}) == TrialScheduler.STOP
    assert decide(queue).on_trial_result(None, trial(), {"epoch": 0, "error": "bad"}) == TrialScheduler.STOP
    assert queue.received == [(3, "diverged", "nan"), (3, FailureKind.ERROR, "bad")]


STORAGE = "the checkpoint /d/epoch_00002.ckpt can't be written ([Errno 28] No space left on device)"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        ("Traceback\n  somewhere\nValueError: odd\n\n", FailureKind.ERROR, "ValueError: odd"),
        (f"Traceback\nsceneshift.errors.StorageError: {STORAGE}\n", FailureKind.STORAGE, STORAGE),
        ("ray.exceptions.ActorDiedError: gone\nThe actor died.\n", FailureKind.PROCESS, "The actor died."),
    ],
)
def test_what_broke_a_trial_is_read_from_its_error_file(tmp_path, error, kind, message):
    queue = Queue()
    decide(queue).on_trial_error(None, trial(tmp_path, error))
    assert queue.received == [(3, kind, message)]


def test_memory_that_ran_short_is_known_by_ray_s_error(tmp_path):
    queue = Queue()
    error = "Traceback\nray.exceptions.OutOfMemoryError: 1 worker(s) were killed\nRefer to the documentation.\n"
    decide(queue).on_trial_error(None, trial(tmp_path, error))
    assert queue.received[0][1] is FailureKind.MEMORY


def test_on_a_full_disk_an_error_that_could_not_be_written_is_a_fault_of_storage(tmp_path):
    (tmp_path / "file").touch()
    queue = Queue()
    decide(queue).on_trial_error(None, trial(tmp_path, "", location=str(tmp_path / "file" / "no place")))
    decide(queue).on_trial_error(None, trial(tmp_path, "", location=str(tmp_path / "room")))
    assert [entry[1] for entry in queue.received] == [FailureKind.STORAGE, FailureKind.PROCESS]


def test_a_trial_that_tune_starts_again_stays_open(tmp_path):
    queue = Queue()
    decide(queue).on_trial_error(None, trial(status="ERROR"))
    assert queue.received == []


def test_a_trial_whose_process_died_before_it_began_is_for_the_queue_to_retry():
    queue = Queue(retries=True)
    decide(queue).on_trial_error(None, trial(status="PENDING"))
    assert queue.received == [(3, "retry")]
    queue = Queue(retries=False)
    decide(queue).on_trial_error(None, trial(status="PENDING"))
    assert queue.received == [(3, "retry"), (3, FailureKind.PROCESS, "its process failed")]


def test_tune_s_copies_hold_nothing():
    stop = StopRequest()
    stopper = _Stop(stop)
    assert not stopper.stop_all()
    stop.request(StopReason.INTERRUPTED)
    assert stopper.stop_all()
    assert not stopper("trial", {})
    assert pickle.loads(pickle.dumps(stopper)).__dict__ == {}


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster(num_cpus=2):
        yield


def accident_prone():
    """A trainable whose job 1 loses its worker once, in epoch 2."""

    # Within a function, so that it travels to the workers by value.
    def run_in_actor(config, sources, targets):
        import os
        from pathlib import Path

        from sceneshift.execution import ray_trial
        from sceneshift.methods.cross_entropy import CrossEntropy

        folder, real = Path(config["job"]["checkpoint_location"]), CrossEntropy.training_step
        died = folder.parent / "died"

        def training_step(self, patches, labels):
            if (folder / "epoch_00001.ckpt").exists() and config["number"] == 1 and not died.exists():
                died.touch()
                os._exit(1)
            return real(self, patches, labels)

        CrossEntropy.training_step = training_step
        try:
            ray_trial.run_in_actor(config, sources, targets)
        finally:
            CrossEntropy.training_step = real

    return run_in_actor


@pytest.mark.slow
def test_a_job_whose_worker_dies_continues_after_its_last_epoch(
    cluster, make_job, recording_queue, tiny_source, tmp_path, monkeypatch
):
    monkeypatch.setattr(ray_tune, "run_in_actor", accident_prone())
    queue = recording_queue([make_job(0), make_job(1), make_job(2)])
    RayExecutor(Placement(), tmp_path).run(queue, [tiny_source], stop=StopRequest())
    assert (tmp_path / "checkpoints" / "died").exists()
    assert [sorted({report.epoch for report in queue.of("epoch", number)}) for number in (0, 1, 2)] == [[1, 2]] * 3
    assert not [entry for entry in queue.received if entry[0] == "failed"]


@pytest.mark.slow
@pytest.mark.long
def test_after_a_job_that_was_stopped_in_ray_train_the_next_runs_whole(
    cluster, make_job, recording_queue, tiny_source, tmp_path
):
    queue = recording_queue([make_job(0), make_job(1)], last={0: 1})
    # Both CPUs are taken by the two workers of a job: the next needs all that the last has given back.
    RayExecutor(Placement(workers=2), tmp_path, in_ray_train=True).run(queue, [tiny_source], stop=StopRequest())
    assert [[report.epoch for report in queue.of("epoch", number)] for number in (0, 1)] == [[1], [1, 2]]
