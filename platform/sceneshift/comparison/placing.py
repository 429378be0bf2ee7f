"""Where a comparison's trainings run: in this process, or several at a time on Ray."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sceneshift.errors import InvalidInputError
from sceneshift.execution.executor import Executor, Placement
from sceneshift.execution.local import LocalExecutor

#: The executors: on Ray several trainings run at a time, "local" is this process.
EXECUTORS = ("ray", "local")


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where trainings run.

    Args:
        executor: One of :data:`EXECUTORS`.
        at_once: Trainings at a time; 1 in this process.
        threads: CPU threads of each.
        gpus: GPUs of each; a fraction shares one.
        stall_timeout_s: Seconds without an epoch of any training after which the run ends; 0: never.
        on_hang: Called with a message if a stalled run does not end by itself; should end the process.

    Raises:
        InvalidInputError: A value is unknown or out of range.
    """

    executor: str = "ray"
    at_once: int = 2
    threads: int = 1
    gpus: float = 0.0
    stall_timeout_s: float = 1800.0
    on_hang: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise InvalidInputError(f"executor = {self.executor!r}; expected one of {', '.join(EXECUTORS)}.")
        for name in ("at_once", "threads"):
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{name} = {getattr(self, name)}; expected at least 1.")
        if not (self.gpus >= 0 and self.stall_timeout_s >= 0):
            raise InvalidInputError(
                f"gpus = {self.gpus}, stall_timeout_s = {self.stall_timeout_s}; expected 0 or more of each."
            )

    @property
    def num_at_once(self) -> int:
        """Trainings at a time."""
        return 1 if self.executor == "local" else self.at_once

    @contextlib.contextmanager
    def opened(self, directory: Path) -> Iterator[Executor]:
        """An executor, while it may be used.

        Args:
            directory: For Ray Tune's own files.

        Raises:
            ResourceError: There is no room for so many trainings at a time.
        """
        if self.executor == "local":
            yield LocalExecutor(Placement(cpus=self.threads, gpus=self.gpus))
            return
        from sceneshift.execution.cluster import check_room, ray_cluster
        from sceneshift.execution.ray_tune import RayExecutor

        with ray_cluster() as cluster:
            check_room(cluster, trials_at_once=self.at_once, cpus_per_trial=self.threads, gpus_per_trial=self.gpus)
            placement = Placement(
                at_once=self.at_once,
                cpus=self.threads,
                gpus=self.gpus,
                scenes_by_path=cluster.stays_one_node,
            )
            yield RayExecutor(placement, directory, on_hang=self.on_hang)
