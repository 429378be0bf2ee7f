"""What the tests of the cluster bring up is the repository's cluster.yaml but for what needs a cloud."""

import importlib
from pathlib import Path

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config


@pytest.fixture
def configs(modules, tmp_path):
    """The file as it is, and as it is brought up."""
    launcher = importlib.import_module("launcher")
    read = launcher.read_cluster_yaml()
    storage = tmp_path / "storage"
    made = launcher.on_own_hosts(read, head="10.0.0.2", workers=["10.0.0.3"], key=Path("/key"), storage=storage)
    return read, made


def test_only_what_needs_a_cloud_is_changed(configs, tmp_path):
    read, made = configs
    assert {key for key in read if read[key] != made.get(key)} == {
        *("provider", "auth", "max_workers", "available_node_types", "head_node_type", "head_setup_commands"),
    }
    assert made.keys() <= read.keys()
    assert made["auth"] == {**read["auth"], "ssh_private_key": "/key"}
    commands = zip(read["head_setup_commands"], made["head_setup_commands"], strict=True)
    (changed,) = [(before, after) for before, after in commands if before != after]
    assert changed[0].replace("s3://CHANGE-ME/sceneshift", f"file://{tmp_path}/storage") == changed[1]


def test_ray_accepts_it(configs):
    assert validate_config(prepare_config(configs[1])) is None
