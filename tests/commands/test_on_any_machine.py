"""Whole commands where something of the machine is unusual: a user without a name or a home, a password in an address.

Both are small trainings in processes of their own; the parts are tested in tests/test_own_folders.py,
tests/test_addresses.py and tests/tracking/test_backend.py.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sceneshift.files.arrow_scenes import write_scene
from sceneshift.scenes.scene import Scene

pytestmark = pytest.mark.slow

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture
def scene(tmp_path: Path, tiny_scene: Scene) -> Path:
    path = tmp_path / "tiny.arrow"
    write_scene(tiny_scene, path)
    return path


def training(scene: Path, storage: Path) -> list[str]:
    line = "--method cross_entropy --split random --patch-size 5 --epochs 1 --set width=8 --threads 1 --device cpu"
    return [str(EXPERIMENTS / "train.py"), *line.split(), "--scene", str(scene), "--storage-path", str(storage)]


@pytest.mark.parametrize("home", [pytest.param(None, marks=pytest.mark.long), "read-only"])
def test_a_user_nobody_knows_trains_and_predicts(
    in_container: Callable[..., subprocess.CompletedProcess[str]], scene: Path, tmp_path: Path, home: str | None
) -> None:
    (tmp_path / "read-only").mkdir()
    (tmp_path / "tmp").mkdir()
    environment = {"TMPDIR": str(tmp_path / "tmp")} | ({} if home is None else {"HOME": str(tmp_path / home)})
    read_only = [EXPERIMENTS, tmp_path / "read-only", Path(os.__file__).parent]
    storage = tmp_path / "results"
    done = in_container(*training(scene, storage), read_only=read_only, **environment)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    words = ["--model", "models:/cross_entropy-tiny@trained", "--scene", str(scene), "--storage-path", str(storage)]
    words += ["--out", str(tmp_path / "maps"), "--format", "npy", "--device", "cpu"]
    done = in_container(str(EXPERIMENTS / "predict.py"), *words, read_only=read_only, **environment)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "maps").glob("*.npy"))) == 1
    assert list((tmp_path / "read-only").iterdir()) == []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Host and port of an MLflow server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", address.partition(":")[2]]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 200
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/health", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < until, (tmp_path / "server.log").read_text()
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def test_a_password_in_an_address_is_neither_printed_nor_stored(server: str, scene: Path, tmp_path: Path) -> None:
    kept = {key: value for key, value in os.environ.items() if key not in ("SCENESHIFT_DATA", "NO_PROXY")}
    environment = {**kept, "MLFLOW_TRACKING_URI": f"http://bob:hunter2@{server}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *training(scene, tmp_path / "results")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert server in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.is_relative_to(tmp_path / "artifacts") for path in files)
    assert [path for path in files if b"hunter2" in path.read_bytes()] == []
