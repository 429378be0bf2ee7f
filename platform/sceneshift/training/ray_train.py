"""Ray Train's TorchTrainer around the plain loop.

Ray Train starts the worker processes, places them on GPUs, and passes what they report on to Ray Tune.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from sceneshift.scenes.source import SourceDomain

#: Settings of Ray Train that make a small run start and end quickly (11 s instead of 25 on two cores).
FAST_START = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}

TrainFunction = Callable[[dict[str, Any], Sequence[SourceDomain], Callable[[dict[str, Any]], None]], None]


@dataclass(frozen=True, kw_only=True)
class WorkerShape:
    """What one training worker takes.

    Args:
        cpus: CPUs.
        gpus: GPUs, fractions allowed.
    """

    cpus: float
    gpus: float


def train_with_ray(
    function: TrainFunction,
    settings: dict[str, Any],
    sources: Sequence[SourceDomain],
    *,
    worker: WorkerShape,
    name: str,
) -> None:
    """Run a training function in a Ray Train worker; inside a Tune trial its reports reach Tune.

    Args:
        function: Called in the worker with the settings, the sources and a function that reports one row.
        settings: Plain values.
        sources: Put into the object store once and mapped by the worker.
        worker: What the worker takes.
        name: The run's name, stable, so that a restarted trial is the same run.
    """
    sources_ref = ray.put(sources)

    def train_loop(worker_settings: dict[str, Any]) -> None:
        function(worker_settings, ray.get(sources_ref), ray.train.report)

    inside_tune = ray.tune.is_session_enabled() if hasattr(ray.tune, "is_session_enabled") else True
    trainer = TorchTrainer(
        train_loop,
        train_loop_config=settings,
        scaling_config=ray.train.ScalingConfig(
            num_workers=1,
            use_gpu=worker.gpus > 0,
            resources_per_worker={"CPU": worker.cpus, **({"GPU": worker.gpus} if worker.gpus > 0 else {})},
        ),
        run_config=ray.train.RunConfig(
            name=name,
            # Nothing of ours is kept here: checkpoints go where the trial's order says.
            storage_path=tempfile.mkdtemp(prefix="sceneshift-ray-train-"),
            callbacks=[TuneReportCallback()] if inside_tune else [],
        ),
    )
    trainer.fit()
