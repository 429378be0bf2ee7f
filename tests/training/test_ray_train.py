"""Ray Train around a training function, in a Ray of its own."""

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
    train(plan, sources, report=lambda epoch: report_row({"epoch": epoch.epoch, **epoch.metrics, **epoch.weights}))


@pytest.mark.slow
def test_a_ray_train_worker_trains_as_the_plain_loop_does(source_domain, tmp_path):
    settings = {"config": PLAN_VALUES, "epochs": 2}
    here = []
    train_and_report(settings, [source_domain], here.append)
    with ray_cluster(num_cpus=1):
        result = train_with_ray(
            train_and_report,
            settings,
            [source_domain],
            worker=WorkerShape(cpus=1, gpus=0),
            storage_path=str(tmp_path),
            report_to_tune=False,
        )
    there = {key: result.metrics[key] for key in here[-1] if not key.startswith("time/")}
    assert there == {key: value for key, value in here[-1].items() if not key.startswith("time/")}
    assert there["epoch"] == 2
    assert len(there[source_domain.pair_name]) == 16
