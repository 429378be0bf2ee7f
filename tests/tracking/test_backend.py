import os

import pytest

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.tracking.backend import TrackingBackend


def test_without_the_variable_a_database_next_to_the_studies(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    backend = TrackingBackend.resolve(tmp_path)
    assert backend.uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert backend.artifact_root == tmp_path / "mlartifacts"
    assert backend.study_link("3", "abc") == (
        "http://127.0.0.1:5000/#/experiments/3/runs/abc?workflowType=machine_learning"
    )


def test_a_server_is_its_own_ui(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5001/")
    backend = TrackingBackend.resolve(tmp_path)
    assert backend.artifact_root is None
    assert backend.is_server
    assert backend.trials_link("3") == (
        "http://host:5001/#/experiments/3/runs?viewStateShareKey=trials&workflowType=machine_learning"
    )


def test_what_is_connected_to_is_not_the_next_one_s_default(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("one", "two"):
        backend = TrackingBackend.resolve(tmp_path / name)
        assert backend.uri == f"sqlite:///{tmp_path}/{name}/mlflow.db"
        backend.connect()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mine.db")
    TrackingBackend.resolve(tmp_path / "one").connect()
    assert TrackingBackend.resolve(tmp_path / "two").uri == f"sqlite:///{tmp_path}/mine.db"


def test_a_relative_database_is_resolved(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    assert TrackingBackend.resolve(tmp_path).uri == f"sqlite:///{tmp_path}/mine.db"


@pytest.mark.parametrize("uri", ["file:./mlruns", "./mlruns", "/somewhere/mlruns"])
def test_a_directory_is_refused_with_words(monkeypatch, tmp_path, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InvalidInputError, match="MLflow 3"):
        TrackingBackend.resolve(tmp_path)


def test_a_server_that_is_away_is_reported(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    backend = TrackingBackend(uri="http://127.0.0.1:9", artifact_root=None)
    with pytest.raises(StudyError, match=r"http://127.0.0.1:9.*MLFLOW_TRACKING_URI"):
        backend.connect()


@pytest.mark.parametrize("uri", ["sqlite:////proc/nope/mlflow.db", "nosuchdb://host/base"])
def test_a_database_that_cannot_be_opened_is_reported(uri, tmp_path):
    with pytest.raises(StudyError, match=f"{uri}"):
        TrackingBackend(uri=uri, artifact_root=tmp_path if uri.startswith("sqlite") else None).connect()


class TestPasswords:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch):
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)

    def test_of_a_server_go_to_the_variables_that_mlflow_has_for_them(self, monkeypatch, tmp_path):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:hunter%402@127.0.0.1:5077/x")
        backend = TrackingBackend.resolve(tmp_path)
        assert backend.uri == backend.shown == os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5077/x"
        assert os.environ["MLFLOW_TRACKING_USERNAME"] == "bob"
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "hunter@2"

    def test_of_the_variables_come_first(self, monkeypatch, tmp_path):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob@host")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "mine")
        assert TrackingBackend.resolve(tmp_path).uri == "http://host"
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "mine"

    @pytest.mark.parametrize("user", ["token", "bob:hun/ter"])
    def test_that_can_t_be_used_are_refused_unseen(self, monkeypatch, tmp_path, user):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{user}@host:5000")
        with pytest.raises(InvalidInputError, match=r"http://\*\*\*@host.*set MLFLOW_TRACKING_USERNAME") as error:
            TrackingBackend.resolve(tmp_path)
        assert user not in str(error.value)

    def test_of_a_database_are_not_shown(self, monkeypatch, tmp_path):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "nosuchdb://bob:hunter2@host/base")
        backend = TrackingBackend.resolve(tmp_path)
        assert backend.uri == "nosuchdb://bob:hunter2@host/base"
        assert backend.shown == "nosuchdb://***@host/base"
        assert backend.study_link("3", "abc").startswith("http://127.0.0.1:5000/#/")
        with pytest.raises(StudyError) as error:
            backend.connect()
        for text in (str(error.value), repr(backend), backend.trials_link("3")):
            assert "hunter2" not in text


def test_a_proxy_before_a_server_that_is_away_is_named(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://me:pw@127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "intranet")
    with pytest.raises(StudyError, match=r"HTTP_PROXY=http://\*\*\*@127.0.0.1:9\)") as error:
        TrackingBackend(uri="http://tracking.invalid:5000", artifact_root=None).connect()
    assert "NO_PROXY=intranet,127.0.0.1,localhost,tracking.invalid." in str(error.value)


def test_a_server_that_wants_a_password_says_so(monkeypatch):
    import mlflow

    def refused(*_, **__):
        raise mlflow.exceptions.MlflowException("API request failed with error code 401 != 200. Response body: 'no'")

    monkeypatch.setattr(mlflow.MlflowClient, "search_experiments", refused)
    backend = TrackingBackend(uri="http://127.0.0.1:9", artifact_root=None)
    with pytest.raises(StudyError, match="MLFLOW_TRACKING_USERNAME"):
        backend.connect()
