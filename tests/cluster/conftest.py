"""A cluster for the tests, on hosts of this machine, and why there may be none."""

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TOOLS = ("curl", "ip", "nsenter", "rsync", "setpriv", "ssh", "ssh-keygen", "sshd", "unshare")


def why_not() -> str:
    """Why hosts can't be made here; empty where they can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "namespaces are made by root on Linux alone"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
    return f"needs {', '.join(missing)} (packages iproute2, openssh-server, rsync, util-linux)" if missing else ""


@pytest.fixture(scope="session")
def modules() -> Iterator[None]:
    """Makes chaos' modules and those next to this file importable."""
    here = Path(__file__).parent
    with pytest.MonkeyPatch.context() as patch:
        for folder in (here.parent / "chaos", here):
            patch.syspath_prepend(str(folder))
        yield


@pytest.fixture(scope="session")
def hosts_module(modules: None) -> Any:
    if reason := why_not():
        pytest.skip(reason)
    return importlib.import_module("hosts")


@pytest.fixture
def make_network(hosts_module: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Hosts of the names given, without anything on their disks; ended with the test."""
    networks = []

    def make(*names: str) -> Any:
        networks.append(hosts_module.Network(tmp_path, names, ssh_user="ubuntu", furnish=lambda name, home: None))
        return networks[-1].__enter__()

    yield make
    for network in networks:
        network.close()


@pytest.fixture(scope="session")
def brought_up(hosts_module: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The cluster of `cluster.yaml`, a head and three workers, brought up by `ray up` and given the search to run."""
    launcher = importlib.import_module("launcher")
    root = tmp_path_factory.mktemp("cluster")
    ssh_user = launcher.read_cluster_yaml()["auth"]["ssh_user"]
    names, shared = (
        ("head", "worker-1", "worker-2", "worker-3"),
        (launcher.ROOT, Path(sys.prefix), Path(sys.base_prefix)),
    )
    with hosts_module.Network(root, names, ssh_user=ssh_user, furnish=launcher.furnish, shared=shared) as network:
        cluster = launcher.Cluster(network, log=root / "ray.log")
        cluster.run("up", "--yes")
        cluster.run("rsync-up", "tests/chaos/", "~/chaos/")
        nodes = cluster.wait_for_nodes(4)
        assert len(nodes) == 4, f"alive: {nodes}"
        yield cluster
