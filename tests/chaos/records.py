"""What a study left behind, read by SQL from Optuna's and MLflow's databases and from the result table, and held
against each other and against an unharmed run's."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FINISHED = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}


@dataclass
class Trial:
    """One trial as Optuna's database has it."""

    state: str
    params: dict[str, float]
    epochs: dict[int, dict[str, float]]
    values: list[float]
    weights: str
    reason: str


@dataclass
class Faults:
    """What is not as it should be, as messages by kind."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    left_running: list[str] = field(default_factory=list)

    def add(self, other: "Faults") -> None:
        for kind, found in vars(other).items():
            getattr(self, kind).extend(found)

    def __bool__(self) -> bool:
        return any(vars(self).values())


def rows(database: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        return connection.execute(query, values).fetchall()


def read_trials(optuna_db: Path, faults: Faults) -> dict[int, Trial]:
    """All trials by number; a number that appears twice is a fault."""
    trials: dict[int, Trial] = {}
    of_trial = "SELECT {} FROM trial_{} WHERE trial_id = ?"
    for trial_id, number, state in rows(optuna_db, "SELECT trial_id, number, state FROM trials ORDER BY trial_id"):
        if number in trials:
            faults.doubled.append(f"trial {number} is twice in Optuna")
        attributes = {
            key: json.loads(value)
            for key, value in rows(optuna_db, of_trial.format("key, value_json", "user_attributes"), trial_id)
        }
        trials[number] = Trial(
            state=state,
            params=dict(
                rows(optuna_db, "SELECT param_name, param_value FROM trial_params WHERE trial_id = ?", trial_id)
            ),
            epochs={
                int(key.removeprefix("epoch:")): {
                    name: value for name, value in metrics.items() if name.startswith(("val/", "train/"))
                }
                for key, metrics in attributes.items()
                if key.startswith("epoch:")
            },
            values=[v for (v,) in rows(optuna_db, of_trial.format("value", "values"), trial_id)],
            weights=json.dumps(attributes.get("weights", {}), sort_keys=True),
            reason=attributes.get("reason", ""),
        )
    return trials


def check_optuna(optuna_db: Path, *, num_trials: int) -> tuple[dict[int, Trial], Faults]:
    """Every trial is there, has ended, and has all epochs from the first to its last."""
    faults = Faults()
    trials = read_trials(optuna_db, faults)
    for number in range(num_trials):
        if number not in trials:
            faults.lost.append(f"trial {number} is not in Optuna")
    for number, trial in trials.items():
        if trial.state not in FINISHED:
            faults.left_running.append(f"trial {number} is {trial.state} in Optuna")
        missing = set(range(1, max(trial.epochs, default=0) + 1)) - trial.epochs.keys()
        if missing:
            faults.lost.append(f"trial {number}: epochs {sorted(missing)} are not in Optuna")
        if trial.state == "COMPLETE" and trial.values != [trial.epochs[max(trial.epochs)]["val/aa"]]:
            faults.wrong.append(f"trial {number}: value {trial.values} is not its last epoch's")
    return trials, faults


def check_mlflow(mlflow_db: Path, study: str, trials: dict[int, Trial]) -> Faults:
    """Every trial of Optuna has one run, ended as Optuna says, with every epoch's metrics once and equal."""
    faults = Faults()
    runs = rows(
        mlflow_db,
        "SELECT r.run_uuid, r.status, kind.value, number.value FROM runs r "
        "JOIN experiments e ON e.experiment_id = r.experiment_id "
        "JOIN tags kind ON kind.run_uuid = r.run_uuid AND kind.key = 'sceneshift.study' "
        "LEFT JOIN tags number ON number.run_uuid = r.run_uuid AND number.key = 'sceneshift.trial' "
        "WHERE e.name = ? AND r.lifecycle_stage = 'active'",
        study,
    )
    parents = [status for _, status, kind, _ in runs if kind == "parent"]
    if len(parents) != 1:
        (faults.doubled if parents else faults.lost).append(f"MLflow has {len(parents)} runs of the study itself")
    faults.left_running += [f"the study is {status} in MLflow" for status in parents if status != "FINISHED"]
    children: dict[int, list[tuple[str, str]]] = {}
    for run_id, status, kind, number in runs:
        if kind == "trial":
            children.setdefault(int(number), []).append((run_id, status))
    for number in children.keys() - trials.keys():
        faults.wrong.append(f"MLflow has a trial {number}, Optuna has none")
    for number, trial in trials.items():
        found = children.get(number, [])
        if len(found) != 1:
            (faults.doubled if found else faults.lost).append(f"trial {number} has {len(found)} runs in MLflow")
            continue
        run_id, status = found[0]
        if status == "RUNNING":
            faults.left_running.append(f"trial {number} is RUNNING in MLflow")
        elif status != FINISHED.get(trial.state):
            faults.wrong.append(f"trial {number} is {trial.state} in Optuna and {status} in MLflow")
        faults.add(_check_metrics(mlflow_db, run_id, number, trial))
    return faults


