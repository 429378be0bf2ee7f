"""A start that fails before anything is trained leaves the name free: the same command works when all is mended."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sceneshift.commands.train import main as train_main
from sceneshift.commands.tune import main as tune_main
from sceneshift.errors import InvalidInputError, StorageError, StudyError
from sceneshift.execution.cluster import ClusterSize
from sceneshift.execution.local import LocalExecutor
from sceneshift.search.trial_store import TrialStore
from sceneshift.tracking.backend import TrackingBackend

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TRAIN = [
    *("--method", "s2vnet", "--scene", "indian_pines", "--split", "random", "--train-fraction", "0.02"),
    *("--patch-size", "5", "--batch-size", "256", "--epochs", "1", "--device", "cpu", "--run-name", "r"),
    *("--set", "width=16", "heads=2"),
]
TUNE = ["--smoke-test", "--experiment-name", "s"]


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make its tables: once, then copied."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    TrackingBackend(uri=f"sqlite:///{path}", artifact_root=path.parent / "artifacts").connect()
    return path


@pytest.fixture
def storage(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SCENESHIFT_DATA", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def command(storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a script in this process; returns its status and what it printed as errors."""

    def run(main: Callable[[], int], words: list[str]) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["script.py", *words, "--storage-path", str(storage)])
        return main(), capsys.readouterr().err

    return run


@pytest.fixture
def train(command) -> Callable[..., tuple[int, str]]:
    return lambda *more: command(lambda: train_main(), [*TRAIN, *more])


@pytest.fixture
def tune(command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """The search script on a cluster that is not there."""

    monkeypatch.setattr("sceneshift.execution.cluster.ray_cluster", without_ray)
    space = ROOT / "search_spaces" / "s2vnet.py"
    return lambda *more: command(lambda: tune_main("s2vnet", space), [*TUNE, *more])


def active_runs(storage: Path, experiment: str) -> list[str]:
    client = TrackingBackend.resolve(storage).connect()
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else [run.info.run_name for run in client.search_runs([found.experiment_id])]


def test_a_training_is_begun_again_when_mlflow_is_back_and_the_workers_fit(train, storage, monkeypatch) -> None:
    directory = storage / "training" / "r"
    # Nobody listens there.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    status, error = train()
    assert (status, directory.exists()) == (2, False)
    assert "127.0.0.1:9" in error

    # Reached, and then it fails.
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.tracking.MlflowClient.log_batch", fail_with(ConnectionError("gone")))
        status, error = train()
    assert (status, directory.exists()) == (2, False)
    assert "--resume" not in error

    # More workers than there is room for, which is known when Ray is there.
    with monkeypatch.context() as patch:
        patch.setattr("sceneshift.execution.cluster.ray_cluster", without_ray)
        status, error = train("--workers-per-trial", "3", "--threads", "1")
    assert (status, directory.exists()) == (2, False)
    assert "3 workers" in error
    assert "1 CPU" in error
    assert active_runs(storage, "training") == []

    with monkeypatch.context() as patch:
        patch.setattr("sceneshift.training.pair_run.find_method", fail_with(InvalidInputError("a setting is wrong")))
        status, _ = train()
    assert (status, directory.exists()) == (2, False)

    assert train() == (0, "")
    assert (directory / "report" / "summary.json").exists()
    assert active_runs(storage, "training") == ["r"]
    # What has been trained keeps its name.
    status, error = train()
    assert status == 2
    assert "run 'r'" in error
    assert (directory / "report" / "summary.json").exists()


def test_an_interrupted_start_of_a_training_keeps_its_name(train, storage, monkeypatch) -> None:
    monkeypatch.setattr(LocalExecutor, "run", fail_with(KeyboardInterrupt()))
    status, _ = train()
    assert status == 130
    assert (storage / "training" / "r" / "settings.json").exists()


@pytest.mark.parametrize("fails", [StudyError("full"), OSError(28, "full")])
def test_a_search_that_fails_before_its_first_trial_is_begun_again(tune, storage, monkeypatch, fails) -> None:
    monkeypatch.setattr("sceneshift.engine.searching.run_trials", fail_with(fails))
    for _ in range(2):
        status, error = tune()
        assert status == 2
        assert "full" in error
        assert "--resume" not in error
        assert not (storage / "s").exists()
        assert active_runs(storage, "s") == []


def test_a_search_is_begun_again_when_mlflow_is_back(tune, storage, monkeypatch) -> None:
    monkeypatch.setattr("sceneshift.engine.searching.run_trials", fail_with(StudyError("as far as that")))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "127.0.0.1:9" in tune()[1]
    assert not (storage / "s").exists()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.tracking.MlflowClient.log_param", fail_with(ConnectionError("gone")))
        status, error = tune()
    assert (status, (storage / "s").exists()) == (2, False)
    assert "'s' (gone)" in error
    assert "as far as that" in tune()[1]


def test_a_store_that_can_t_be_written_leaves_nothing(tune, storage, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(TrialStore, "create", fail_with(StorageError("no room")))
        status, _ = tune()
    assert (status, (storage / "s").exists()) == (2, False)


def test_a_search_with_a_trial_keeps_its_name_and_shows_how_to_resume(tune, storage, monkeypatch) -> None:
    def begin_and_fail(search, store: TrialStore, *_, **__):
        store.ask(lambda trial: {"x": trial.suggest_float("x", 0, 1)})
        raise StorageError("full")

    monkeypatch.setattr("sceneshift.engine.searching.run_trials", begin_and_fail)
    status, error = tune()
    assert status == 2
    assert "--resume" in error
    assert (storage / "s" / "optuna.db").exists()
    status, error = tune()
    assert "study 's'" in error
    # A resumed study is there, whatever comes of it.
    monkeypatch.setattr("sceneshift.engine.searching.run_trials", fail_with(StudyError("again")))
    assert "again" in tune("--resume")[1]
    assert (storage / "s" / "optuna.db").exists()


def fail_with(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@contextlib.contextmanager
def without_ray(*, dashboard: bool) -> Iterator[ClusterSize]:
    node = {"CPU": 2.0, "GPU": 0.0}
    yield ClusterSize(cpus=2.0, gpus=0.0, largest_node=node, num_nodes=1, is_own=True, address="here")
