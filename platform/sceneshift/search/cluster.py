"""The Ray cluster a search runs on: the one ``RAY_ADDRESS`` names, or one of its own on this machine."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from sceneshift.errors import ResourceError

#: glibc would give large blocks back to the system and fault them in again at every step (a third of a step).
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "2147483647"}

#: Read by Ray when it starts; what a user has set stays.
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers would run at nice 15, behind everything else on the machine.
    "RAY_worker_niceness": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The older output engine is the one that verbose=0 silences altogether.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}


@dataclass(frozen=True, kw_only=True)
class ClusterSize:
    """What a cluster has.

    Args:
        cpus: CPUs, those its autoscaler may add included.
        gpus: GPUs, likewise.
        is_own: Whether it was started for this search; otherwise it may grow by itself.
        address: Where it answers.
    """

    cpus: float
    gpus: float
    is_own: bool
    address: str


def apply_ray_settings() -> None:
    """Put :data:`RAY_SETTINGS` into the environment; to be called before ray is imported."""
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)


def resolved_ray_address() -> str:
    """What ``RAY_ADDRESS`` says, in words for the first lines a user sees."""
    return os.environ.get("RAY_ADDRESS") or "a Ray of its own on this machine (RAY_ADDRESS is not set)"


@contextlib.contextmanager
def ray_cluster(*, num_cpus: int | None = None) -> Iterator[ClusterSize]:
    """Connect to the cluster at ``RAY_ADDRESS``, or start one on this machine and end it afterwards.

    The address is known before Ray starts and handed to every worker: Ray Train's cleaner would otherwise look
    for a cluster by itself, and on a host with two of them find the wrong one.

    Args:
        num_cpus: CPUs of a cluster of our own; by default those of the machine.

    Raises:
        ResourceError: No cluster answers at ``RAY_ADDRESS``.
    """
    apply_ray_settings()
    import ray

    given = os.environ.get("RAY_ADDRESS")
    worker_environment = {**ALLOCATOR, **RAY_SETTINGS}
    if given:
        try:
            _knock(given)
            ray.init(
                address=given,
                runtime_env={"env_vars": {**worker_environment, "RAY_ADDRESS": given}},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (OSError, ValueError) as error:  # ConnectionError is an OSError
            raise ResourceError(
                f"no Ray cluster answers at RAY_ADDRESS={given} ({str(error).splitlines()[0]}). Start it, correct the "
                "variable, or unset it to run on a Ray of its own on this machine."
            ) from error
        address = given
    else:
        port = _free_port()
        address = f"127.0.0.1:{port}"
        before = os.environ.get("RAY_GCS_SERVER_PORT")
        os.environ["RAY_GCS_SERVER_PORT"] = str(port)
        try:
            ray.init(
                address="local",
                num_cpus=num_cpus,
                _node_ip_address="127.0.0.1",
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                runtime_env={"env_vars": {**worker_environment, "RAY_ADDRESS": address}},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        finally:
            if before is None:
                del os.environ["RAY_GCS_SERVER_PORT"]
            else:
                os.environ["RAY_GCS_SERVER_PORT"] = before
    try:
        resources = _resources(may_grow=bool(given))
        yield ClusterSize(
            cpus=resources.get("CPU", 0.0),
            gpus=resources.get("GPU", 0.0),
            is_own=not given,
            address=address,
        )
    finally:
        ray.shutdown()


def _resources(*, may_grow: bool) -> dict[str, float]:
    """What the cluster has, or, where an autoscaler can tell, what it can grow to."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()
    if may_grow:
        # No public call tells this. It is None without an autoscaler.
        largest = ray._private.state.state.get_max_resources_from_cluster_config() or {}
        resources = {name: max(resources.get(name, 0.0), largest.get(name, 0.0)) for name in {*resources, *largest}}
    return resources


def check_room(cluster: ClusterSize, *, trials_at_once: int, cpus_per_trial: float, gpus_per_trial: float) -> None:
    """Refuse a search that could never run all the trials it wants at once, before any compute.

    A cluster that was connected to may grow, and not every autoscaler tells how far: there nothing is refused.

    Raises:
        ResourceError: With the numbers and the nearest setting that fits.
    """
    if not cluster.is_own:
        return
    wants = {"CPU": (cpus_per_trial, cluster.cpus), "GPU": (gpus_per_trial, cluster.gpus)}
    for resource, (each, have) in wants.items():
        if each * trials_at_once > have + 1e-9:
            fitting = int(have // each)
            advice = (
                f"use --max-concurrent-trials {fitting}"
                if fitting >= 1
                else f"use --{resource.lower()}s-per-trial {have:g} or a larger machine"
            )
            raise ResourceError(
                f"{trials_at_once} trials at once with {each:g} {resource} each need {each * trials_at_once:g} "
                f"{resource}; there are {have:g}. Nothing was started; {advice}."
            )


def _knock(address: str) -> None:
    """Raise OSError at once where nobody listens at host:port; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