def _check_metrics(mlflow_db: Path, run_id: str, number: int, trial: Trial) -> Faults:
    faults = Faults()
    logged = rows(mlflow_db, "SELECT key, step, value FROM metrics WHERE run_uuid = ?", run_id)
    logged = [row for row in logged if row[0].startswith(("val/", "train/"))]
    times = Counter((key, step) for key, step, _ in logged)
    faults.doubled += [
        f"trial {number}: {key} of epoch {step} is there {n} times" for (key, step), n in times.items() if n > 1
    ]
    values = {(key, step): value for key, step, value in logged}
    for epoch, metrics in trial.epochs.items():
        for name, value in metrics.items():
            if (name, epoch) not in values:
                faults.lost.append(f"trial {number}: {name} of epoch {epoch} is not in MLflow")
            elif values[name, epoch] != value:
                faults.wrong.append(f"trial {number}: {name} of epoch {epoch} is {values[name, epoch]}, not {value}")
    for name, epoch in values.keys() - {(name, epoch) for epoch, metrics in trial.epochs.items() for name in metrics}:
        faults.wrong.append(f"trial {number}: {name} of epoch {epoch} is in MLflow alone")
    return faults


def check_results(summary: Path, trials: dict[int, Trial]) -> Faults:
    """The result table counts what Optuna has, and its winner is the best complete trial with that trial's values."""
    if not summary.exists():
        return Faults(lost=["there is no result table"])
    faults, table = Faults(), json.loads(summary.read_text())
    states = Counter(trial.state.lower() for trial in trials.values())
    for state in ("complete", "pruned", "fail"):
        if table["trials"][state] != states[state]:
            faults.wrong.append(f"the result table counts {table['trials'][state]} {state}, Optuna {states[state]}")
    complete = [(trial.values[0], -number) for number, trial in trials.items() if trial.state == "COMPLETE"]
    if not complete:
        return Faults(wrong=[*faults.wrong, "by Optuna no trial is complete"])
    winner = -max(complete)[1]
    if table["best"]["trial"] != winner:
        faults.wrong.append(f"the result table's best is trial {table['best']['trial']}, by Optuna it is {winner}")
    if json.dumps(table["best"]["weights"], sort_keys=True) != trials[winner].weights:
        faults.wrong.append("the best trial's weights are not those it reported")
    last = trials[winner].epochs[max(trials[winner].epochs)]
    for row in table["scores"]:
        if row["role"] == "best":
            for figure, value in row["validation"].items():
                if value != last.get(f"val/{row['pair']}/{figure}"):
                    faults.wrong.append(f"the result table's validation {figure} of {row['pair']} is {value}")
    return faults


def check_against(trials: dict[int, Trial], unharmed: dict[int, Trial]) -> Faults:
    """At one trial at a time everything is as if nothing had happened: suggestions, states, metrics, weights."""
    faults = Faults()
    for number, expected in unharmed.items():
        trial = trials.get(number)
        if trial is None:
            continue  # reported by check_optuna
        for what in ("params", "state", "epochs", "values", "weights"):
            if getattr(trial, what) != getattr(expected, what):
                faults.wrong.append(f"trial {number}: {what} differ from the unharmed run's")
    return faults


def check_study(storage: Path, study: str, *, mlflow_db: Path, num_trials: int) -> tuple[dict[int, Trial], Faults]:
    """All of these but the comparison with an unharmed run."""
    trials, faults = check_optuna(storage / study / "optuna.db", num_trials=num_trials)
    faults.add(check_mlflow(mlflow_db, study, trials))
    if not faults.left_running:
        faults.add(check_results(storage / study / "report" / "summary.json", trials))
    return trials, faults
