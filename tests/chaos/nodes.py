"""A cluster of one machine: a head without CPUs and two nodes. Told "replace", it kills the node that works."""

import sys

from sceneshift.execution.cluster import apply_ray_settings

apply_ray_settings()

import ray  # noqa: E402  # Ray reads its settings when it is imported
from ray.cluster_utils import Cluster  # noqa: E402


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": True})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    print(f"nodes: {cluster.address}", flush=True)
    ray.init(address=cluster.address, log_to_driver=False)
    for line in sys.stdin:
        if line.strip() == "replace":
            # One trial at a time: the node whose CPU is taken is the one that works.
            free = ray._private.state.available_resources_per_node()
            busy = [node for node in nodes if free.get(node.node_id, {}).get("CPU", 0.0) < 1.0]
            victim = (busy or nodes)[0]
            cluster.remove_node(victim, allow_graceful=False)
            nodes.remove(victim)
            nodes.append(cluster.add_node(num_cpus=1))
            print("nodes: replaced", flush=True)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
