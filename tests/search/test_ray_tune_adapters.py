from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from sceneshift.search.progress import StoreCallback, progress_line, short_params
from sceneshift.search.stopping import SearchStop

from sceneshift.execution.ray_trial import TrialOrder
from sceneshift.execution.ray_tune import StoreScheduler, StoreSearcher
from sceneshift.search.profile import Profile
from sceneshift.search.trial_store import TrialStore

PROFILE = Profile(name="p", description="", epochs=3, num_samples=3, reduction_factor=2)


@pytest.fixture
def store(tmp_path):
    return TrialStore.create(
        tmp_path / "optuna.db", name="s", seed=0, profile=PROFILE, settings={}, first_params=[{"x": 0.5}]
    )


def draw(trial):
    return {"x": trial.suggest_float("x", 0, 1)}


def ask(store):
    return store.ask(draw)


def order(record):
    return TrialOrder(
        number=record.number,
        method="s2amsnet",
        config=dict(record.config),
        epochs=3,
        seed=7,
        checkpoint_location="/nowhere",
        in_ray_train=False,
        cpus=1,
        gpus=0,
        workers=1,
        precision="float32",
        compile=False,
    )


def searcher(store, *, unfinished=(), num_samples=3):
    return StoreSearcher(store, unfinished=list(unfinished), num_samples=num_samples, make_config=draw, order=order)


def scheduler_of(store, *, epochs, stop, take_back=lambda number: False):
    return StoreScheduler(store, epochs=epochs, stop=stop, take_back=take_back)


def trial_of(record):
    return SimpleNamespace(config=order(record).as_config(), error_file=None, status="RUNNING")


def row(epoch, value):
    return {"epoch": epoch, "val/aa": value, "train/a/ce": 1.0, "weights/a": "beef", "pid": 7, "done": False}


def test_trials_are_asked_for_until_there_are_enough(store):
    searching = searcher(store, num_samples=2)
    first, second = searching.suggest("t1"), searching.suggest("t2")
    assert (first["number"], second["number"]) == (0, 1)
    assert first["config"] == {"x": 0.5}
    assert searching.suggest("t3") == Searcher.FINISHED


def test_unfinished_trials_go_on_before_new_ones(store):
    cut = ask(store)
    suggested = [searcher(store, unfinished=[cut], num_samples=2).suggest("t1")]
    assert suggested[0]["number"] == cut.number
    assert len(store.records()) == 1


def test_an_epoch_is_recorded_without_what_tune_adds(store):
    record = ask(store)
    scheduler = scheduler_of(store, epochs=3, stop=SearchStop())
    assert scheduler.on_trial_result(None, trial_of(record), row(1, 0.4)) == TrialScheduler.CONTINUE
    kept = store.record(record.number)
    assert set(kept.epochs[1]) == {"val/aa", "train/a/ce", "time/recorded_unix_s"}
    assert kept.weights == {"a": "beef"}


def test_the_last_epoch_completes_the_trial(store):
    record = ask(store)
    scheduler = scheduler_of(store, epochs=3, stop=SearchStop())
    decisions = [scheduler.on_trial_result(None, trial_of(record), row(e, 0.4)) for e in (1, 2, 3)]
    assert decisions == [TrialScheduler.CONTINUE, TrialScheduler.CONTINUE, TrialScheduler.STOP]
    assert store.record(record.number).state == "complete"


def test_asha_stops_and_stores_pruned(store):
    scheduler = scheduler_of(store, epochs=3, stop=SearchStop())
    records = [ask(store) for _ in range(3)]
    decisions = [
        scheduler.on_trial_result(None, trial_of(r), row(1, v)) for r, v in zip(records, (0.5, 0.9, 0.1), strict=True)
    ]
    assert decisions == [TrialScheduler.CONTINUE, TrialScheduler.CONTINUE, TrialScheduler.STOP]
    assert store.record(2).state == "pruned"
    assert store.record(2).reason == "stopped by ASHA after epoch 1"


def test_a_diverged_trial_fails(store):
    record = ask(store)
    told = {"epoch": 1, "diverged": "training diverged in epoch 1: ce not finite"}
    assert (
        scheduler_of(store, epochs=3, stop=SearchStop()).on_trial_result(None, trial_of(record), told)
        == TrialScheduler.STOP
    )
    kept = store.record(record.number)
    assert (kept.state, kept.reason) == ("fail", told["diverged"])


def test_a_broken_trial_fails_with_the_last_line_of_its_error(store, tmp_path):
    record = ask(store)
    (tmp_path / "error.txt").write_text("Traceback\n  somewhere\nMemoryError: 3 GiB\n\n")
    trial = trial_of(record)
    trial.error_file = str(tmp_path / "error.txt")
    scheduler_of(store, epochs=3, stop=SearchStop()).on_trial_error(None, trial)
    kept = store.record(record.number)
    assert (kept.state, kept.reason) == ("fail", "MemoryError: 3 GiB")


