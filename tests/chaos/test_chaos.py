"""One kill of the driver and one resume, as `make chaos` does them by the dozen."""

import importlib
import json
from pathlib import Path

import pytest


@pytest.fixture
def chaos(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("chaos")


@pytest.mark.chaos
def test_a_search_whose_driver_is_killed_loses_nothing(chaos, tmp_path, capsys):
    status = chaos.main(chaos.Args(kills=1, kinds=("driver",), directory=tmp_path))
    printed = capsys.readouterr().out
    assert status == 0, printed
    (row,) = json.loads((tmp_path / "chaos.json").read_text())["rows"]
    assert (row["events"], row["resumes"], row["orphans"]) == (1, 1, 0)
    assert "| driver | 1 | 1 | 1 | 0 | 0 | 0 | 0 | 0 |" in printed


def test_unknown_kinds_are_reported(chaos, capsys):
    assert chaos.main(chaos.Args(kinds=("drivers",))) == 2
    assert "driver, actor" in capsys.readouterr().out


def test_every_kind_says_what_it_does(chaos):
    assert {kind: bool(do.__doc__) for kind, do in chaos.events.KINDS.items()} == dict.fromkeys(
        ("driver", "actor", "train-worker", "node", "ray", "disk", "mlflow", "nan", "memory"), True
    )
