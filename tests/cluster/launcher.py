"""`cluster.yaml` as it is, on hosts of one machine: what can't hold offline is put in its place, and nothing else."""

import copy
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from hosts import Network
from ray.autoscaler._private.local.config import LOCAL_CLUSTER_NODE_TYPE, get_state_path
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    STATUS_UP_TO_DATE,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)
from searches import Search

#: An unused address. Of the user's own hosts Ray keeps as many nodes as there are addresses of workers, and its
#: autoscaler counts the head among them.
NOBODY = "10.0.0.99"

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300.0
#: Of a search: the defaults, which run to their end, and another.
TRIALS = 2

#: Ubuntu's: without input it gets no further. Then what Ray's provider for AWS would hand to `ray start`: a node's
#: resources as the file has them. The provider for hosts of one's own leaves them to Ray, which counts this machine's.
BASHRC = """case $- in
    *i*) ;;
      *) return;;
esac
export RAY_OVERRIDE_RESOURCES='{resources}'
"""

#: In the place of uv, which would fetch an interpreter and packages: the environment is there, and so is this copy.
UV = """#!/bin/sh
case "$*" in
"pip install --python $HOME/venv/bin/python -c constraints.txt -e .[cluster]")
    echo "export PYTHONPATH=$PWD/platform" >> ~/sceneshift-env.sh;;
*) echo "uv $*: not expected" >&2; exit 1;;
esac
"""

#: Waits on the head until Ray has the given number of nodes alive, and prints each one's address and resources.
WAIT_FOR_NODES = """
import json, sys, time
import ray
ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
wanted, until = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
while True:
    nodes = {node["NodeManagerAddress"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
    if len(nodes) == wanted or time.monotonic() > until:
        break
    time.sleep(0.5)
print("nodes: " + json.dumps(nodes))
"""


def furnish(name: str, home: Path) -> None:
    """Put into a host's home what a machine image and the internet would have given it.

    The head has no CPU for trials, as the file's comment proposes, so all of them run on workers.
    """
    resources = {"CPU": 0 if name == "head" else 1}
    (home / ".bashrc").write_text(BASHRC.format(resources=json.dumps(resources)))
    (home / "venv").symlink_to(sys.prefix)
    uv = home / ".local" / "bin" / "uv"
    uv.parent.mkdir(parents=True)
    uv.write_text(UV)
    uv.chmod(0o755)


def read_cluster_yaml() -> dict[str, Any]:
    """The repository's file as it is."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    return config


def on_own_hosts(config: dict[str, Any], *, head: str, workers: list[str], key: Path, storage: Path) -> dict[str, Any]:
    """The file with addresses in place of a cloud, a key, and a directory that all hosts see in place of S3."""
    config = copy.deepcopy(config)
    config["provider"] = {
        "type": "local",
        "head_ip": head,
        "worker_ips": [*workers, NOBODY],
    }
    config["auth"]["ssh_private_key"] = str(key)
    config["max_workers"] = len(workers) + 1
    # Ray makes one node type of its own of the addresses, and takes no other.
    del config["head_node_type"], config["available_node_types"]
    (place,) = [n for n, command in enumerate(config["head_setup_commands"]) if "s3://" in command]
    command = config["head_setup_commands"][place]
    config["head_setup_commands"][place] = re.sub(r"s3://[\w/-]+", storage.as_uri(), command)
    return config


class Cluster:
    """The file's cluster on a network's hosts, commanded from its first host as from a user's computer.

    Args:
        network: With a host `head`; the others are workers.
        log: Where the commands print.
    """

    def __init__(self, network: Network, *, log: Path) -> None:
        self.network, self.log = network, log
        self.head = network.hosts["head"]
        self.workers = [host for host in network.hosts.values() if host is not self.head]
        self.storage = network.root / "storage"
        self.storage.mkdir()
        self._file = network.root / "cluster.yaml"
        config = on_own_hosts(
            read_cluster_yaml(),
            head=self.head.address,
            workers=[worker.address for worker in self.workers],
            key=network.key,
            storage=self.storage,
        )
        self._file.write_text(yaml.safe_dump(config, sort_keys=False))
        self._tell_the_head_that_it_is_there(config["cluster_name"])

    def _tell_the_head_that_it_is_there(self, cluster_name: str) -> None:
        # A cloud reports which machines run. Ray's provider for the user's own hosts reads that in a file, each
        # computer its own, and Ray 2.60's autoscaler (its earlier one did) writes no head into the head's: it then
        # waits for a head for ever, and launches no worker.
        tags = {
            TAG_RAY_NODE_KIND: NODE_KIND_HEAD,
            TAG_RAY_USER_NODE_TYPE: LOCAL_CLUSTER_NODE_TYPE,
            TAG_RAY_NODE_NAME: f"ray-{cluster_name}-head",
            TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE,
        }
        file = self.head.disk / get_state_path(cluster_name).lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({self.head.address: {"tags": tags, "state": "running"}}))

    def start(self, verb: str, *words: str, log: Path | None = None) -> "subprocess.Popen[bytes]":
        """Begin `ray VERB cluster.yaml …`, typed in the repository's root."""
        env = {"HOME": str(self.network.home), "PATH": f"{sys.prefix}/bin:/usr/bin:/bin"}
        env |= {"RAY_USAGE_STATS_ENABLED": "0"}
        with (log or self.log).open("ab") as output:
            return subprocess.Popen(
                self.network.user.enter("env", "-C", ROOT, "ray", verb, self._file, *words),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self, verb: str, *words: str) -> None:
        """Run it to its end.

        Raises:
            RuntimeError: It failed.
        """
        process = self.start(verb, *words)
        try:
            status = process.wait(PATIENCE_S)
        finally:
            process.kill()
        if status != 0:
            raise RuntimeError(f"ray {verb}: status {status}; see {self.log}\n{self.log.read_text()[-4000:]}")

    def on_head(self, program: str, *words: str, **env: str) -> str:
        """What a Python program prints on the head, in the environment of a user's programs there."""
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in env.items())
        command = f". ~/sceneshift-env.sh; cd ~; {settings} exec python - {shlex.join(words)}"
        done = subprocess.run(
            self.head.enter("bash", "-c", command),
            env={"HOME": str(self.network.home), "PATH": "/usr/bin:/bin"},
            input=program,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"on the head: status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def wait_for_nodes(self, count: int) -> dict[str, dict[str, float]]:
        """Wait until so many nodes are alive, the head among them; resources by address."""
        printed = self.on_head(WAIT_FOR_NODES, str(count), str(PATIENCE_S - 60))
        (line,) = [line for line in printed.splitlines() if line.startswith("nodes: ")]
        nodes: dict[str, dict[str, float]] = json.loads(line.removeprefix("nodes: "))
        return nodes


class ClusterSearch(Search):
    """Chaos' search, begun by `ray exec` as docs/cluster.md describes; its trial store is on the head."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        log = cluster.network.root / f"{name}.log"
        storage = cluster.head.home / "sceneshift" / "results"
        super().__init__(storage, name, log=log, flags=("--num-samples", str(TRIALS)))

    @property
    def checkpoints(self) -> Path:
        return self._cluster.storage / "results" / self.name

    def start(self) -> None:
        words = " ".join(self.words("$SCENESHIFT_STORAGE/results"))
        command = f"cd ~/sceneshift && CHAOS_SPACE=$HOME/chaos/space.py python ~/chaos/study.py {words}"
        self.process = self._cluster.start("exec", command, log=self.log)
