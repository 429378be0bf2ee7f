"""Ray Train around a training function, in a Ray of its own."""

import json
from pathlib import Path

import pytest
import torch

from sceneshift.search.cluster import ray_cluster
from sceneshift.training.loop import TrainingPlan, train
from sceneshift.training.ray_train import WorkerShape, train_with_ray

PLAN_VALUES = {"patch_size": 5, "width": 8, "batch_size": 16}


def train_and_report(settings, sources, report_row):
    from sceneshift.methods.cross_entropy import CrossEntropyConfig

    torch.set_num_threads(1)
    plan = TrainingPlan(
        method="cross_entropy", config=CrossEntropyConfig(**settings["config"]), epochs=settings["epochs"], seed=3
    )

    def report(epoch):
        row = {"epoch": epoch.epoch, **epoch.metrics, **epoch.weights}
        with Path(settings["rows"]).open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        report_row(row)

    train(plan, sources, report=report)


def rows_of(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows]


@pytest.mark.slow
def test_a_ray_train_worker_trains_as_the_plain_loop_does(tiny_source, tmp_path):
    settings = {"config": PLAN_VALUES, "epochs": 2}
    here, there = tmp_path / "here", tmp_path / "there"
    reported = []
    train_and_report({**settings, "rows": str(here)}, [tiny_source], reported.append)
    with ray_cluster(num_cpus=1):
        train_with_ray(
            train_and_report,
            {**settings, "rows": str(there)},
            [tiny_source],
            worker=WorkerShape(cpus=1, gpus=0),
            storage_path=str(tmp_path / "ray"),
            report_to_tune=False,
        )
    assert rows_of(there) == rows_of(here)
    assert [row["epoch"] for row in reported] == [1, 2]
    assert len(reported[-1][tiny_source.pair_name]) == 16
