import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from sceneshift.commands.last_screen import render_closed, render_screen
from sceneshift.engine.search_result import SearchResult
from sceneshift.report.study_record import BEST, REFITTED
from sceneshift.search.trial_record import TrialRecord
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.models import LoggedModel

SUMMARY = {
    "study": "s",
    "profile": "laptop",
    "selection": "source validation",
    "trials": {"complete": 1, "pruned": 0, "fail": 0, "ended by time budget": False},
    "best": {"trial": 0, "config": {"lr": 0.1}},
    "defaults": {"state": "complete", "reason": ""},
    "largest target class": {"a-b": 0.4},
    "separation": [],
    "scores": [],
    "verdicts": [{"sentence": "On a-b the network is what it is."}],
    "registered": {"a-b": REFITTED},
    "times the target was opened": 1,
    "wall_s": 1.0,
}


def result_of(root, *, alias="champion", replaced=None, **changes):
    return SearchResult(
        name="s",
        directory=root / "s",
        records=(),
        num_samples=1,
        choice=None,
        summary=SUMMARY | changes,
        models=[LoggedModel(name="m-park", version="2", alias=alias, replaced=replaced)],
        tracking_uri=f"sqlite:///{root}/mlflow.db",
        experiment_id="1",
        run_id="abc",
    )


def screen(alias, root, replaced=None, **changes):
    backend = TrackingBackend(uri=f"sqlite:///{root}/mlflow.db", artifact_root=root)
    return render_screen(result_of(root, alias=alias, replaced=replaced, **changes), backend)


def test_a_candidate_comes_with_the_command_that_compares_it(tmp_path):
    text = screen("candidate", tmp_path)
    command = f"python experiments/promote.py --model m-park --version 2 --storage-path {tmp_path}"
    assert "models:/m-park@candidate (version 2)" in text
    assert f"\n  {command}\n" in text


def test_units_are_named_of_pairs_that_state_them(tmp_path):
    assert "reflectance" in screen("champion", tmp_path, units={"a-b": "reflectance"})
    assert "reflectance" not in screen("champion", tmp_path, units={})


def test_that_command_is_quoted_for_a_shell(tmp_path):
    storage = tmp_path / "it's here & there"
    (command,) = [line for line in screen("candidate", storage).splitlines() if "promote.py" in line]
    assert shlex.split(command)[-2:] == ["--storage-path", str(storage)]


def test_the_default_storage_needs_no_flag():
    text = screen("candidate", Path("results").resolve())
    assert "\n  python experiments/promote.py --model m-park --version 2\n" in text


def test_the_verdict_comes_first_and_what_is_registered_is_named(tmp_path):
    text = screen("champion", tmp_path)
    assert text.strip().startswith(SUMMARY["verdicts"][0]["sentence"])
    assert f"'{REFITTED}'" in text
    assert f"'{REFITTED}'" not in screen("champion", tmp_path, registered={"a-b": BEST})


@pytest.mark.parametrize(("replaced", "rest"), [(None, ")"), ("1", "; before it: version 1)")])
def test_a_champion_needs_no_command(tmp_path, replaced, rest):
    text = screen("champion", tmp_path, replaced)
    assert f"Registered models:/m-park@champion (version 2{rest}\n" in text
    assert "promote.py" not in text


def test_defaults_that_are_missing_in_the_table_are_explained(tmp_path):
    reason = "out of memory"
    text = screen("champion", tmp_path, defaults={"state": "fail", "reason": reason})
    assert f"fail: {reason}" in text
    assert reason not in screen("champion", tmp_path)


def test_where_everything_is_is_reported(tmp_path):
    text = screen("champion", tmp_path)
    for place in (tmp_path / "s" / "report" / "index.html", tmp_path / "s" / "optuna.db"):
        assert f" {place}\n" in text
    assert "#/experiments/1/runs/abc" in text


def test_a_search_that_was_closed_before_shows_its_table(tmp_path):
    (tmp_path / "s" / "report").mkdir(parents=True)
    (tmp_path / "s" / "report" / "scores.md").write_text("| the table |\n")
    values = {"params": {}, "config": {}, "epochs": {}, "value": None, "ended": None, "reason": "", "weights": {}}
    records = [
        TrialRecord(number=number, state=state, started_ms=None, seconds=None, **values)
        for number, state in enumerate(("complete", "pruned", "running"))
    ]
    text = render_closed(replace(result_of(tmp_path), records=records))
    assert "2 trials are done" in text
    assert "\n| the table |\n" in text
    assert str(tmp_path / "s" / "report") in text
    assert "--num-samples" in text


@pytest.mark.parametrize("alias", ["champion", "smoke-test", "candidate"])
def test_it_ends_with_the_command_that_maps_a_scene(tmp_path, alias):
    (line,) = [line for line in screen(alias, tmp_path).splitlines() if "predict.py" in line]
    words = shlex.split(line.partition("python ")[2])
    assert words[words.index("--model") + 1] == f"models:/m-park@{alias}"
    assert words[words.index("--storage-path") + 1] == str(tmp_path)


def test_the_report_s_page_is_named(tmp_path):
    assert str(tmp_path / "s" / "report" / "index.html") in screen("champion", tmp_path)
