"""Timed steps are kept, and the epochs of a budget in seconds follow from them alone."""

import json

import pytest

from sceneshift.comparison import timing
from sceneshift.comparison.cells import CellStore
from sceneshift.comparison.pools import expected_cost, expected_seconds, make_pools
from sceneshift.comparison.preparing import prepare
from sceneshift.comparison.spec import Budget
from sceneshift.comparison.timing import TIMINGS, Timings
from sceneshift.search.pace import EpochTime


@pytest.fixture
def timed(monkeypatch):
    """The configurations that were timed; an epoch of each takes half a second, an evaluation two."""
    asked = []

    def stand_in(method, config, sources, **arguments):
        asked.append((method, config))
        assert arguments["maps_target"]
        return EpochTime(steps_s=0.5, evaluation_s=2.0)

    monkeypatch.setattr(timing, "time_epoch", stand_in)
    return asked


def time_all(prepared, folder):
    timings = Timings(prepared, folder)
    timings.time_all(lambda what, done, total: None)
    return timings


def test_epochs_of_seconds_are_decided_once(write_toy, toy_text, timed, tmp_path):
    text = toy_text.replace("epochs = 2", "epochs = 2\nseconds = 10")
    prepared = prepare(write_toy(text))
    timings = time_all(prepared, tmp_path)
    assert len(timed) == 4  # every configuration of the network, two of the floor
    pools = make_pools(prepared, timings)
    epochs = {(pool.label, str(pool.budget)): {cell.spec.epochs for cell in pool.cells} for pool in pools}
    assert epochs == {
        ("logistic regression", "2 epochs"): {1},
        ("logistic regression", "10 s"): {1},
        ("CE", "2 epochs"): {2},
        ("CE", "10 s"): {20},
    }
    stored = json.loads((tmp_path / TIMINGS).read_text())
    for values in stored.values():
        values["steps_s"] = 2.0
    (tmp_path / TIMINGS).write_text(json.dumps(stored))
    again = time_all(prepared, tmp_path)  # as on another machine
    assert len(timed) == 4
    assert {cell.spec.epochs for pool in make_pools(prepared, again) for cell in pool.cells} == {1, 2, 5}


def test_seconds_too_few_for_an_epoch_train_one(write_toy, timed, tmp_path):
    prepared = prepare(write_toy())
    timings = time_all(prepared, tmp_path)
    config = prepared.configurations["one-two", "CE", 0][0]
    assert timings.epochs("one-two", "CE", Budget(seconds=0.1), config) == 1


def test_the_cost_is_the_sum_of_epochs_and_evaluations(write_toy, timed, tmp_path):
    prepared = prepare(write_toy())
    timings = time_all(prepared, tmp_path)
    pools = make_pools(prepared, timings)
    seconds = expected_seconds(pools, timings)
    by_label = {pool.label: [seconds[cell.key] for cell in pool.cells] for pool in pools}
    assert by_label["CE"] == [pytest.approx(0.5 + 2 * (0.5 + 2.0))] * 2
    assert by_label["logistic regression"] == [pytest.approx(0.5 + 0.5 + 2.0)] * 2
    cost = expected_cost(prepared, pools, seconds, CellStore(tmp_path / "cells"), at_once=2)
    assert cost.tuning_hours == pytest.approx((2 * 5.5 + 2 * 3.0) / 3600 / 2)
    assert cost.final_hours == pytest.approx(4 * (5.5 + 3.0) / 3600 / 2)


def test_a_real_step_is_timed(write_toy, tmp_path):
    prepared = prepare(write_toy())
    timings = Timings(prepared, tmp_path)
    for label in ("CE", "logistic regression"):
        found = timings.epoch_time("one-two", label, prepared.configurations["one-two", label, 0][0])
        assert 0 < found.steps_s < 60
        assert 0 < found.evaluation_s < 60
