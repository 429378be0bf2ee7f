"""Stored scenes on their way to Ray's workers: as paths within one node, whole to a node that can't see the file."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sceneshift.execution.cluster import ray_cluster
from sceneshift.execution.ray_tune import put_scenes
from sceneshift.files.arrow_scenes import open_scene, write_scene
from sceneshift.scenes.scene import Scene
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import everything_split

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc"),
]

CUBE = (256, 256, 256)  # 64 MB

#: A worker's own memory for opening and reading sources: what Python imports for it, and no cube.
MOST_OWN = 32 * 2**20


def make_probe():
    """A trial function that reads all of its sources and returns where their memory is."""

    # Within a function, so that it travels to the workers by value.
    def probe(config, sources):
        import re
        from pathlib import Path

        import numpy as np
        import ray

        def anonymous():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

        def mapped_from(address):
            """The file of the mapping an address is in, and how much of the mapping is this process' own."""
            name, found, own = "", False, 0
            for line in Path("/proc/self/smaps").read_text().splitlines():
                if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
                    found = int(bounds[1], 16) <= address < int(bounds[2], 16)
                    name = line.split(maxsplit=5)[5] if found and len(line.split(maxsplit=5)) > 5 else name
                elif found and line.startswith("Anonymous:"):
                    own = 1024 * int(line.split()[1])
            return name, own

        before, got = anonymous(), []
        for source in ray.get(sources):
            cube = source.scene.cube
            total = sum(float(row.sum(dtype=np.float64)) for row in cube)
            name, own = mapped_from(cube.ctypes.data)
            got.append({"sum": total, "file": name, "own": own, "labelled": int((source.scene.labels > 0).sum())})
        node = ray.get_runtime_context().get_node_id()
        return {"sources": got, "node": node, "anonymous": anonymous() - before}

    return probe


@pytest.fixture
def path(tmp_path: Path) -> Path:
    cube = np.random.default_rng(0).random(CUBE, dtype=np.float32)
    labels = np.ones(CUBE[:2], dtype=int)
    labels[::2] = 2
    write_scene(Scene(name="s", cube=cube, labels=labels, class_names=("a", "b")), tmp_path / "s.arrow")
    return tmp_path / "s.arrow"


def domain(scene: Scene) -> SourceDomain:
    return SourceDomain(pair_name="p", scene=scene, split=everything_split(scene, patch_size=3))


def total_of(cube: np.ndarray) -> float:
    return sum(float(row.sum(dtype=np.float64)) for row in cube)


def test_on_one_node_workers_read_the_file_s_own_pages(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    opened = open_scene(path)
    relabelled = replace(opened, labels=np.where(np.arange(CUBE[0])[:, None] < 9, opened.labels, 0))
    cut = Scene(name="cut", cube=opened.cube[100:, ::2], labels=opened.labels[100:, ::2], class_names=("a", "b"))
    scenes = [opened, relabelled, cut]
    with ray_cluster(num_cpus=1) as cluster:
        assert cluster.stays_one_node
        references = put_scenes([domain(scene) for scene in scenes], by_path=True)
        found = ray.get(ray.remote(num_cpus=1)(make_probe()).remote({}, references))
    assert [source["sum"] for source in found["sources"]] == [total_of(scene.cube) for scene in scenes]
    assert [source["labelled"] for source in found["sources"]] == [256 * 256, 9 * 256, 156 * 128]
    assert {source["file"] for source in found["sources"]} == {str(path)}
    assert {source["own"] for source in found["sources"]} == {0}
    assert found["anonymous"] < MOST_OWN


def test_to_a_second_node_they_are_sent_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray.cluster_utils import Cluster

    opened = open_scene(path)
    # Of a port that another Ray has, Ray's test leaves a socket open.
    without_dashboard = {"include_dashboard": False, "dashboard_port": None}
    whole = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **without_dashboard})
    try:
        second = whole.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", whole.address)
        with ray_cluster() as cluster:
            assert (cluster.num_nodes, cluster.stays_one_node) == (2, False)
            references = put_scenes([domain(opened)], by_path=cluster.stays_one_node)
            os.rename(path, path.with_suffix(".hidden"))
            found = ray.get(ray.remote(num_cpus=1)(make_probe()).remote({}, references))
    finally:
        whole.shutdown()
    (source,) = found["sources"]
    assert found["node"] == second.node_id
    assert (source["sum"], source["labelled"]) == (total_of(opened.cube), 256 * 256)
    assert "plasma" in source["file"]  # the node's object store, which its workers share
    assert found["anonymous"] < MOST_OWN
