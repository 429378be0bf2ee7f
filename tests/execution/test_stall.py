"""The watch over a search's progress, with seconds shortened to fractions."""

import threading
from types import SimpleNamespace

import pytest

from sceneshift.execution import stall
from sceneshift.execution.executor import StopReason, StopRequest
from sceneshift.execution.stall import StallWatch, what_ray_lacks

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


class Asked(StopRequest):
    """A request that records when it was made."""

    def __init__(self):
        super().__init__()
        self.made = threading.Event()

    def request(self, reason, message=""):
        super().request(reason, message)
        self.made.set()


@pytest.fixture
def stalled():
    """Starts a watch and waits until it has asked to stop; returns why."""

    def run(timeout_s, *, trials=()):
        stop = Asked()
        watch = StallWatch(timeout_s, stop=stop, on_hang=None)
        watch.on_step_end(1, list(trials))
        with watch:
            assert stop.made.wait(20)
        assert stop.reason is StopReason.STALLED
        return stop.message

    return run


def test_a_search_without_an_epoch_is_ended_with_what_it_waits_for(ray_says, stalled, caplog):
    trials = [SimpleNamespace(status="RUNNING"), SimpleNamespace(status="PENDING"), SimpleNamespace(status="RUNNING")]
    with caplog.at_level("INFO"):
        why = stalled(0.2, trials=trials)
    for one in (
        "no epoch ",
        "trials: 1 PENDING, 2 RUNNING",
        "4 CPU + 4 CPU 1 GPU",
        "free on 1 live nodes: 3 CPU, 0 GPU",
        "dead nodes: 10.0.0.2",
    ):
        assert one in why
    assert "no epoch" in caplog.text


def test_one_that_does_not_end_by_itself_is_ended(ray_says, monkeypatch):
    monkeypatch.setattr(stall, "_GRACE_S", 0.05)
    stop, hung, found = StopRequest(), threading.Event(), []

    def on_hang(why):
        found.append(why)
        hung.set()

    with StallWatch(0.1, stop=stop, on_hang=on_hang):
        assert hung.wait(20)
    assert found == [stop.message]


def test_a_ray_that_does_not_answer_is_reported(stalled, monkeypatch):
    monkeypatch.setattr(stall, "_ANSWER_S", 0.05)
    never = threading.Event()
    monkeypatch.setattr(stall, "what_ray_lacks", lambda: never.wait(30) and "late")
    why = stalled(0.1)
    never.set()
    assert "0.05 s" in why


def test_a_broken_ray_is_reported(monkeypatch):
    import ray

    def broken():
        raise ConnectionError("gone")

    monkeypatch.setattr(ray, "nodes", broken)
    assert "(ConnectionError: gone)" in what_ray_lacks()


def test_epochs_keep_a_search_alive(ray_says):
    stop = StopRequest()
    watch = StallWatch(0.6, stop=stop, on_hang=None)
    with watch:
        for _ in range(12):
            watch._ended.wait(0.1)
            watch.on_trial_result(1, [], None, {})
    assert stop.reason is None
