"""Ray Train's TorchTrainer around the plain loop.

Ray Train starts the worker processes, places them on GPUs, joins them to a torch.distributed group, in which the plain
loop trains them together (:mod:`sceneshift.training.workers`), and passes what they report on to Ray Tune.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from sceneshift.splits.source import SourceDomain

#: Workers that die are started anew so many times; they go on from their last epoch.
MAX_WORKER_FAILURES = 2

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

    @property
    def backend(self) -> str:
        """What workers exchange sums through: NCCL between GPUs; gloo on CPUs, and where workers may share a GPU.

        NCCL refuses two workers on one GPU.
        """
        return "nccl" if self.gpus >= 1 else "gloo"


def train_with_ray(
    function: TrainFunction,
    settings: dict[str, Any],
    sources: Sequence[SourceDomain] | Sequence[ray.ObjectRef],
    *,
    worker: WorkerShape,
    storage_path: str,
    report_to_tune: bool,
    num_workers: int = 1,
    max_failures: int = 0,
    meanwhile: Callable[[], object] | None = None,
) -> None:
    """Run a training function in Ray Train workers and wait for its end.

    Ray Train keeps only rows that come with a checkpoint of its own kind, and ours go elsewhere: rows are for Ray Tune,
    or for what the function itself does with them.

    Args:
        function: Called in each worker with the settings, the sources and a function that reports one row. All workers
            must report alike; the first one's rows are passed on.
        settings: Plain values.
        sources: Put into the object store once and mapped by the workers; or references to what is there already.
        worker: What each worker takes.
        storage_path: Directory or URI for Ray Train's own files, in reach of every node. The run's name below it is
            stable, so that a restarted trial is the same run.
        report_to_tune: Pass every row on to Ray Tune; only inside a Tune trial.
        num_workers: Workers that train together.
        max_failures: So many times the workers are started anew when one has died.
        meanwhile: Called again and again while they train, in a process's main thread alone. What it raises ends the
            wait, but not the workers: they end with the connection to Ray.
    """
    sources_ref = ray.put(sources)

    def train_loop(worker_settings: dict[str, Any]) -> None:
        function(worker_settings, ray.get(sources_ref), ray.train.report)

    trainer = TorchTrainer(
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
            callbacks=[TuneReportCallback()] if report_to_tune else [],
            failure_config=ray.train.FailureConfig(max_failures=max_failures),
        ),
    )
    if threading.current_thread() is threading.main_thread():
        _fit_beside(trainer, meanwhile)
    else:
        trainer.fit()


def _fit_beside(trainer: TorchTrainer, meanwhile: Callable[[], object] | None) -> None:
    # In the main thread Ray Train would take SIGINT for itself; it is the caller's to be interrupted.
    faults: list[BaseException] = []

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    while thread.is_alive():
        time.sleep(0.5) if meanwhile is None else meanwhile()
    if faults:
        raise faults[0]
