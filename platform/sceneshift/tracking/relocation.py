"""MLflow's SQLite file in a folder that was moved or copied.

MLflow keeps the place of every run's files as an absolute path. Here those files are always in a folder next to the
database, so their place follows from its own.
"""

import atexit
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: The columns of MLflow's tables with places of files.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def relocate(database: Path, artifact_root: Path) -> None:
    """Let a database's runs and models have their files below a folder, if they had them below another of that name.

    Args:
        database: MLflow's SQLite file.
        artifact_root: The folder; that of each experiment is in it, under the experiment's name.

    Raises:
        sqlite3.Error: The database can't be written.
    """
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        found = connection.execute("SELECT name, artifact_location FROM experiments").fetchall()
        moved = {
            above: kept
            for name, location in found
            if (kept := _as_path(location or "")).is_absolute() and kept.parts[-2:] == (artifact_root.name, name)
            for above in [location.rstrip("/").rpartition("/")[0]]
            if kept.parent != artifact_root
        }
        if not moved:
            return
        with connection:
            for before in moved:
                for table, column in _PLACES:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (str(artifact_root), len(before) + 1, len(before) + 1, f"{before}/"),
                    )


def is_writable(database: Path) -> bool:
    """Whether SQLite can write a file: it makes others next to it."""
    return os.access(database, os.W_OK) and os.access(database.parent, os.W_OK)


def readable_copy(database: Path) -> Path:
    """A copy of a database in a temporary folder, which is removed when the process ends.

    Raises:
        sqlite3.Error: It can't be read.
    """
    folder = Path(tempfile.mkdtemp(prefix="sceneshift-mlflow-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = folder / database.name
    # Immutable: SQLite would otherwise make files next to a database that was open when it was copied.
    with (
        closing(sqlite3.connect(f"{database.absolute().as_uri()}?immutable=1", uri=True)) as original,
        closing(sqlite3.connect(copy)) as made,
    ):
        original.backup(made)
    return copy


def _as_path(location: str) -> Path:
    """The local path that a location is; a relative one if it is a URI of something else."""
    return Path(unquote(urlsplit(location).path) if location.startswith("file:") else location)
