import optuna
import pytest

from sceneshift.errors import StudyError
from sceneshift.search.profile import Profile
from sceneshift.search.trial_record import Ended
from sceneshift.search.trial_store import TrialStore, read_store
from sceneshift.selection.strategy import SourceBlocks

PROFILE = Profile(
    name="p", description="", epochs=9, num_samples=4, grace_epochs=1, reduction_factor=3, startup_trials=2
)


def create(path, **changes):
    arguments = {
        "name": "study",
        "seed": 0,
        "profile": PROFILE,
        "strategy": SourceBlocks(),
        "settings": {"pairs": ["a", "b"], "seed": 0},
        "first_params": [{"x": 0.5}],
    }
    return TrialStore.create(path, **{**arguments, **changes})


def reopen(path, **changes):
    arguments = {
        "name": "study",
        "seed": 0,
        "profile": PROFILE,
        "strategy": SourceBlocks(),
        "settings": {"pairs": ["a", "b"], "seed": 0},
    }
    return TrialStore.reopen(path, **{**arguments, **changes})


@pytest.fixture
def store(tmp_path):
    return create(tmp_path / "deep" / "optuna.db")


def ask(store):
    return store.ask(lambda trial: {"x": trial.suggest_float("x", 0, 1)})


def metrics(value):
    return {"val/aa": value, "time/epoch_s": 2.0}


def run(store, values):
    record = ask(store)
    for epoch, value in enumerate(values, start=1):
        store.report(record.number, epoch, metrics(value), {"pair": f"w{epoch}"})
    return record.number


def test_the_first_trial_is_the_defaults(store):
    first, second = ask(store), ask(store)
    assert first.is_reference
    assert first.params == first.config == {"x": 0.5}
    assert not second.is_reference
    assert second.params["x"] != 0.5


def test_an_epoch_is_kept_with_metrics_and_weights(store):
    number = run(store, [0.1, 0.4])
    record = store.record(number)
    assert record.state == "running"
    assert not record.is_finished
    assert {e: m["val/aa"] for e, m in record.epochs.items()} == {1: 0.1, 2: 0.4}
    assert (record.value, record.last_epoch, record.weights, record.seconds) == (0.4, 2, {"pair": "w2"}, 4.0)


def test_an_epoch_reported_twice_is_as_first_reported(store):
    number = run(store, [0.1])
    store.report(number, 1, metrics(0.9), {"pair": "other"})
    assert store.record(number).value == 0.1
    assert store.record(number).weights == {"pair": "w1"}


def test_states_are_stored_as_such(store):
    done, stopped, broken = run(store, [0.3]), run(store, [0.2]), run(store, [])
    store.complete(done)
    store.prune(stopped, Ended.EARLY_STOP, "too low")
    store.fail(broken, Ended.DIVERGED, "loss is NaN")
    records = store.records()
    assert [r.state for r in records] == ["complete", "pruned", "fail"]
    assert [r.reason for r in records] == ["", "too low", "loss is NaN"]
    assert store.study.trials[done].value == 0.3
    assert store.study.trials[stopped].state == optuna.trial.TrialState.PRUNED


def test_a_trial_is_closed_once(store):
    number = run(store, [0.3])
    store.complete(number)
    store.prune(number, Ended.TIME_BUDGET, "late")
    assert store.record(number).state == "complete"


def test_asha_stops_the_worse_but_never_the_defaults(store):
    reference = run(store, [0.1])
    good = run(store, [0.9])
    bad = run(store, [0.2])
    assert not store.should_stop(good, 1)
    assert store.should_stop(bad, 1)
    assert not store.should_stop(reference, 1)


def test_a_trial_that_has_run_its_epochs_is_not_stopped(store):
    run(store, [0.9])
    good = run(store, [0.9] * 9)
    store.should_stop(good, 9)
    bad = run(store, [0.1] * 9)
    assert not store.should_stop(bad, 9)


def test_a_reopened_store_knows_everything_and_continues(tmp_path):
    path = tmp_path / "optuna.db"
    before = create(path)
    number = run(before, [0.1, 0.2])
    after = reopen(path)
    assert [r.state for r in after.records()] == ["running"]
    after.report(number, 3, metrics(0.3), {"pair": "w3"})
    after.complete(number)
    assert reopen(path).record(number).value == 0.3


def test_a_name_that_exists_is_refused(tmp_path):
    create(tmp_path / "optuna.db")
    with pytest.raises(StudyError, match=r"optuna.db.*--resume"):
        create(tmp_path / "optuna.db")


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(StudyError, match="--resume"):
        reopen(tmp_path / "optuna.db")


def test_resuming_with_other_settings_lists_what_differs(tmp_path):
    create(tmp_path / "optuna.db")
    with pytest.raises(StudyError) as error:
        reopen(tmp_path / "optuna.db", settings={"pairs": ["a"], "seed": 0, "epochs": 3})
    message = str(error.value)
    assert "pairs: was ['a', 'b'], is ['a']" in message
    assert "epochs: was None, is 3" in message
    assert "seed:" not in message


