"""What is shown while a search runs."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from sceneshift.commands import live_search
from sceneshift.commands.live_search import LiveSearch
from sceneshift.search.trial_record import TrialRecord


def record(number: int, *, state: str = "running", epochs: int = 1, value: float | None = 0.5) -> TrialRecord:
    return TrialRecord(
        number=number,
        state=state,
        params={},
        config={},
        epochs={epoch: {"val/aa": 0.1} for epoch in range(1, epochs + 1)},
        value=value,
        ended=None,
        reason="",
        weights={},
        started_ms=0,
        seconds=None,
    )


def figures(line: str) -> list[str]:
    """The times and numbers of a line, in its order."""
    return re.findall(r"-?\d[\d:.]*", line)


@pytest.fixture
def live() -> tuple[LiveSearch, Callable[[float], None]]:
    now = [100.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    made = LiveSearch(
        num_samples=8,
        epochs=16,
        metric="val/aa",
        time_budget_s=300.0,
        on_terminal=False,
        clock=lambda: now[0],
    )
    return made, wait


def test_the_first_lines_say_time_trials_and_the_best_so_far(live: tuple[LiveSearch, Callable[[float], None]]) -> None:
    shown, wait = live
    assert [figures(line) for line in shown.lines()] == [["0:00", "5:00", "0", "8"]]

    wait(61)
    shown.changed(record(0, state="complete", epochs=16, value=0.57))
    shown.changed(record(1, epochs=3, value=0.9))
    shown.changed(record(2, epochs=0, value=None))
    shown.floor("logistic regression", 0.58)
    first, scores, *running = shown.lines()
    assert max(map(len, (first, scores, *running))) < 80

    # A trial that is complete comes before one that is not, and the shorter of budget and extrapolation counts.
    times, done = first.split(" · ")
    best, floor = scores.split(" · ")
    assert (figures(times), figures(done)) == (["1:01", "3:59"], ["1", "8"])
    assert "val/aa" in best
    assert figures(best) == ["57.0", "0", "16"]
    assert floor == "logistic regression 58.0"
    assert [line.split() for line in running] == [
        ["trial", "1", "epoch", "3/16", "val/aa", "90.0"],
        ["trial", "2", "epoch", "0/16", "val/aa", "—"],
    ]


def test_the_rest_is_extrapolated_from_trials_of_this_run() -> None:
    now = [0.0]
    shown = LiveSearch(
        num_samples=8,
        epochs=16,
        metric="entropy",
        time_budget_s=None,
        finished=4,
        on_terminal=False,
        clock=lambda: now[0],
    )
    assert [figures(line) for line in shown.lines()] == [["0:00", "4", "8"]]
    now[0] = 3600
    shown.changed(record(5, state="pruned", value=-1.25))
    first, scores = shown.lines()
    assert figures(first) == ["1:00:00", "3:00:00", "5", "8"]
    assert figures(scores) == ["-1.25", "5", "1"]
    assert "entropy" in scores


def test_a_log_has_a_line_soon_after_the_first_epoch(
    live: tuple[LiveSearch, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("_REDRAW_S", "_FIRST_LINE_S", "_LINE_S"):
        monkeypatch.setattr(live_search, name, 0.02)
    shown, _ = live
    shown.start()
    time.sleep(0.2)
    assert capsys.readouterr().out == ""

    shown.changed(record(0))
    lines: list[str] = []
    while len(lines) < 2:
        time.sleep(0.05)
        lines += capsys.readouterr().out.splitlines()
    shown.stop()

    assert lines[0].endswith("trial 0 epoch 1/16 val/aa 50.0")
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().out == ""


def test_a_terminal_s_region_is_redrawn_and_removed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_search, "_REDRAW_S", 0.02)
    shown = LiveSearch(num_samples=8, epochs=16, metric="val/aa", time_budget_s=None, on_terminal=True)
    shown.start()
    shown.changed(record(3, epochs=7))
    drawn = ""
    while "epoch   7/16" not in drawn:
        time.sleep(0.05)
        drawn += capsys.readouterr().err
    shown.stop()
    shown.stop()

    assert "0 of 8 trials done" in drawn
    assert capsys.readouterr().err.split("\r")[-1].strip() == ""
