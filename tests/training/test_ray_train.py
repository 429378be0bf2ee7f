"""Ray Train around a training function, in a Ray of its own, with one worker and with two."""

import json
from pathlib import Path

import pytest
import torch

from sceneshift.execution.cluster import ray_cluster
from sceneshift.execution.ray_train import WorkerShape, train_with_ray
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.loop import TrainingPlan, train
from sceneshift.training.workers import Workers

PLAN_VALUES = {"patch_size": 5, "width": 8, "batch_size": 16}


def train_and_report(settings, sources, report_row):
    from sceneshift.methods.cross_entropy import CrossEntropyConfig

    torch.set_num_threads(1)
    plan = TrainingPlan(
        method="cross_entropy", config=CrossEntropyConfig(**settings["config"]), epochs=settings["epochs"], seed=3
    )

    def report(epoch):
        row = {"epoch": epoch.epoch, **epoch.metrics, **epoch.weights}
        if Workers.of_this_process().rank == 0:
            with Path(settings["rows"]).open("a") as stream:
                stream.write(json.dumps(row) + "\n")
        report_row(row)

    train(plan, sources, report=report, checkpoints=CheckpointFolder(settings["rows"] + ".checkpoints"))


def rows_of(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows]


@pytest.mark.slow
def test_a_ray_train_worker_trains_as_the_plain_loop_does(tiny_source, tmp_path):
    settings = {"config": PLAN_VALUES, "epochs": 2}
    here, there, together = tmp_path / "here", tmp_path / "there", tmp_path / "together"
    reported = []
    train_and_report({**settings, "rows": str(here)}, [tiny_source], reported.append)
    with ray_cluster(num_cpus=2):
        train_with_ray(
            train_and_report,
            {**settings, "rows": str(there)},
            [tiny_source],
            worker=WorkerShape(cpus=1, gpus=0),
            storage_path=str(tmp_path / "ray"),
            report_to_tune=False,
        )
        train_with_ray(
            train_and_report,
            {**settings, "rows": str(together)},
            [tiny_source],
            worker=WorkerShape(cpus=1, gpus=0),
            storage_path=str(tmp_path / "ray-of-two"),
            report_to_tune=False,
            num_workers=2,
        )
    assert rows_of(there) == rows_of(here)
    assert [row["epoch"] for row in reported] == [1, 2]
    assert len(reported[-1][tiny_source.pair_name]) == 16
    both = rows_of(together)
    assert [row["epoch"] for row in both] == [1, 2]
    for row, alone in zip(both, rows_of(here), strict=True):
        assert row.keys() == alone.keys()
        assert row["train/tiny-pair/ce"] == pytest.approx(alone["train/tiny-pair/ce"], rel=1e-3)
    assert both[0][tiny_source.pair_name] != rows_of(here)[0][tiny_source.pair_name]  # sums were added in another order


def test_gpus_exchange_through_nccl_unless_workers_may_share_one():
    shapes = {gpus: WorkerShape(cpus=1, gpus=gpus).backend for gpus in (0, 0.5, 1, 2)}
    assert shapes == {0: "gloo", 0.5: "gloo", 1: "nccl", 2: "nccl"}
