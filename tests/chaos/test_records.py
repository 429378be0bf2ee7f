"""What chaos counts with sees every kind of fault: a loss, a double, a wrong value, a trial left running."""

import contextlib
import importlib
import json
import re
import sqlite3
from pathlib import Path

import pytest

from sceneshift.search.profile import Profile
from sceneshift.search.trial_record import Ended
from sceneshift.search.trial_store import TrialStore
from sceneshift.selection.strategy import SourceBlocks

PROFILE = Profile(name="p", description="", epochs=2, num_samples=2)

#: The columns of MLflow's tables that are looked at.
MLFLOW = """
CREATE TABLE experiments (experiment_id INTEGER, name TEXT);
CREATE TABLE runs (run_uuid TEXT, status TEXT, experiment_id INTEGER, lifecycle_stage TEXT);
CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE metrics (key TEXT, step INTEGER, value REAL, run_uuid TEXT);
INSERT INTO experiments VALUES (1, 's');
INSERT INTO runs VALUES ('p', 'FINISHED', 1, 'active'), ('a', 'FINISHED', 1, 'active'), ('b', 'FINISHED', 1, 'active');
INSERT INTO tags VALUES ('sceneshift.study', 'parent', 'p'), ('sceneshift.study', 'trial', 'a'),
    ('sceneshift.study', 'trial', 'b'), ('sceneshift.trial', '0', 'a'), ('sceneshift.trial', '1', 'b');
INSERT INTO metrics VALUES ('val/aa', 1, 0.1, 'a'), ('val/aa', 2, 0.2, 'a'), ('val/aa', 1, 0.05, 'b');
INSERT INTO metrics VALUES ('epoch', 1, 1, 'a');
"""


@pytest.fixture
def records(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("records")


@pytest.fixture
def storage(tmp_path):
    """A study of two trials, one complete and one pruned, as it should be."""
    store = TrialStore.create(
        tmp_path / "s" / "optuna.db",
        name="s",
        seed=0,
        profile=PROFILE,
        strategy=SourceBlocks(),
        settings={},
        first_params=[{"x": 0.5}],
    )
    for number, values in enumerate([(0.1, 0.2), (0.05,)]):
        store.ask(lambda trial: {"x": trial.suggest_float("x", 0, 1)})
        for epoch, value in enumerate(values, start=1):
            store.report(number, epoch, {"val/aa": value, "time/epoch_s": 1.0}, {"pair": f"w{number}{epoch}"})
    store.complete(0)
    store.prune(1, Ended.EARLY_STOP, "stopped")
    (tmp_path / "s" / "report").mkdir()
    summary = {
        "trials": {"complete": 1, "pruned": 1, "fail": 0},
        "best": {"trial": 0, "weights": {"pair": "w02"}},
        "scores": [],
    }
    (tmp_path / "s" / "report" / "summary.json").write_text(json.dumps(summary))
    write(tmp_path / "mlflow.db", MLFLOW)
    return tmp_path


def write(database, script):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.executescript(script)


def check(records, storage):
    return records.check_study(storage, "s", mlflow_db=storage / "mlflow.db", num_trials=2)


def test_of_a_whole_study_nothing_is_reported(records, storage):
    trials, faults = check(records, storage)
    assert not faults
    assert {number: (trial.state, sorted(trial.epochs)) for number, trial in trials.items()} == {
        0: ("COMPLETE", [1, 2]),
        1: ("PRUNED", [1]),
    }
    assert not records.check_against(trials, trials)


@pytest.mark.parametrize(
    ("script", "kind", "expected"),
    [
        ("DELETE FROM runs WHERE run_uuid = 'b'", "lost", "trial 1 has 0 runs in MLflow"),
        ("DELETE FROM metrics WHERE step = 2", "lost", "trial 0: val/aa of epoch 2 is not in MLflow"),
        ("DELETE FROM runs WHERE run_uuid = 'p'", "lost", "MLflow has 0 runs of the study itself"),
        ("UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = 'a'", "lost", "trial 0 has 0 runs in MLflow"),
        ("UPDATE tags SET value = '0' WHERE key = 'sceneshift.trial'", "doubled", "trial 0 has 2 runs in MLflow"),
        ("INSERT INTO metrics VALUES ('val/aa', 1, 0.1, 'a')", "doubled", "val/aa of epoch 1 is there 2 times"),
        ("UPDATE metrics SET value = 0.3 WHERE step = 2", "wrong", "val/aa of epoch 2 is 0.3, not 0.2"),
        ("INSERT INTO metrics VALUES ('val/aa', 3, 0.1, 'a')", "wrong", "val/aa of epoch 3 is in MLflow alone"),
        ("UPDATE runs SET status = 'FAILED' WHERE run_uuid = 'b'", "wrong", "trial 1 is PRUNED in Optuna and FAILED"),
        ("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = 'b'", "left_running", "trial 1 is RUNNING in MLflow"),
        ("UPDATE runs SET status = 'KILLED' WHERE run_uuid = 'p'", "left_running", "the study is KILLED in MLflow"),
    ],
)
def test_a_fault_in_mlflow_is_seen(records, storage, script, kind, expected):
    write(storage / "mlflow.db", script)
    _, faults = check(records, storage)
    assert any(expected in line for line in getattr(faults, kind)), vars(faults)


@pytest.mark.parametrize(
    ("script", "kind", "expected"),
    [
        ("UPDATE trials SET state = 'RUNNING' WHERE number = 1", "left_running", "trial 1 is RUNNING in Optuna"),
        ("DELETE FROM trials WHERE number = 1", "lost", "trial 1 is not in Optuna"),
        ("UPDATE trials SET number = 0", "doubled", "trial 0 is twice in Optuna"),
        ("DELETE FROM trial_user_attributes WHERE key = 'epoch:1' AND trial_id = 1", "lost", "epochs [1] are not"),
        ("UPDATE trial_values SET value = 0.9", "wrong", "trial 0: value [0.9] is not its last epoch's"),
    ],
)
def test_a_fault_in_optuna_is_seen(records, storage, script, kind, expected):
    write(storage / "s" / "optuna.db", script)
    _, faults = check(records, storage)
    assert any(expected in line for line in getattr(faults, kind)), vars(faults)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trials": {"complete": 2, "pruned": 1, "fail": 0}}, "the result table counts 2 complete, Optuna 1"),
        ({"best": {"trial": 1, "weights": {"pair": "w02"}}}, "best is trial 1, by Optuna it is 0"),
        ({"best": {"trial": 0, "weights": {"pair": "other"}}}, "the best trial's weights are not those it reported"),
        (
            {"scores": [{"role": "best", "pair": "p", "validation": {"aa": 0.9}}]},
            "the result table's validation aa of p is 0.9",
        ),
    ],
)
def test_a_fault_in_the_result_table_is_seen(records, storage, changes, expected):
    path = storage / "s" / "report" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    _, faults = check(records, storage)
    assert any(expected in line for line in faults.wrong), vars(faults)
    path.unlink()
    assert any("result table" in line for line in check(records, storage)[1].lost)


def test_what_differs_from_an_unharmed_run_is_seen(records, storage):
    trials, _ = check(records, storage)
    others, _ = check(records, storage)
    others[1].params["x"] = 0.123
    others[0].epochs[2]["val/aa"] = 0.21
    faults = records.check_against(trials, others)
    told = [re.findall(r"trial \d|epochs|params", line) for line in faults.wrong]
    assert told == [["trial 0", "epochs"], ["trial 1", "params"]]
