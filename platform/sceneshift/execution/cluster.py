"""The Ray cluster a search runs on: the one ``RAY_ADDRESS`` names, or a local one."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sceneshift.addresses import HIDDEN, reach_this_machine_directly
from sceneshift.cores import allowed_cores
from sceneshift.errors import ResourceError, first_line
from sceneshift.execution.ray_folders import ensure_token, session_folder
from sceneshift.own_folders import ensure_home

#: glibc would otherwise return large blocks to the system and fault them in again at every step (a third of a step).
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "2147483647"}

#: Read by Ray when it starts; values set by the user are kept.
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers would otherwise run at nice 15, behind everything else on the machine.
    "RAY_worker_niceness": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Only the older output engine is silenced completely by verbose=0.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}


#: What processes of a local Ray import while they wait for work: with PyTorch's optimizers this takes them seconds.
PRELOADED = "sceneshift.execution.worker,torch._dynamo"


#: What Tune sets for every trial.
TUNE_VARIABLES = {"PL_DISABLE_FORK": "1"}


@dataclass(frozen=True, kw_only=True)
class ClusterSize:
    """The resources of a cluster.

    Args:
        cpus: CPUs, including those its autoscaler may add.
        gpus: GPUs, including those its autoscaler may add.
        largest_node: The most of "CPU" and "GPU" a single node has; None where an autoscaler may add nodes of any size.
        num_nodes: Current number of nodes.
        is_own: Whether it was started for this search.
        address: Its address.
        nodes: Resources of each current node.
    """

    cpus: float
    gpus: float
    largest_node: Mapping[str, float] | None
    num_nodes: int
    is_own: bool
    address: str
    nodes: tuple[Mapping[str, float], ...] = ()

    @property
    def stays_one_node(self) -> bool:
        """Whether all workers will be on the driver's own node, where they see its files."""
        return self.num_nodes == 1 and self.largest_node is not None


def apply_ray_settings() -> None:
    """Put :data:`RAY_SETTINGS` into the environment; to be called before ray is imported.

    Raises:
        ResourceError: No folder for temporary files can be written.
    """
    ensure_home()
    # Ray asks its own pages on this machine for what runs, and would ask a proxy for them.
    reach_this_machine_directly()
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)


def resolved_ray_address() -> str:
    """A description of ``RAY_ADDRESS`` for the first lines a user sees."""
    given = _without_user(os.environ.get("RAY_ADDRESS", ""))
    return given if given not in ("", "local") else "local Ray (RAY_ADDRESS is not set)"


