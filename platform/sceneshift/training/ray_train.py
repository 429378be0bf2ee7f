"""Ray Train's TorchTrainer around the plain loop.

Ray Train starts the worker processes, places them on GPUs, and passes what they report on to Ray Tune.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from sceneshift.scenes.source import SourceDomain

#: What a training function is given as sources is what :func:`train_with_ray` was.
TrainFunction = Callable[[dict[str, Any], Sequence[Any], Callable[[dict[str, Any]], None]], None]


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
    sources: Sequence[SourceDomain] | Sequence[ray.ObjectRef],
    *,
    worker: WorkerShape,
    storage_path: str,
    report_to_tune: bool,
) -> None:
    """Run a training function in a Ray Train worker and wait for its end.

    Ray Train keeps only rows that come with a checkpoint of its own kind, and ours go elsewhere: rows are for Ray Tune,
    or for what the function itself does with them.

    Args:
        function: Called in the worker with the settings, the sources and a function that reports one row.
        settings: Plain values.
        sources: Put into the object store once and mapped by the worker; or references to what is there already.
        worker: What the worker takes.
        storage_path: Directory or URI for Ray Train's own files, in reach of every node. The run's name below it is
            stable, so that a restarted trial is the same run.
        report_to_tune: Pass every row on to Ray Tune; only inside a Tune trial.
    """
    sources_ref = ray.put(sources)

    def train_loop(worker_settings: dict[str, Any]) -> None:
        function(worker_settings, ray.get(sources_ref), ray.train.report)

    trainer = TorchTrainer(
        train_loop,
        train_loop_config=settings,
        scaling_config=ray.train.ScalingConfig(
            num_workers=1,
            use_gpu=worker.gpus > 0,
            resources_per_worker={"CPU": worker.cpus, **({"GPU": worker.gpus} if worker.gpus > 0 else {})},
        ),
        run_config=ray.train.RunConfig(
            name="ray_train",
            storage_path=storage_path,
            callbacks=[TuneReportCallback()] if report_to_tune else [],
        ),
    )
    trainer.fit()