def test_a_trial_that_memory_was_too_short_for_says_so(store, tmp_path):
    record = ask(store)
    told = "Traceback\nray.exceptions.OutOfMemoryError: 1 worker(s) were killed\nRefer to the documentation.\n"
    (tmp_path / "error.txt").write_text(told)
    trial = trial_of(record)
    trial.error_file = str(tmp_path / "error.txt")
    scheduler_of(store, epochs=3, stop=SearchStop()).on_trial_error(None, trial)
    assert "ran short of memory" in store.record(record.number).reason


def test_a_trial_that_could_not_write_its_checkpoint_stays_open_and_ends_the_search(store, tmp_path):
    record, stop = ask(store), SearchStop()
    told = "the checkpoint /d/epoch_00002.ckpt can't be written ([Errno 28] No space left on device)"
    (tmp_path / "error.txt").write_text(f"Traceback\nsceneshift.errors.StorageError: {told}\n")
    trial = trial_of(record)
    trial.error_file = str(tmp_path / "error.txt")
    scheduler_of(store, epochs=3, stop=stop).on_trial_error(None, trial)
    assert store.record(record.number).state == "running"
    assert (stop.stop_all(), stop.reason) == (True, told)


def test_on_a_full_disk_an_error_that_could_not_be_written_ends_the_search_too(store, tmp_path):
    record, stop = ask(store), SearchStop()
    (tmp_path / "error.txt").touch()
    (tmp_path / "file").touch()
    trial = trial_of(record)
    trial.error_file = str(tmp_path / "error.txt")
    trial.config["checkpoint_location"] = str(tmp_path / "file" / "no place")
    scheduler_of(store, epochs=3, stop=stop).on_trial_error(None, trial)
    assert store.record(record.number).state == "running"
    assert "no place can't be written" in stop.reason
    trial.config["checkpoint_location"] = str(tmp_path / "room")
    scheduler_of(store, epochs=3, stop=SearchStop()).on_trial_error(None, trial)
    assert store.record(record.number).reason == "its process failed"


def test_a_trial_that_is_put_on_another_worker_stays_open(store):
    record = ask(store)
    trial = trial_of(record)
    trial.status = "ERROR"  # as Tune has it when it requeues
    scheduler_of(store, epochs=3, stop=SearchStop()).on_trial_error(None, trial)
    assert store.record(record.number).state == "running"


def test_a_trial_whose_process_died_before_it_began_is_suggested_again_but_not_for_ever(store):
    given = searcher(store, num_samples=1)
    scheduler = scheduler_of(store, epochs=3, stop=SearchStop(), take_back=given.take_back)
    first = given.suggest("a")
    trial = trial_of(store.record(0))
    trial.status = "PENDING"  # as Tune has it while a process is made ready for it
    for again in ("b", "c"):
        scheduler.on_trial_error(None, trial)
        assert store.record(0).state == "running"
        assert given.suggest(again) == first
    scheduler.on_trial_error(None, trial)
    assert (store.record(0).state, store.record(0).reason) == ("fail", "its process failed")
    assert given.suggest("d") == "FINISHED"


def test_every_change_is_passed_on_and_every_end_once(store):
    changes, ends = [], []
    callback = StoreCallback(
        store, on_change=lambda r: changes.append(r.last_epoch), on_finished=lambda r: ends.append(r.state)
    )
    record = ask(store)
    trial, scheduler = trial_of(record), scheduler_of(store, epochs=2, stop=SearchStop())
    callback.on_trial_start(0, [], trial)
    for epoch in (1, 2):
        scheduler.on_trial_result(None, trial, row(epoch, 0.4))
        callback.on_trial_result(0, [], trial, row(epoch, 0.4))
    callback.on_trial_complete(0, [], trial)
    assert changes == [0, 1, 2, 2]
    assert ends == ["complete"]


def test_a_progress_line_tells_what_a_trial_came_to(store):
    first, second = ask(store), ask(store)
    store.report(0, 1, {"val/aa": 0.51234, "time/epoch_s": 12.0}, {})
    store.complete(0)
    line = progress_line(store.record(first.number), finished=2, num_samples=3, epochs=1)
    assert "trial   0 (2/3 done)  complete  epoch   1/1  val/aa 0.5123     12 s  defaults" in line
    store.fail(1, "out of memory")
    failed = progress_line(store.record(second.number), finished=1, num_samples=3, epochs=1)
    assert failed.endswith("[out of memory]")
    assert "x=0." in failed


def test_short_params_leave_out_what_is_off():
    params = {"lr": 0.00123456, "n": 3, "flips": True, "renormalize": False, "lambda_on": True}
    assert short_params(params) == "lr=0.00123 n=3 flips"
