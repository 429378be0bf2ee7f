from dataclasses import replace
from types import SimpleNamespace

import pytest

from sceneshift.commands import search_screen
from sceneshift.commands.announcements import announce_duration
from sceneshift.commands.search_screen import SearchScreen, change_note
from sceneshift.search.trial_record import TrialRecord


def test_a_change_of_code_or_data_is_named():
    note = change_note("study 's'", ["code: was 'a', is 'b'"])
    assert note.startswith("NOTE: study 's' ")
    assert note.splitlines()[-1] == "  code: was 'a', is 'b'"


@pytest.mark.parametrize(("seconds", "shown"), [(90, "2 min"), (5400, "1.5 h"), (12.5 * 24 * 3600, "12.5 days")])
def test_what_a_search_is_expected_to_take(seconds, shown):
    assert f" {shown} " in announce_duration(seconds)


@pytest.mark.parametrize(("metric", "expected"), [("val/aa", 1), ("selection/infomax", 0)])
def test_the_floor_is_fitted_once_and_not_before_a_trial_has_an_epoch(monkeypatch, capsys, metric, expected):
    search = SimpleNamespace(
        spec=SimpleNamespace(name="study", seed=0),
        profile=SimpleNamespace(num_samples=2, epochs=2, time_budget_s=None),
        strategy=SimpleNamespace(metric=metric),
    )
    fitted = []
    monkeypatch.setattr(search_screen, "announce_trials", lambda search, placement: "")
    monkeypatch.setattr(SearchScreen, "_find_floor", staticmethod(lambda search, live: fitted.append(search)))
    monkeypatch.setattr(search_screen.threading.Thread, "start", lambda thread: thread.run())
    screen = SearchScreen([], lambda: "resume")
    monkeypatch.setattr(search_screen.LiveSearch, "start", lambda live: None)
    screen.search_begins(search, None, 0)
    record = TrialRecord(
        **{"number": 0, "state": "running", "params": {}, "config": {}, "epochs": {}, "value": None, "ended": None},
        **{"reason": "", "weights": {}, "started_ms": None, "seconds": None},
    )
    screen.changed(record)
    assert fitted == []
    for epoch in (1, 2):
        screen.changed(replace(record, epochs={each: {"val/aa": 0.5} for each in range(1, epoch + 1)}))
    assert fitted == [search] * expected
    screen.close()
