"""`make ui` opens the right store, on this machine only. MLflow is replaced by a program that prints its arguments."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def make_ui(tmp_path):
    (tmp_path / "mlflow").write_text('#!/bin/sh\necho "mlflow $*"\n')
    (tmp_path / "python").write_text('#!/bin/sh\necho "python $*" >&2\n')
    for name in ("mlflow", "python"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".ready").touch()

    def run(*variables, uri=None):
        env = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "STORAGE", "UI_HOST", "UI_PORT")}
        if uri is not None:
            env["MLFLOW_TRACKING_URI"] = uri
        command = ["make", "-s", "ui", f"BIN={tmp_path}", f"READY={tmp_path / '.ready'}", *variables]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    return run


def test_a_storage_s_database_is_opened_on_loopback(make_ui, tmp_path):
    (tmp_path / "mlflow.db").touch()
    done = make_ui(f"STORAGE={tmp_path}")
    store = f"sqlite:///{tmp_path}/mlflow.db"
    assert done.stdout.strip() == f"mlflow ui --backend-store-uri {store} --host 127.0.0.1 --port 5000", done.stderr
    # Its runs may have been moved here with it.
    assert done.stderr.strip() == f"python -m sceneshift.commands.relocate {tmp_path}/mlflow.db"


def test_the_tracking_uri_comes_first_and_host_and_port_can_be_set(make_ui, tmp_path):
    store = f"sqlite:///{tmp_path}/mine.db"
    (tmp_path / "mine.db").touch()
    done = make_ui("STORAGE=elsewhere", "UI_HOST=0.0.0.0", "UI_PORT=6000", uri=store)
    assert done.stdout.strip() == f"mlflow ui --backend-store-uri {store} --host 0.0.0.0 --port 6000"


def test_a_server_is_not_started_again(make_ui):
    done = make_ui(uri="http://head:5000")
    assert done.returncode == 0
    assert done.stdout.strip() == "MLFLOW_TRACKING_URI is a server's address; its pages are at http://head:5000"


def test_a_server_s_password_is_not_shown(make_ui):
    done = make_ui(uri="https://bob:hun@ter2@head:5000/x")
    assert done.stdout.strip().endswith("its pages are at https://***@head:5000/x")
    assert "ter2" not in done.stdout + done.stderr


def test_without_a_study_no_empty_database_is_made(make_ui, tmp_path):
    done = make_ui(f"STORAGE={tmp_path}")
    assert done.returncode != 0
    assert f"there is no {tmp_path}/mlflow.db; run a search first" in done.stdout
    assert not (tmp_path / "mlflow.db").exists()
