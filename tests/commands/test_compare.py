"""The comparison script: its flags, a whole run on Ray, and what is printed."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sceneshift.commands.compare_arguments import CompareArgs
from sceneshift.commands.compare_screen import CompareScreen, render_results
from sceneshift.comparison.pools import Cost
from sceneshift.comparison.results import CellResult, ComparisonResults
from sceneshift.comparison.spec import Budget, ComparisonSpec, MethodEntry
from sceneshift.errors import InvalidInputError
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.comparison_run import PLACE_TAG

ROOT = Path(__file__).resolve().parents[2]

STUDY = """
pairs = ["one-two"]
methods = [
    "logistic_regression",
    { method = "cross_entropy", label = "CE", settings = { patch_size = 5, width = 8, batch_size = 45 } },
]
epochs = 2
seeds = [0]
num_configurations = 2
profile = "smoke-test"
pixels_per_class = 30
"""


def run(*words, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return subprocess.run(
        [sys.executable, str(ROOT / "experiments" / "compare.py"), *map(str, words)],
        env={**environment, "PYTHONPATH": str(ROOT / "platform"), "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.mark.parametrize(
    "flags",
    [
        {"time_trainings": 0},
        {"max_concurrent_trials": 0},
        {"threads": 0},
        {"publish_pixels": 0},
        {"gpus_per_trial": -1.0},
        {"stall_timeout_s": float("nan")},
        {"strategies": ("infomax",), "publish": True},
        {"strategies": ("infomax",), "time_trainings": 1},
        {"time_trainings": 1, "publish": True},
    ],
)
def test_flags_that_can_t_be_run_are_refused(flags):
    with pytest.raises(InvalidInputError):
        CompareArgs(comparison=Path("study.toml"), **flags)


@pytest.mark.parametrize(
    ("seeds", "shown"),
    [((0, 1), "seeds 0 and 1; 2 epochs and 60 s."), ((0, 1, 2), "seeds 0, 1 and 2;"), ((3,), "seed 3;")],
)
def test_the_screen_tells_seeds_from_epochs(seeds, shown, capsys):
    entry = MethodEntry(method="cross_entropy", label="CE", space=None, settings={})
    budgets = Budget(epochs=2), Budget(seconds=60)
    spec = ComparisonSpec(name="study", pairs=("sw-se",), methods=(entry,), seeds=seeds, budgets=budgets)
    cost = Cost(tuning=2, tuning_left=2, tuning_hours=0.1, final=1, final_hours=0.1, at_once=1)
    CompareScreen().begins(SimpleNamespace(spec=spec, groups={"sw-se": "indian_pines"}), cost)
    assert shown in capsys.readouterr().out


def test_the_last_tables_begin_with_aa_as_the_page_does():
    cell = CellResult(
        **{"pair": "sw-se", "group": "indian_pines", "method": "cross_entropy", "label": "CE", "is_floor": False},
        **{"protocol": "tune-once", "budget": "2 epochs", "strategy": "source-blocks", "seed": 0},
        **{"trained_on": "fields", "configuration": 0, "epoch": 2, "epochs": 2, "seconds": 1.0},
        **{"oa": 0.7, "aa": 0.65, "kappa": 0.4, "confusion": np.array([[4, 1], [2, 3]]), "class_names": ("a", "b")},
    )
    text = render_results(ComparisonResults(name="study", cells=(cell,), caption={}, joins={}))
    assert [line.split()[0] for line in text.splitlines() if " on the target, %" in line] == ["AA", "OA"]


@pytest.mark.slow
def test_a_comparison_runs_on_ray_is_published_and_its_tables_are_made_again(unit_catalogue, tmp_path):
    catalogue, study = unit_catalogue(), tmp_path / "study.toml"
    study.write_text(f'{STUDY}catalogue = "{catalogue}"\n')
    out = tmp_path / "results"
    done = run(study, "--storage-path", out, "--publish")
    assert done.returncode == 0, done.stderr
    folder = out / "comparisons" / "study"
    num = sum(path.is_file() for name in ("tables", "pictures") for path in (folder / name).iterdir()) + 2
    written = [line for line in done.stdout.splitlines() if line.startswith("wrote")]
    assert written == [f"wrote {num} files to {folder}; the page is {folder / 'index.html'}"]
    assert f"sceneshift ui --storage-path {out}\n" in done.stdout
    frame = ComparisonResults.read(folder / "results.parquet").as_frame()
    assert frame["failed"].eq("").all()
    assert len(frame) == 2
    client = TrackingBackend(uri=f"sqlite:///{out}/mlflow.db", artifact_root=out / "mlartifacts").connect()
    runs = client.search_runs([client.get_experiment_by_name("study").experiment_id])
    children = [run for run in runs if run.data.tags[PLACE_TAG] == "training"]
    assert len(runs) - 1 == len(children) == 6
    assert sum("target/source-blocks/oa" in child.data.metrics for child in children) == 2
    keys = {path.parent.name for path in (folder / "cells").glob("*/done.json")}
    assert len(keys) == 6  # of two methods: two configurations, and one final network
    (place,) = (out / "published").glob("*/study")
    again = run(place)
    assert again.returncode == 0, again.stderr
    # In this process, after Ray: the same trainings, of which none is missing.
    local = run(study, "--storage-path", out, "--executor", "local")
    assert local.returncode == 0, local.stderr
    assert "6/6" not in local.stdout
    assert {path.parent.name for path in (folder / "cells").glob("*/done.json")} == keys
    other = run(study, "--storage-path", out, "--strategies", "shifted-blocks")
    assert other.returncode == 0, other.stderr
    assert (folder / "chosen-by" / "shifted-blocks" / "results.parquet").exists()


@pytest.mark.slow
def test_mistakes_end_with_one_line(tmp_path):
    missing = run(tmp_path / "nothing.toml")
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: ")
    assert "Traceback" not in missing.stderr
