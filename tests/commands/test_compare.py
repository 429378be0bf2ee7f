"""The comparison script: its flags, a whole run on Ray, and what is printed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sceneshift.commands.compare_arguments import CompareArgs
from sceneshift.comparison.results import ComparisonResults
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


@pytest.mark.slow
def test_a_comparison_runs_on_ray_is_published_and_its_tables_are_made_again(unit_catalogue, tmp_path):
    catalogue, study = unit_catalogue(), tmp_path / "study.toml"
    study.write_text(f'{STUDY}catalogue = "{catalogue}"\n')
    out = tmp_path / "results"
    done = run(study, "--storage-path", out, "--publish")
    assert done.returncode == 0, done.stderr
    folder = out / "comparisons" / "study"
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
