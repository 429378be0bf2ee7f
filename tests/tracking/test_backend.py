import shlex
import sys
from pathlib import Path

import pytest

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.tracking.backend import TrackingBackend


def test_without_the_variable_a_database_beside_the_studies(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    backend = TrackingBackend.resolve(tmp_path)
    assert backend.uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert backend.artifact_root == tmp_path / "mlartifacts"
    command = (
        f"{sys.executable} -m mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlflow.db --host 127.0.0.1 --port 5000"
    )
    assert backend.ui_command() == f"MLFLOW_DISABLE_TELEMETRY=true {command}"
    assert backend.study_link("3", "abc") == (
        "http://127.0.0.1:5000/#/experiments/3/runs/abc?workflowType=machine_learning"
    )


def test_the_command_of_the_ui_is_quoted_for_a_shell(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    backend = TrackingBackend.resolve(Path("/data/it's here & there"))
    assert backend.uri in shlex.split(backend.ui_command())


def test_a_server_is_its_own_ui(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5001/")
    backend = TrackingBackend.resolve(tmp_path)
    assert backend.artifact_root is None
    assert "http://host:5001/" in backend.ui_command()
    assert backend.trials_link("3") == (
        "http://host:5001/#/experiments/3/runs?viewStateShareKey=trials&workflowType=machine_learning"
    )


def test_a_relative_database_is_resolved(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    assert TrackingBackend.resolve(tmp_path).uri == f"sqlite:///{tmp_path}/mine.db"


@pytest.mark.parametrize("uri", ["file:./mlruns", "./mlruns", "/somewhere/mlruns"])
def test_a_directory_is_refused_with_words(monkeypatch, tmp_path, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InvalidInputError, match="names a directory; MLflow 3 keeps records in a database"):
        TrackingBackend.resolve(tmp_path)


def test_a_server_that_is_away_is_told(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    backend = TrackingBackend(uri="http://127.0.0.1:9", artifact_root=None)
    with pytest.raises(StudyError, match=r"no MLflow at http://127.0.0.1:9 .* correct MLFLOW_TRACKING_URI"):
        backend.connect()


@pytest.mark.parametrize("uri", ["sqlite:////proc/nope/mlflow.db", "nosuchdb://host/base"])
def test_a_database_that_cannot_be_opened_is_told(uri, tmp_path):
    with pytest.raises(StudyError, match=f"no MLflow at {uri} "):
        TrackingBackend(uri=uri, artifact_root=tmp_path if uri.startswith("sqlite") else None).connect()


def test_a_server_that_wants_a_password_says_so(monkeypatch):
    import mlflow

    def refused(*_, **__):
        raise mlflow.exceptions.MlflowException("API request failed with error code 401 != 200. Response body: 'no'")

    monkeypatch.setattr(mlflow.MlflowClient, "search_experiments", refused)
    backend = TrackingBackend(uri="http://127.0.0.1:9", artifact_root=None)
    with pytest.raises(StudyError, match="wants a name and a password: set MLFLOW_TRACKING_USERNAME and"):
        backend.connect()
