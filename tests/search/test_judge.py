"""The rule of a search, without any executor: what is recorded, completed, pruned, failed, retried."""

from types import SimpleNamespace

import pytest

from sceneshift.execution.executor import MAX_RETRIES, Failure, FailureKind, StopReason, StopRequest, Verdict
from sceneshift.search.judge import Judge
from sceneshift.search.profile import Profile
from sceneshift.search.trial_record import Ended
from sceneshift.search.trial_store import TrialStore
from sceneshift.selection.strategy import SourceBlocks
from sceneshift.training.loop import EpochReport

PROFILE = Profile(name="p", description="", epochs=3, num_samples=3, reduction_factor=2)


class Heard:
    def __init__(self):
        self.changes, self.ends = [], []

    def changed(self, record):
        self.changes.append((record.number, record.last_epoch, record.state))

    def finished(self, record):
        self.ends.append((record.number, record.state))


@pytest.fixture
def store(tmp_path):
    return TrialStore.create(
        tmp_path / "optuna.db",
        name="s",
        seed=0,
        profile=PROFILE,
        strategy=SourceBlocks(),
        settings={},
        first_params=[{"x": 0.5}],
    )


def draw(trial):
    return {"x": trial.suggest_float("x", 0, 1)}


def job(record):
    return SimpleNamespace(number=record.number, config=record.config)


def judge_of(store, *, num_samples=3, stop=None, listeners=()):
    return Judge(
        store,
        num_samples=num_samples,
        epochs=PROFILE.epochs,
        make_config=draw,
        job=job,
        stop=stop or StopRequest(),
        listeners=listeners,
    )


def report(epoch, value=0.4):
    return EpochReport(epoch=epoch, metrics={"val/aa": value, "train/a/ce": 1.0}, weights={"a": "beef"})


def test_trials_are_drawn_until_there_are_enough(store):
    judge = judge_of(store, num_samples=2)
    first, second = judge.next(), judge.next()
    assert (first.number, second.number) == (0, 1)
    assert first.config == {"x": 0.5}
    assert judge.next() is None
    assert not judge_of(store, num_samples=3).is_done


def test_a_trial_that_was_cut_comes_before_a_new_one_with_its_configuration(store):
    cut = judge_of(store).next()
    again = judge_of(store, num_samples=1)
    assert not again.is_done
    assert again.next() == cut
    assert again.next() is None
    assert len(store.records()) == 1


def test_a_trial_killed_while_it_was_drawn_is_drawn_the_same(store, tmp_path):
    first = judge_of(store).next()
    store.study.ask()  # begun, and killed before its configuration was kept
    drawn = store.record(1)
    assert drawn.config == {}
    judge = judge_of(store)
    assert judge.next() == first
    assert judge.next().config == store.record(1).config != {}


def test_epochs_are_recorded_and_the_last_completes(store):
    judge = judge_of(store)
    judge.next()
    verdicts = [judge.epoch(0, report(epoch)) for epoch in (1, 2, 3)]
    assert verdicts == [Verdict.CONTINUE, Verdict.CONTINUE, Verdict.STOP]
    record = store.record(0)
    assert (record.state, record.ended, record.value) == ("complete", Ended.ALL_EPOCHS, 0.4)
    assert set(record.epochs[1]) == {"val/aa", "train/a/ce", "time/recorded_unix_s"}
    assert record.weights == {"a": "beef"}


def test_an_epoch_reported_twice_counts_once(store):
    judge = judge_of(store)
    judge.next()
    judge.epoch(0, report(1, 0.4))
    judge.epoch(0, report(1, 0.9))
    assert store.record(0).value == 0.4


def test_asha_prunes_but_never_the_reference(store):
    judge = judge_of(store)
    for _ in range(3):
        judge.next()
    verdicts = [judge.epoch(number, report(1, value)) for number, value in enumerate((0.5, 0.9, 0.1))]
    assert verdicts == [Verdict.CONTINUE, Verdict.CONTINUE, Verdict.STOP]
    assert (store.record(2).state, store.record(2).ended) == ("pruned", Ended.EARLY_STOP)
    assert store.record(0).state == "running"


def test_a_diverged_trial_fails_with_the_reason(store):
    judge = judge_of(store)
    judge.next()
    judge.diverged(0, "training diverged in epoch 1: ce not finite")
    record = store.record(0)
    assert (record.state, record.ended, record.reason) == (
        "fail",
        Ended.DIVERGED,
        "training diverged in epoch 1: ce not finite",
    )


@pytest.mark.parametrize(
    ("kind", "ended"),
    [
        (FailureKind.ERROR, Ended.ERROR),
        (FailureKind.MEMORY, Ended.OUT_OF_MEMORY),
        (FailureKind.PROCESS, Ended.PROCESS_DIED),
    ],
)
def test_a_broken_trial_fails(store, kind, ended):
    stop = StopRequest()
    judge = judge_of(store, stop=stop)
    judge.next()
    judge.failed(0, Failure(kind=kind, message="why"))
    record = store.record(0)
    assert (record.state, record.ended, record.reason) == ("fail", ended, "why")
    assert stop.reason is None


def test_a_trial_that_could_not_write_stays_open_and_ends_the_search(store):
    stop = StopRequest()
    judge = judge_of(store, stop=stop)
    judge.next()
    judge.failed(0, Failure(kind=FailureKind.STORAGE, message="disk full"))
    assert store.record(0).state == "running"
    assert (stop.reason, stop.message) == (StopReason.STORAGE, "disk full")


def test_a_trial_that_never_began_is_returned_again_but_not_for_ever(store):
    judge = judge_of(store, num_samples=1)
    first = judge.next()
    for _ in range(MAX_RETRIES):
        assert judge.retry(0)
        assert judge.next() == first
    assert not judge.retry(0)
    assert judge.next() is None


def test_time_that_is_up_prunes_what_runs(store):
    judge = judge_of(store)
    judge.next()
    judge.next()
    for epoch in (1, 2, 3):
        judge.epoch(0, report(epoch))
    judge.out_of_time(60)
    assert [(record.state, record.ended) for record in store.records()] == [
        ("complete", Ended.ALL_EPOCHS),
        ("pruned", Ended.TIME_BUDGET),
    ]


def test_listeners_hear_of_every_change_and_of_every_end_once(store):
    heard = Heard()
    judge = judge_of(store, listeners=(heard,))
    judge.next()
    judge.started(0)
    for epoch in (1, 2, 3):
        judge.epoch(0, report(epoch))
    judge.epoch(0, report(3))  # reported again after an interruption
    assert heard.changes[:4] == [(0, 0, "running"), (0, 1, "running"), (0, 2, "running"), (0, 3, "complete")]
    assert heard.ends == [(0, "complete")]
