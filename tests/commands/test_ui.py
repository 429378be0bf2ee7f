"""`sceneshift ui`: which store is served, where, and on which page it opens. MLflow's server is a stand-in."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sceneshift.commands import ui
from sceneshift.commands.ui import UiArgs, how_to_open, newest_page, run_ui
from sceneshift.errors import InvalidInputError
from sceneshift.tracking.backend import TrackingBackend


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The servers that were started."""
    found: list[Any] = []

    def start(words: list[str], *, env: dict[str, str], start_new_session: bool) -> Any:
        assert start_new_session
        found.append((words, env))
        answers = iter([False])
        monkeypatch.setattr(ui, "_answers", lambda *_: next(answers, True))
        ended: list[int] = []
        return SimpleNamespace(poll=lambda: ended[0] if ended else None, wait=lambda: ended.append(0) or 0)

    monkeypatch.setattr(ui, "_answers", lambda *_: False)
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(ui, "newest_page", lambda backend: "#/newest")
    return found


@pytest.fixture(autouse=True)
def no_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_folder_s_database_is_served_on_loopback(
    started: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlflow.db").touch()

    assert run_ui(UiArgs(storage_path=str(tmp_path))) == 0

    ((words, environment),) = started
    assert words == [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", "5000"]
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert "http://127.0.0.1:5000/#/newest" in capsys.readouterr().out


def test_the_tracking_uri_comes_first(started: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.db").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mine.db")

    assert run_ui(UiArgs(storage_path="elsewhere", host="0.0.0.0", port=6000)) == 0

    ((words, environment),) = started
    assert words[-4:] == ["--host", "0.0.0.0", "--port", "6000"]
    assert environment["MLFLOW_BACKEND_STORE_URI"].endswith("mine.db")


@pytest.mark.parametrize("uri", ["http://head:5000", "https://bob:hun@ter2@head:5000/x"])
def test_a_server_is_not_started_again_and_its_password_is_not_shown(
    uri: str, started: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")

    assert run_ui(UiArgs()) == 0

    shown = capsys.readouterr()
    assert "head:5000" in shown.out
    assert "ter2" not in shown.out + shown.err
    assert started == []


def test_without_a_study_no_empty_database_is_made(
    started: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_ui(UiArgs(storage_path=str(tmp_path))) == 2

    assert f"{tmp_path}/mlflow.db" in capsys.readouterr().err
    assert started == []
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        assert run_ui(UiArgs(storage_path=str(tmp_path), port=port)) == 2

    assert str(port) in capsys.readouterr().err
    with pytest.raises(InvalidInputError, match="70000"):
        UiArgs(port=70_000)


def test_the_newest_study_is_opened_or_the_newest_training(tmp_path: Path) -> None:
    backend = TrackingBackend(uri=f"sqlite:///{tmp_path}/mlflow.db", artifact_root=tmp_path / "mlartifacts")
    client = backend.connect()
    assert newest_page(backend) == ""

    first, second = (client.create_experiment(name) for name in ("first", "second"))
    training = client.create_run(second, start_time=5)
    assert newest_page(backend).startswith(f"#/experiments/{second}/runs/{training.info.run_id}")

    older, newer = (client.create_run(first, start_time=time, tags={"sceneshift.study": "parent"}) for time in (1, 2))
    assert newer.info.run_id in newest_page(backend)
    assert older.info.run_id not in newest_page(backend)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_with_the_command(number: signal.Signals, tmp_path: Path) -> None:
    """The server's stand-in starts a process of its own, as MLflow does; both are gone afterwards."""
    stand_in = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    script = f"""
import subprocess, sys
from pathlib import Path
from sceneshift.commands import ui
start = subprocess.Popen
def popen(words, **how):
    server = start([sys.executable, "-c", {stand_in!r}], **how)
    Path("group").write_text(str(server.pid))
    return server
subprocess.Popen = popen
ui.newest_page = lambda backend: ""
sys.exit(ui.run_ui(ui.UiArgs(storage_path=".", port=5998)))
"""
    (tmp_path / "mlflow.db").touch()
    command = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "group").exists() or not (group := (tmp_path / "group").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)  # the handler follows the start
    command.send_signal(number)
    assert command.wait(timeout=60) == 0
    deadline = time.monotonic() + 60
    while True:  # a process that has ended is in its group until it is reaped
        try:
            os.killpg(int(group), 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("on_path", [True, False])
def test_what_is_printed_at_the_end_of_a_study_serves_its_store(
    on_path: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin" / "sceneshift"
    script.parent.mkdir()
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.setenv("PATH", str(script.parent) if on_path else "/nowhere")
    storage = tmp_path / "it's here & there"
    words = shlex.split(how_to_open(TrackingBackend.resolve(storage), storage))
    assert words == ["sceneshift" if on_path else str(script), "ui", "--storage-path", str(storage)]


def test_of_a_server_the_address_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5001/")
    assert "http://host:5001/" in how_to_open(TrackingBackend.resolve(tmp_path), tmp_path)
