import contextlib
from dataclasses import replace

import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.execution.executor import (
    MAX_RETRIES,
    Failure,
    FailureKind,
    FixedJobs,
    Job,
    Placement,
    StopReason,
    StopRequest,
    Verdict,
)
from sceneshift.execution.local import LocalExecutor
from sceneshift.selection.registry import STRATEGIES
from sceneshift.selection.strategy import SourceBlocks
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.loop import EpochReport


def report(epoch):
    return EpochReport(epoch=epoch, metrics={}, weights={})


def test_a_job_comes_back_from_plain_values(make_job):
    import json

    job = make_job(3)
    assert Job.from_dict(json.loads(json.dumps(job.as_dict()))) == job


def test_a_job_names_a_strategy_that_there_is(make_job):
    job = make_job(0)
    assert job.strategy == "source-blocks"
    with pytest.raises(InvalidInputError, match="'best'"):
        replace(job, strategy="best")


def test_the_weights_that_a_strategy_may_still_choose_are_kept(make_job, tiny_source, monkeypatch):
    class Early(SourceBlocks):
        name = "early"

        def keep(self, history):
            assert all("val/aa" in metrics for metrics in history.values())
            assert list(history) == list(range(1, len(history) + 1))
            return [2]

    monkeypatch.setitem(STRATEGIES, "early", Early())
    job = replace(make_job(0, epochs=6), strategy="early")
    for last in (4, 6):  # ended by its queue, and continued
        queue = FixedJobs([job], StopRequest(), last_epoch=last)
        LocalExecutor(Placement()).run(queue, [tiny_source], stop=queue.stop)
        assert not queue.failures
    folder = CheckpointFolder(job.checkpoint_location)
    assert [epoch for epoch in range(1, 7) if folder.load(epoch) is not None] == [2, 5, 6]


def test_a_job_trains_on_its_own_sources_or_on_all(make_job, make_source):
    sources = [make_source("a"), make_source("b")]
    job = make_job(0)
    assert job.of(sources) == sources
    only = Job(number=0, spec=job.spec, checkpoint_location="x", pairs=("b",))
    assert [source.pair_name for source in only.of(sources)] == ["b"]


def test_of_several_requests_to_stop_the_first_counts():
    stop = StopRequest()
    stop.request(StopReason.STORAGE, "disk full")
    stop.request(StopReason.INTERRUPTED)
    assert (stop.reason, stop.message) == (StopReason.STORAGE, "disk full")


def test_a_request_is_heard_only_while_an_executor_runs():
    stop = StopRequest()
    with stop.heard():
        assert stop.is_heard
    assert not stop.is_heard
    with contextlib.suppress(KeyError), stop.heard():
        raise KeyError
    assert not stop.is_heard


def test_fixed_jobs_run_to_their_last_epoch_or_an_earlier_one(make_job):
    heard = []
    jobs = FixedJobs([make_job(0)], StopRequest(), on_epoch=lambda number, found: heard.append((number, found.epoch)))
    assert jobs.next().number == 0
    assert jobs.next() is None
    assert [jobs.epoch(0, report(n)) for n in (1, 2)] == [Verdict.CONTINUE, Verdict.STOP]
    assert heard == [(0, 1), (0, 2)]
    assert FixedJobs([make_job(0)], StopRequest(), last_epoch=1).epoch(0, report(1)) is Verdict.STOP


def test_fixed_jobs_keep_why_one_ended_and_stop_where_nothing_can_be_written(make_job):
    stop = StopRequest()
    jobs = FixedJobs([make_job(0), make_job(1), make_job(2)], stop)
    jobs.diverged(0, "loss not finite")
    jobs.failed(1, Failure(kind=FailureKind.ERROR, message="broken"))
    assert stop.reason is None
    jobs.failed(2, Failure(kind=FailureKind.STORAGE, message="disk full"))
    assert jobs.divergences == {0: "loss not finite"}
    assert jobs.failures[1].message == "broken"
    assert (stop.reason, stop.message) == (StopReason.STORAGE, "disk full")


def test_a_job_that_never_began_is_returned_again_some_times(make_job):
    jobs = FixedJobs([make_job(0)], StopRequest())
    jobs.next()
    for _ in range(MAX_RETRIES):
        assert jobs.retry(0)
        assert jobs.next().number == 0
    assert not jobs.retry(0)
    assert jobs.next() is None
