"""The watch over a search's progress, with seconds shortened to fractions."""

import threading
from types import SimpleNamespace

import pytest

from sceneshift.execution.stall import StallWatch, what_ray_lacks
from sceneshift.search import stall

GROUPS = {
    "a": {"state": "PENDING", "bundles": {0: {"CPU": 4.0}, 1: {"CPU": 4.0, "GPU": 1.0}}},
    "b": {"state": "CREATED", "bundles": {0: {"CPU": 1.0}}},
}
NODES = [
    {"Alive": True, "NodeManagerAddress": "10.0.0.1"},
    {"Alive": False, "NodeManagerAddress": "10.0.0.2"},
]


@pytest.fixture
def ray_says(monkeypatch):
    import ray
    import ray.util

    monkeypatch.setattr(ray, "nodes", lambda: NODES)
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 3.0})
    monkeypatch.setattr(ray.util, "placement_group_table", lambda: GROUPS)


@pytest.fixture
def stalled():
    """Starts a watch and waits until it has called what it should; returns what it was called with."""

    def run(timeout_s, *, trials=(), called=1):
        told, enough = [], threading.Event()

        def on(what):
            told.append(what)
            if len(told) >= called:
                enough.set()

        watch = StallWatch(timeout_s, on_stall=on, on_hang=lambda: on("hang"))
        watch.on_step_end(1, list(trials))
        with watch:
            assert enough.wait(20)
        return told

    return run


def test_a_search_without_an_epoch_is_ended_with_what_it_waits_for(ray_says, stalled, capsys):
    trials = [SimpleNamespace(status="RUNNING"), SimpleNamespace(status="PENDING"), SimpleNamespace(status="RUNNING")]
    (why,) = stalled(0.2, trials=trials)
    for told in (
        "no epoch from any trial for ",
        "trials: 1 PENDING, 2 RUNNING",
        "1 placement groups wait for 4 CPU + 4 CPU 1 GPU",
        "free on 1 live nodes: 3 CPU, 0 GPU",
        "dead nodes: 10.0.0.2",
    ):
        assert told in why
    assert "waiting: no epoch from any trial" in capsys.readouterr().out


def test_one_that_does_not_end_by_itself_is_ended(ray_says, stalled, monkeypatch):
    monkeypatch.setattr(stall, "_GRACE_S", 0.05)
    assert stalled(0.1, called=2)[1] == "hang"


def test_a_ray_that_does_not_answer_is_told(stalled, monkeypatch):
    monkeypatch.setattr(stall, "_ANSWER_S", 0.05)
    never = threading.Event()
    monkeypatch.setattr(stall, "what_ray_lacks", lambda: never.wait(30) and "late")
    (why,) = stalled(0.1)
    never.set()
    assert "none begun; Ray itself has not answered for 0.05 s" in why


def test_a_broken_ray_is_told(monkeypatch):
    import ray

    def broken():
        raise ConnectionError("gone")

    monkeypatch.setattr(ray, "nodes", broken)
    assert what_ray_lacks() == "Ray can't be asked (ConnectionError: gone)"


def test_epochs_keep_a_search_alive(ray_says):
    told = []
    watch = StallWatch(0.6, on_stall=told.append, on_hang=lambda: told.append("hang"))
    with watch:
        for _ in range(12):
            watch._ended.wait(0.1)
            watch.on_trial_result(1, [], None, {})
    assert told == []
