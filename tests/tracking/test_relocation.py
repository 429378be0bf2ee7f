"""A results folder that was moved or copied: what MLflow has of it is what is next to its database."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from sceneshift.errors import StorageError
from sceneshift.tracking import relocation
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.relocation import readable_copy, relocate


def backend_of(folder: Path) -> TrackingBackend:
    return TrackingBackend(uri=f"sqlite:///{folder}/mlflow.db", artifact_root=folder / "mlartifacts")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A results folder with a run that has a file, and the run."""
    folder = tmp_path_factory.mktemp("it's % a") / "results"
    backend = backend_of(folder)
    client = backend.connect()
    run_id = str(client.create_run(backend.open_experiment(client, "studies")).info.run_id)
    client.log_text(run_id, "one", "report/one.txt")
    return folder, run_id


@pytest.fixture
def original(made: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """The same, where a test may write to it: a copy in a place of its own, as it was made there."""
    folder = tmp_path / "it's % a" / "results"
    shutil.copytree(made[0], folder)
    relocate(folder / "mlflow.db", folder / "mlartifacts")
    return folder, made[1]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def text_of(client, run_id: str, name: str) -> str:
    return Path(client.download_artifacts(run_id, f"report/{name}.txt")).read_text()


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_it_continues_where_it_is(original: tuple[Path, str], tmp_path: Path, how: str) -> None:
    before, run_id = original
    after = tmp_path / "elsewhere" / "results"
    (shutil.move if how == "moved" else shutil.copytree)(before, after)
    kept = files_of(before)
    backend = backend_of(after)
    client = backend.connect()
    assert text_of(client, run_id, "one") == "one"
    client.log_text(run_id, "two", "report/two.txt")
    assert list(after.rglob("two.txt")) == [after / "mlartifacts" / "studies" / run_id / "artifacts/report/two.txt"]
    new = client.create_run(backend.open_experiment(client, "studies")).info
    assert new.artifact_uri.startswith(str(after / "mlartifacts" / "studies"))
    assert files_of(before) == kept
    assert before.exists() is (how == "copied")


def test_where_it_was_made_nothing_is_written(original: tuple[Path, str]) -> None:
    folder, _ = original
    database = folder / "mlflow.db"
    kept = database.read_bytes()
    relocate(database, folder / "mlartifacts")
    assert database.read_bytes() == kept


def test_places_that_are_no_folder_next_to_the_database_are_left(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    rows = [
        ("of_a_user", "/data/kept"),
        ("Default", "mlflow-artifacts:/0"),
        ("bucket", "s3://bucket/mlartifacts/bucket"),
        ("studies", "/old/mlartifacts/studies"),
        ("as_uri", "file:///old%20one/mlartifacts/as_uri"),
        ("none", None),
    ]
    with closing(sqlite3.connect(database)) as made, made:
        made.execute("CREATE TABLE experiments (name, artifact_location)")
        made.executemany("INSERT INTO experiments VALUES (?, ?)", rows)
        for table, *columns in (
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "source", "storage_location"),
        ):
            made.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
        made.execute("INSERT INTO runs VALUES ('/old/mlartifacts/studies/1/artifacts'), ('/old/mlartifacts2/x')")
        made.execute("INSERT INTO model_versions VALUES ('models:/m-1', '/old/mlartifacts/studies/models/m-1')")
    relocate(database, tmp_path / "mlartifacts")
    here = tmp_path / "mlartifacts"
    with closing(sqlite3.connect(database)) as kept:
        assert kept.execute("SELECT * FROM experiments").fetchall() == [
            *rows[:3],
            ("studies", f"{here}/studies"),
            ("as_uri", f"{here}/as_uri"),
            ("none", None),
        ]
        assert kept.execute("SELECT * FROM runs").fetchall() == [
            (f"{here}/studies/1/artifacts",),
            ("/old/mlartifacts2/x",),
        ]
        assert kept.execute("SELECT * FROM model_versions").fetchall() == [
            ("models:/m-1", f"{here}/studies/models/m-1"),
        ]


def test_a_copy_that_can_t_be_written_is_read_as_it_is(
    original: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, run_id = original
    after = tmp_path / "read-only"
    shutil.copytree(before, after)
    shutil.rmtree(before)
    kept = files_of(after)
    monkeypatch.setattr("sceneshift.tracking.backend.is_writable", lambda database: False)
    client = backend_of(after).connect(reads_only=True)
    assert text_of(client, run_id, "one") == "one"
    assert client.get_run(run_id).info.artifact_uri.startswith(str(after))
    assert files_of(after) == kept
    with pytest.raises(StorageError, match="--storage-path"):
        backend_of(after).connect()


def test_a_user_who_may_not_write_is_noticed_and_can_copy(original: tuple[Path, str], as_nobody) -> None:
    folder, _ = original
    database = folder / "mlflow.db"
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)
    database.chmod(0o644)
    assert relocation.is_writable(database)
    if os.getuid() != 0:
        folder.chmod(0o555)
    with as_nobody():
        assert not relocation.is_writable(database)
        copy = readable_copy(database)
        assert copy.parent != folder
        assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
        with closing(sqlite3.connect(copy)) as read:
            assert ("studies",) in read.execute("SELECT name FROM experiments").fetchall()
    folder.chmod(0o755)
