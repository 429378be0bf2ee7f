"""Ray Train's TorchTrainer around the plain loop, inside a trial of Ray Tune.

Ray Train starts the worker processes, places them on GPUs, joins them to a torch.distributed group, in which the plain
loop trains them together (:mod:`sceneshift.training.workers`), and passes what they report on to Ray Tune.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

#: Called in each worker with the settings, the sources and a function that reports one row.
TrainFunction = Callable[[dict[str, Any], Sequence[Any], Callable[[dict[str, Any]], None]], None]


@dataclass(frozen=True, kw_only=True)
class WorkerShape:
    """The resources of one training worker.

    Args:
        cpus: CPUs.
        gpus: GPUs, fractions allowed.
    """

    cpus: float
    gpus: float

    @property
    def backend(self) -> str:
        """The backend for exchanging sums: NCCL between GPUs; gloo on CPUs, and if workers may share a GPU.

        NCCL does not allow two workers on one GPU.
        """
        return "nccl" if self.gpus >= 1 else "gloo"


def train_with_ray(
    function: TrainFunction,
    settings: dict[str, Any],
    sources: Sequence[ray.ObjectRef],
    *,
    worker: WorkerShape,
    storage_path: str,
    num_workers: int = 1,
) -> None:
    """Run a training function in Ray Train workers and wait for its end; only inside a Tune trial.

    Ray Train stores only rows that come with its own kind of checkpoint, and ours are stored elsewhere: rows are for
    Ray Tune, which also counts the failures.

    Args:
        function: What each worker runs. All workers must report the same rows; those of the first are passed on.
        settings: Plain values.
        sources: References to objects in the object store.
        worker: The resources of each worker.
        storage_path: Directory or URI for Ray Train's own files, accessible to every node. The run's name below it is
            stable, so that a restarted trial is the same run.
        num_workers: Workers that train together.
    """
    sources_ref = ray.put(list(sources))

    def train_loop(worker_settings: dict[str, Any]) -> None:
        function(worker_settings, ray.get(sources_ref), ray.train.report)

    TorchTrainer(
        train_loop,
        train_loop_config=settings,
        torch_config=TorchConfig(backend=worker.backend),
        scaling_config=ray.train.ScalingConfig(
            num_workers=num_workers,
            use_gpu=worker.gpus > 0,
            resources_per_worker={"CPU": worker.cpus, **({"GPU": worker.gpus} if worker.gpus > 0 else {})},
        ),
        run_config=ray.train.RunConfig(
            name="ray_train",
            storage_path=storage_path,
            callbacks=[TuneReportCallback()],
            failure_config=ray.train.FailureConfig(max_failures=0),
        ),
    ).fit()
