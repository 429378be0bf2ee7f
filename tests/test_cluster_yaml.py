"""cluster.yaml, checked without a cloud: Ray's own validation, and its commands run in bash with replaced programs.

What Ray passes on to AWS unread (`node_config`) and what only a machine can show (the image, the driver, the network)
stays unchecked here.
"""

import fnmatch
import re
import shlex
import shutil
import socket
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parent.parent
CLUSTER_YAML = ROOT / "cluster.yaml"
GPU_FAMILIES = re.compile(r"(p|g|gr|trn|inf)\d")
UBUNTU_BASHRC = "case $- in\n    *i*) ;;\n      *) return;;\nesac\n"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("checking cluster.yaml opened a network connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def raw():
    return yaml.safe_load(CLUSTER_YAML.read_text(encoding="utf-8"))


@pytest.fixture
def config(raw):
    return prepare_config(raw)


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;#]+)\s*(?:#.*)?", line.strip()) for line in lines]
    return {match[1].lower(): match[2] for match in found if match}


def commands(config, node):
    """Everything Ray runs on a node of this kind, in order."""
    return config[f"{node}_setup_commands"] + config[f"{node}_start_ray_commands"]


def only(commands_, part):
    (found,) = [command for command in commands_ if part in command]
    return found


# ------------------------------------------------------------------------------------------------- Ray's validation


def test_ray_accepts_the_file(config):
    assert validate_config(config) is None


@pytest.mark.parametrize(
    "where", [(), ("auth",), ("available_node_types", "head"), ("available_node_types", "gpu_worker")]
)
def test_an_unknown_key_is_refused(raw, where):
    part = raw
    for key in where:
        part = part[key]
    part["gpu_budget"] = 3
    with pytest.raises(jsonschema.ValidationError, match="gpu_budget"):
        validate_config(prepare_config(raw))


def test_a_head_node_type_that_does_not_exist_is_refused(raw):
    raw["head_node_type"] = "hed"
    with pytest.raises(ValueError, match="head_node_type"):
        validate_config(prepare_config(raw))


def test_more_minimum_workers_than_allowed_is_refused(raw):
    raw["available_node_types"]["gpu_worker"]["min_workers"] = raw["max_workers"] + 1
    with pytest.raises(ValueError, match="max_workers"):
        validate_config(prepare_config(raw))


# ------------------------------------------------------------------------------------------------------- the machines


def test_the_head_has_no_gpu_and_is_the_only_one_of_its_kind(config):
    head = config["available_node_types"][config["head_node_type"]]
    assert not GPU_FAMILIES.match(head["node_config"]["InstanceType"])
    assert head["resources"].get("GPU", 0) == 0
    assert head["max_workers"] == 0


def test_gpu_workers_scale_from_none_to_the_limit_in_the_block(config):
    types = config["available_node_types"]
    workers = [node for name, node in types.items() if name != config["head_node_type"]]
    assert workers
    for worker in workers:
        assert GPU_FAMILIES.match(worker["node_config"]["InstanceType"])
        assert (worker["min_workers"], worker["max_workers"]) == (0, config["max_workers"])
    assert config["max_workers"] > 0


def test_ray_down_leaves_nothing_that_costs(config):
    assert config["provider"]["cache_stopped_nodes"] is False
    for node in config["available_node_types"].values():
        for disk in node["node_config"]["BlockDeviceMappings"]:
            assert disk["Ebs"]["DeleteOnTermination"] is True


def test_every_node_may_write_to_the_bucket(config):
    for node in config["available_node_types"].values():
        assert node["node_config"]["IamInstanceProfile"]["Name"]


def test_what_a_user_changes_is_in_one_block(config):
    text = CLUSTER_YAML.read_text(encoding="utf-8")
    assert text.index("CHANGE THIS BLOCK") < text.index("\ncluster_name:") < text.index("END OF THE BLOCK")
    below = text.split("END OF THE BLOCK")[1]
    theirs = ["CHANGE-ME", "ami-", "s3://", "KeyName", "ssh_private_key", config["provider"]["region"]]
    for node in config["available_node_types"].values():
        theirs += [node["node_config"]["InstanceType"], node["node_config"]["IamInstanceProfile"]["Name"]]
    assert [word for word in theirs if word in below] == []


# -------------------------------------------------------------------------------------------------------- what travels


def test_what_is_mounted_exists(config):
    assert [local for local in config["file_mounts"].values() if not (ROOT / local).exists()] == []


def test_git_the_environment_and_results_do_not_travel(config):
    for local in config["file_mounts"].values():
        path = (ROOT / local).resolve()
        assert path != ROOT
        assert ROOT in path.parents
        assert path.name not in {".git", ".venv", "results", "mlruns"}


def test_the_package_is_complete_on_the_other_side(config):
    mounted = {str(Path(local)) for local in config["file_mounts"].values()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    readme = project.get("readme", "README.md")
    needed = {"platform", "experiments", "search_spaces", "pyproject.toml", "constraints.txt"}
    needed |= {readme if isinstance(readme, str) else readme["file"], *project.get("license-files", [])}
    assert needed <= mounted


def test_excludes_hide_neither_source_files_nor_the_mlflow_database(config):
    sources = [path.relative_to(ROOT) for path in (ROOT / "platform").rglob("*.py") if "__pycache__" not in path.parts]
    assert sources
    hidden = [
        path
        for path in [*sources, Path("mlflow/mlflow.db"), Path(".ray/auth_token")]
        for pattern in config["rsync_exclude"]
        if any(fnmatch.fnmatch(part, pattern) for part in path.parts)
    ]
    assert hidden == []


# ---------------------------------------------------------------------------------------------------- what is installed


@pytest.mark.parametrize("node", ["head", "worker"])
def test_every_node_installs_this_copy_at_the_pinned_versions(config, pins, node):
    words = shlex.split(only(commands(config, node), "pip install"))
    assert words[words.index("-c") + 1] == "constraints.txt"
    assert words[words.index("-e") + 1] == ".[cluster]"
    assert words[:2] == ["cd", str(Path("~/sceneshift"))]
    assert config["file_mounts"]["~/sceneshift/constraints.txt"] == "./constraints.txt"
    assert not [word for word in words if "==" in word], "versions belong in constraints.txt"
    assert pins["torch"] == "2.13.0"


def test_the_cluster_extra_brings_boto3():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(re.match(r"boto3\b", requirement) for requirement in extras["cluster"])


@pytest.mark.parametrize("node", ["head", "worker"])
def test_every_node_checks_for_the_pinned_ray(config, pins, node):
    check = only(commands(config, node), "assert ray.__version__")
    assert re.findall(r'ray\.__version__ == "([^"]+)"', check) == [pins["ray"]]


def test_no_other_version_of_ray_is_named(pins):
    text = CLUSTER_YAML.read_text(encoding="utf-8")
    named = re.findall(r"(?:rayproject/ray:|\bray(?:\[[\w,]+\])?==)([0-9.]+[0-9])", text)
    named += re.findall(r"\bRay (\d+\.\d+)", text)
    assert named
    assert all(pins["ray"] == version or pins["ray"].startswith(version + ".") for version in named)


@pytest.mark.parametrize("node", ["head", "worker"])
def test_every_node_has_the_same_python(config, node):
    words = shlex.split(only(commands(config, node), "uv venv"))
    assert words[words.index("--python") + 1] == "3.11"
    assert "sys.version_info[:2] == (3, 11)" in only(commands(config, node), "assert sys.version_info")


# ------------------------------------------------------------------------------------------- the commands, run in bash


class Node:
    """A home directory in which the file's commands run, with replacements for `ray`, `mlflow`, `curl` and `sleep`."""

    def __init__(self, home, config, kind):
        self.home, self.config, self.kind = home, config, kind
        self.bin = home / "venv" / "bin"
        self.bin.mkdir(parents=True)
        (home / ".bashrc").write_text(UBUNTU_BASHRC, encoding="utf-8")
        self.stand_in("ray", 'echo "$@" >> ~/ray.args; env > ~/ray.env')
        self.stand_in("mlflow", 'echo "$@" >> ~/mlflow.args')
        self.stand_in("curl", "test -s ~/mlflow.args")
        self.stand_in("sleep", "/bin/sleep 0.05")

    def stand_in(self, name, body):
        (self.bin / name).write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def run(self, command, **env):
        # What Ray's login shell and its updater export before every command.
        theirs = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "RAY_USAGE_STATS_ENABLED": "1"}
        base = {"HOME": str(self.home), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            ["/bin/bash", "-c", f"({command})"],
            env=base | theirs | env,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def set_up(self):
        for command in self.config[f"{self.kind}_setup_commands"]:
            if not re.search(r"\buv\b|venv/bin/python", command):
                done = self.run(command)
                assert done.returncode == 0, done.stderr

    def env(self):
        """The environment of a program started over ssh in a shell without input."""
        return self.parse(self.run(". ~/.bashrc; /usr/bin/env").stdout)

    def ray_env(self):
        return self.parse((self.home / "ray.env").read_text(encoding="utf-8"))

    @staticmethod
    def parse(text):
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


@pytest.fixture(params=["head", "worker"])
def node(request, tmp_path, config):
    node = Node(tmp_path, config, request.param)
    node.set_up()
    return node


@pytest.fixture
def head(tmp_path, config):
    if not shutil.which("setsid"):
        pytest.skip("setsid is a Linux command")
    head = Node(tmp_path, config, "head")
    head.set_up()
    return head


def test_environment_of_every_node(node):
    env = node.env()
    expected = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MALLOC_MMAP_THRESHOLD_": "1073741824",
        "MALLOC_TRIM_THRESHOLD_": "2147483647",
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "token",
    }
    assert {name: env.get(name) for name in expected} == expected
    assert env["PATH"].split(":")[0] == f"{node.home}/venv/bin"


def test_only_programs_on_the_head_are_reported_the_addresses(node):
    env = node.env()
    found = {name: env.get(name) for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")}
    if node.kind == "head":
        assert found == {"RAY_ADDRESS": "auto", "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}
        assert env["SCENESHIFT_STORAGE"].startswith("s3://")
    else:
        assert found == {"RAY_ADDRESS": None, "MLFLOW_TRACKING_URI": None}


def test_a_second_set_up_changes_nothing(node):
    before = node.env(), (node.home / ".bashrc").read_text(encoding="utf-8")
    node.set_up()
    assert (node.env(), (node.home / ".bashrc").read_text(encoding="utf-8")) == before


def test_ray_starts_without_what_its_login_shell_exports(node):
    start = only(node.config[f"{node.kind}_start_ray_commands"], "ray start")
    done = node.run(start, RAY_HEAD_IP="10.0.0.7")
    assert done.returncode == 0, done.stderr
    env = node.ray_env()
    assert not {"OMP_NUM_THREADS", "PYTHONWARNINGS", "RAY_ADDRESS"} & env.keys()
    assert env["RAY_USAGE_STATS_ENABLED"] == "0"
    args = (node.home / "ray.args").read_text(encoding="utf-8").split()
    if node.kind == "head":
        assert "--dashboard-host=127.0.0.1" in args
        assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in args
    else:
        assert "--address=10.0.0.7:6379" in args


def test_the_head_makes_the_token_that_the_workers_get(head):
    assert "get-auth-token --generate" in (head.home / "ray.args").read_text(encoding="utf-8")
    assert head.config["cluster_synced_files"] == ["~/.ray/auth_token"]


def test_mlflow_listens_on_loopback_only(head):
    done = head.run(only(head.config["head_start_ray_commands"], "mlflow server"))
    assert done.returncode == 0, done.stderr
    args = (head.home / "mlflow.args").read_text(encoding="utf-8").split()
    options = dict(zip(args[1::2], args[2::2], strict=True))
    assert args[0] == "server"
    assert (options["--host"], options["--port"]) == ("127.0.0.1", "5000")
    assert options["--backend-store-uri"] == f"sqlite:///{head.home}/mlflow/mlflow.db"
    assert options["--artifacts-destination"] == f"{head.env()['SCENESHIFT_STORAGE']}/mlflow"
    assert head.env()["MLFLOW_TRACKING_URI"] == f"http://{options['--host']}:{options['--port']}"


def test_a_running_mlflow_is_not_started_again(head):
    start = only(head.config["head_start_ray_commands"], "mlflow server")
    for _ in range(2):
        assert head.run(f"trap wait EXIT; {start}").returncode == 0  # wait: or a second server would count too late
    assert len((head.home / "mlflow.args").read_text(encoding="utf-8").splitlines()) == 1


def test_an_mlflow_that_does_not_come_up_ends_ray_up_with_its_log(head):
    head.stand_in("mlflow", "echo 'database is locked'")
    head.stand_in("curl", "exit 7")
    head.stand_in("sleep", "/bin/sleep 0.01")
    done = head.run(only(head.config["head_start_ray_commands"], "mlflow server"))
    assert done.returncode == 1
    assert "database is locked" in done.stdout


def test_mlflow_answers_before_ray_starts(config):
    start = config["head_start_ray_commands"]
    assert start.index(only(start, "mlflow server")) < start.index(only(start, "ray start"))