@contextlib.contextmanager
def ray_cluster(*, num_cpus: int | None = None, dashboard: bool = False) -> Iterator[ClusterSize]:
    """Connect to the cluster at ``RAY_ADDRESS``, or start a local one and shut it down afterwards.

    The address is known before Ray starts and passed to every worker: Ray Train's cleaner would otherwise search for a
    cluster by itself and, on a host with two of them, find the wrong one.

    Args:
        num_cpus: CPUs of a local cluster; by default those this process may use.
        dashboard: Whether a local one has Ray's dashboard, which takes a small machine two to three seconds. Ray Train
            asks it which of its workers live.

    Raises:
        ResourceError: No cluster answers at ``RAY_ADDRESS``, or none can be started here; the message names the
            variable to set.
    """
    apply_ray_settings()
    import ray

    given = os.environ.get("RAY_ADDRESS", "")
    shown = _without_user(given)
    if given.startswith("ray://"):
        raise ResourceError(
            f"RAY_ADDRESS={shown}: a search runs on a node of the cluster, not through the Ray client. Start it there "
            "(`ray exec cluster.yaml '…'`) with RAY_ADDRESS=auto."
        )
    if shown != given:
        raise ResourceError(
            f"RAY_ADDRESS={shown} has a name or a password in it, which Ray doesn't take and its processes would keep. "
            "Give host:port, and a cluster's token by RAY_AUTH_TOKEN_PATH."
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
                "variable, or unset it to run on a local Ray."
            ) from error
        address = given
    else:
        folder = session_folder()
        ensure_token()
        port = _free_port()
        address = f"127.0.0.1:{port}"
        # In the environment, which all of Ray's processes inherit, and not in a runtime_env, whose workers Ray would
        # only start when they are needed.
        wanted = {
            **worker_environment,
            "RAY_ADDRESS": address,
            "RAY_GCS_SERVER_PORT": str(port),
            "RAY_preload_python_modules": PRELOADED,
            # Read when PyTorch is imported, before a worker knows its CPUs; a training sets its own number of threads.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
            **TUNE_VARIABLES,
            # Ray's own processes open sockets among their temporary files, too.
            "TMPDIR": str(folder.parent),
        }
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            ray.init(
                address="local",
                num_cpus=allowed_cores() if num_cpus is None else num_cpus,
                _temp_dir=str(folder),
                _node_ip_address="127.0.0.1",
                include_dashboard=dashboard,
                dashboard_host="127.0.0.1",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # Ray raises a plain Exception if its processes don't start in time
            raise ResourceError(
                f"Ray could not be started on this machine ({first_line(error)}). Nothing was trained; when the "
                "machine is less busy, give the same command again."
            ) from error
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        resources: dict[str, float] = ray.cluster_resources()
        # No public call says how far a cluster can grow. Ray reports the total of the node types in cluster.yaml
        # at their max_workers, within the whole's; None without an autoscaler, or before it has reported to the head.
        limits = ray._private.state.state.get_max_resources_from_cluster_config() if given else None
        most = {name: max(resources.get(name, 0.0), (limits or {}).get(name, 0.0)) for name in ("CPU", "GPU")}
        largest = {name: max(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU")}
        with contextlib.nullcontext() if given else _trials_in_waiting_processes():
            yield ClusterSize(
                cpus=most["CPU"],
                gpus=most["GPU"],
                largest_node=largest if limits is None else None,
                num_nodes=len(nodes),
                is_own=not given,
                address=address,
                nodes=tuple({name: node.get(name, 0.0) for name in ("CPU", "GPU")} for node in nodes),
            )
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _trials_in_waiting_processes() -> Iterator[None]:
    """Let Tune run trials in the processes of a local Ray that wait for work.

    Tune asks for variables for every trial, and Ray would start a process with them only then. On a local Ray, all
    processes have them from this one. No public setting of Tune's says so.
    """
    with contextlib.ExitStack() as stack:
        # A Ray that has other private names begins its trials as it always did.
        with contextlib.suppress(ImportError, AttributeError):
            from ray.tune.execution import class_cache

            for name, nothing in (("DEFAULT_ENV_VARS", {}), ("ENV_VARS_TO_PROPAGATE", set())):
                stack.callback(setattr, class_cache, name, getattr(class_cache, name))
                setattr(class_cache, name, nothing)
        yield


def check_room(
    cluster: ClusterSize,
    *,
    trials_at_once: int,
    cpus_per_trial: float,
    gpus_per_trial: float,
    workers_per_trial: int = 1,
) -> None:
    """Reject a search that could never run its trials, before anything is computed.

    All concurrent trials must fit, each with all its workers, on the cluster as it is or as far as its autoscaler may
    grow it. Resources used by other jobs are not subtracted, since those jobs end.

    Args:
        cluster: The resources of the cluster.
        trials_at_once: Number of concurrent trials.
        cpus_per_trial: CPUs of each worker of a trial.
        gpus_per_trial: GPUs of each worker of a trial.
        workers_per_trial: Workers of a trial.

    Raises:
        ResourceError: It doesn't fit; the message has the numbers and the nearest setting that does.
    """
    for resource, each, have in (("CPU", cpus_per_trial, cluster.cpus), ("GPU", gpus_per_trial, cluster.gpus)):
        largest = have if cluster.largest_node is None else cluster.largest_node[resource]
        who = "trial" if workers_per_trial == 1 else "worker"
        if each > largest + 1e-9:
            raise ResourceError(
                f"a {who} with {each:g} {resource} fits on no node; the largest has {largest:g}. Nothing was started; "
                f"use --{resource.lower()}s-per-trial {largest:g} or a larger machine."
            )
    slots = _workers_that_fit(cluster, cpus=cpus_per_trial, gpus=gpus_per_trial)
    if slots >= trials_at_once * workers_per_trial:
        return
    if slots >= workers_per_trial:
        nearest = f"--max-concurrent-trials {slots // workers_per_trial}"
    else:
        nearest = f"--max-concurrent-trials 1 --workers-per-trial {slots}"
    wanted = trials_at_once * workers_per_trial
    needs = {"CPU": (wanted * cpus_per_trial, cluster.cpus), "GPU": (wanted * gpus_per_trial, cluster.gpus)}
    short = [name for name, (need, have) in needs.items() if need > have + 1e-9] or ["CPU", "GPU"]
    shares = {"CPU": cpus_per_trial, "GPU": gpus_per_trial}
    workers = "" if workers_per_trial == 1 else f" of {workers_per_trial} workers"
    shortages = [
        f"with {shares[name]:g} {name} each need {needs[name][0]:g} {name}; there are {needs[name][1]:g}"
        for name in short
        if shares[name] > 0
    ]
    grown = " once its autoscaler has added all it may" if cluster.largest_node is None and not cluster.is_own else ""
    scattered = f", on nodes that hold {slots} such workers" if len(cluster.nodes) > 1 else ""
    raise ResourceError(
        f"{trials_at_once} trials at once{workers} {' and '.join(shortages)}{scattered}{grown}. Nothing was started; "
        f"use {nearest}."
    )


def trials_that_fit(cluster: ClusterSize, *, cpus: float, gpus: float, workers: int = 1) -> int:
    """The number of trials that can run at once, given the workers per trial and the CPUs and GPUs per worker."""
    return _workers_that_fit(cluster, cpus=cpus, gpus=gpus) // workers


def _workers_that_fit(cluster: ClusterSize, *, cpus: float, gpus: float) -> int:
    whole = {"CPU": cluster.cpus, "GPU": cluster.gpus}
    # A worker must be on one node. If nodes may be added, their sizes are unknown and only the total counts.
    nodes = cluster.nodes if cluster.nodes and cluster.largest_node is not None else (whole,)
    shares = {name: each for name, each in (("CPU", cpus), ("GPU", gpus)) if each > 0}
    return sum(min((int((node.get(n, 0.0) + 1e-9) / each) for n, each in shares.items()), default=0) for node in nodes)


def _knock(address: str) -> None:
    """Raise OSError immediately if nothing listens at host:port; Ray itself would retry for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _without_user(address: str) -> str:
    """An address of Ray, which need not begin with a scheme, without a name and a password."""
    scheme, slashes, rest = address.rpartition("://")
    _, at, host = rest.rpartition("@")
    return f"{scheme}{slashes}{HIDDEN}@{host}" if at else address


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
