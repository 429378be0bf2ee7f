import shutil
import socket

import pytest

from sceneshift.search.trial_record import TrialRecord
from sceneshift.tracking.backend import TrackingBackend


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """MLflow takes seconds to make its tables: once, then copied."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    TrackingBackend(uri=f"sqlite:///{path}", artifact_root=path.parent / "artifacts").connect()
    return path


@pytest.fixture
def backend(tmp_path, empty_database):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return TrackingBackend(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", artifact_root=tmp_path / "artifacts")


@pytest.fixture
def make_record():
    """Builds a trial's record; two epochs are done by default."""

    def make(number=0, *, state="running", epochs=2, reason=""):
        values = {
            e: {"val/aa": e / 10, "train/a/ce": 1.0, "time/recorded_unix_s": 1000.0 + e} for e in range(1, epochs + 1)
        }
        return TrialRecord(
            number=number,
            state=state,
            params={"x": 1},
            config={"lr": 0.1, "flips": True},
            epochs=values,
            value=epochs / 10 if epochs else None,
            ended=None,
            reason=reason,
            weights={"a": "beef"},
            started_ms=1000,
            seconds=None,
        )

    return make


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
