"""Ray Train's TorchTrainer around the plain loop, inside a trial of Ray Tune.

Ray Train starts the worker processes, places them on GPUs, joins them to a torch.distributed group, in which the plain
loop trains them together (:mod:`sceneshift.training.workers`), and passes what they report on to Ray Tune.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback
from ray.util import placement_group_table, remove_placement_group
from ray.util.placement_group import PlacementGroup

#: Seconds without a new placement group after which the ended trials are taken to request no more of them.
_SETTLED_S = 1.0

#: Called in each worker with the settings, the sources, the targets and a function that reports one row.
TrainFunction = Callable[[dict[str, Any], Sequence[Any], Sequence[Any], Callable[[dict[str, Any]], None]], None]


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
    targets: Sequence[ray.ObjectRef],
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
        targets: Likewise.
        worker: The resources of each worker.
        storage_path: Directory or URI for Ray Train's own files, accessible to every node. The run's name below it is
            stable, so that a restarted trial is the same run.
        num_workers: Workers that train together.
    """
    domains_ref = ray.put((list(sources), list(targets)))

    def train_loop(worker_settings: dict[str, Any]) -> None:
        of_sources, of_targets = ray.get(domains_ref)
        function(worker_settings, of_sources, of_targets, ray.train.report)

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


@contextlib.contextmanager
def released_afterwards() -> Iterator[None]:
    """A context after which no placement group is left that this driver's trials requested in it.

    Ray Train's cleaner learns of a placement group only once all workers in it have started. A trial that is ended
    before, as by the time budget, would leave its CPUs and GPUs reserved until the driver disconnects, and a refit on
    the same cluster would wait for them.
    """
    before = _own_groups()
    yield
    settled = time.monotonic() + _SETTLED_S
    while time.monotonic() < settled:
        if left := _own_groups() - before:
            for group in left:
                remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(group)))
            settled = time.monotonic() + _SETTLED_S
        time.sleep(0.1)


def _own_groups() -> set[str]:
    """The ids of this driver's placement groups. An id ends with that of the job that requested it."""
    job = ray.get_runtime_context().get_job_id()
    return {
        name for name, group in placement_group_table().items() if name.endswith(job) and group["state"] != "REMOVED"
    }