def test_openings_of_the_target_are_counted_across_reopening(tmp_path):
    assert create(tmp_path / "optuna.db").count_opening() == 1
    assert reopen(tmp_path / "optuna.db").count_opening() == 2


def test_a_study_is_closed_until_a_trial_is_added(tmp_path):
    first = create(tmp_path / "optuna.db")
    first.complete(run(first, [0.3]))
    assert not first.is_closed
    first.mark_closed()
    again = reopen(tmp_path / "optuna.db")
    assert again.is_closed
    ask(again)
    assert not again.is_closed


def test_a_configuration_that_was_cut_is_drawn_again_as_it_was(tmp_path):
    def two(trial):
        return {"x": trial.suggest_float("x", 0, 1), "y": trial.suggest_float("y", 0, 1)}

    def cut(trial):
        trial.suggest_float("x", 0, 1)
        raise KeyboardInterrupt

    whole = create(tmp_path / "whole.db")
    whole.ask(two)
    wanted = whole.ask(two)
    store = create(tmp_path / "optuna.db")
    store.ask(two)
    with pytest.raises(KeyboardInterrupt):
        store.ask(cut)
    again = reopen(tmp_path / "optuna.db")
    (left,) = [record for record in again.records() if not record.config]
    assert again.draw(left.number, two).config == wanted.config


def test_weights_follow_an_epoch_that_is_reported_again_because_it_was_cut(store, monkeypatch):
    number = run(store, [0.1])
    trial = store._trial(number)
    real = type(trial).set_user_attr

    def cut(self, key, value):
        if key == "epoch:2":
            raise KeyboardInterrupt
        real(self, key, value)

    monkeypatch.setattr(type(trial), "set_user_attr", cut)
    with pytest.raises(KeyboardInterrupt):
        store.report(number, 2, metrics(0.2), {"pair": "w2"})
    monkeypatch.undo()
    assert store.record(number).last_epoch == 1
    store.report(number, 2, metrics(0.2), {"pair": "w2"})
    assert (store.record(number).last_epoch, store.record(number).weights) == (2, {"pair": "w2"})


def test_a_damaged_store_is_reported(tmp_path):
    (tmp_path / "optuna.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StudyError, match="'study'"):
        reopen(tmp_path / "optuna.db")


def test_a_store_is_read_without_being_written(store, tmp_path):
    run(store, [0.1, 0.4])
    store.complete(0)
    ask(store)
    store.study.enqueue_trial({"x": 0.2})
    store.count_opening()
    path = tmp_path / "deep" / "optuna.db"
    before = path.read_bytes()
    reading = read_store(path)
    assert [(r.number, r.state) for r in reading.records] == [(0, "complete"), (1, "running")]
    assert reading.records[0] == store.record(0)
    assert (reading.openings, reading.settings["pairs"], reading.study.study_name) == (1, ["a", "b"], "study")
    # What is done to the copy in memory doesn't reach the file.
    reading.study.set_user_attr("times the target was opened", 9)
    assert path.read_bytes() == before
    with pytest.raises(StudyError, match="trial store"):
        read_store(tmp_path / "optuna.db")


def test_a_store_at_an_odd_place_is_read(tmp_path):
    odd = tmp_path / "100% of #c"
    run(create(odd / "optuna.db"), [0.3])
    assert [record.value for record in read_store(odd / "optuna.db").records] == [0.3]


def test_changed_code_or_data_is_kept_with_the_trials_that_came_before(tmp_path):
    first = create(tmp_path / "optuna.db", origin={"code": "a", "source data": "x"})
    assert first.changes == []
    run(first, [0.3])
    again = reopen(tmp_path / "optuna.db", origin={"code": "b", "source data": "x"})
    values = {"after_trials": 1, "differences": ["code: was 'a', is 'b'"]}
    assert again.changes == [values]
    # Resumed once more with what it was last run with, nothing is added.
    assert reopen(tmp_path / "optuna.db", origin={"code": "b", "source data": "x"}).changes == [values]
    third = reopen(tmp_path / "optuna.db", origin={"code": "b", "source data": "y"})
    assert third.changes == [values, {"after_trials": 1, "differences": ["source data: was 'x', is 'y'"]}]


def test_refused_settings_record_no_change(tmp_path):
    create(tmp_path / "optuna.db", origin={"code": "a"})
    with pytest.raises(StudyError, match="seed: was 0, is 1"):
        reopen(tmp_path / "optuna.db", settings={"pairs": ["a", "b"], "seed": 1}, origin={"code": "b"})
    assert reopen(tmp_path / "optuna.db", origin={"code": "a"}).changes == []


def test_a_store_knows_its_mlflow(tmp_path):
    store = create(tmp_path / "optuna.db")
    assert store.tracking is None
    store.note_tracking("sqlite:///a.db")
    assert reopen(tmp_path / "optuna.db").tracking == "sqlite:///a.db"
