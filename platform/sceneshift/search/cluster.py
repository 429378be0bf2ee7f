"""The Ray cluster a search runs on: the one ``RAY_ADDRESS`` names, or one of its own on this machine."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sceneshift.errors import ResourceError, first_line

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
        largest_node: The most of "CPU" and "GPU" a single node has; None where an autoscaler may add nodes of any size.
        num_nodes: Nodes there are now.
        is_own: Whether it was started for this search; otherwise it may grow by itself.
        address: Where it answers.
    """

    cpus: float
    gpus: float
    largest_node: Mapping[str, float] | None
    num_nodes: int
    is_own: bool
    address: str

    @property
    def stays_one_node(self) -> bool:
        """Whether all workers will be on the driver's own node, where they see its files."""
        return self.num_nodes == 1 and self.largest_node is not None


def apply_ray_settings() -> None:
    """Put :data:`RAY_SETTINGS` into the environment; to be called before ray is imported."""
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)


def resolved_ray_address() -> str:
    """What ``RAY_ADDRESS`` says, in words for the first lines a user sees."""
    given = os.environ.get("RAY_ADDRESS", "")
    return given if given not in ("", "local") else "a Ray of its own on this machine (RAY_ADDRESS names no other)"


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

    given = os.environ.get("RAY_ADDRESS", "")
    if given.startswith("ray://"):
        raise ResourceError(
            f"RAY_ADDRESS={given}: a search runs on a node of the cluster, not through the Ray client. Start it there "
            "(`ray exec cluster.yaml '…'`) with RAY_ADDRESS=auto."
        )
    if given == "local":
        given = ""
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
                f"no Ray cluster answers at RAY_ADDRESS={given} ({first_line(error)}). Start it, correct the "
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
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        resources: dict[str, float] = ray.cluster_resources()
        # No public call tells how far a cluster can grow. It is None without an autoscaler.
        limits = ray._private.state.state.get_max_resources_from_cluster_config() if given else None
        most = {name: max(resources.get(name, 0.0), (limits or {}).get(name, 0.0)) for name in ("CPU", "GPU")}
        largest = {name: max(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU")}
        yield ClusterSize(
            cpus=most["CPU"],
            gpus=most["GPU"],
            largest_node=largest if limits is None else None,
            num_nodes=len(nodes),
            is_own=not given,
            address=address,
        )
    finally:
        ray.shutdown()


def check_room(cluster: ClusterSize, *, trials_at_once: int, cpus_per_trial: float, gpus_per_trial: float) -> None:
    """Refuse a search that could never run the trials it wants, before any compute.

    On a Ray of its own all trials at once must fit. On a cluster, which other people may fill and an autoscaler may
    enlarge, a single trial must fit on some node; trials beyond what there is wait their turn.

    Raises:
        ResourceError: With the numbers and the nearest setting that fits.
    """
    for resource, each, have in (("CPU", cpus_per_trial, cluster.cpus), ("GPU", gpus_per_trial, cluster.gpus)):
        largest = have if cluster.largest_node is None else cluster.largest_node[resource]
        if each > largest + 1e-9:
            raise ResourceError(
                f"a trial with {each:g} {resource} fits on no node; the largest has {largest:g}. Nothing was started; "
                f"use --{resource.lower()}s-per-trial {largest:g} or a larger machine."
            )
        if cluster.is_own and each * trials_at_once > have + 1e-9:
            raise ResourceError(
                f"{trials_at_once} trials at once with {each:g} {resource} each need {each * trials_at_once:g} "
                f"{resource}; there are {have:g}. Nothing was started; use --max-concurrent-trials {int(have // each)}."
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
