"""The epochs of a training on disk, one line each, from which missing MLflow records are written."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sceneshift.errors import StorageError


class JournalEntry(NamedTuple):
    """One epoch: when it was recorded, in milliseconds of Unix time, and its metrics."""

    at_ms: int
    metrics: dict[str, float]


class EpochJournal:
    """An append-only file of JSON lines.

    Args:
        path: The file; created with the first epoch.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: dict[int, JournalEntry] = {}
        if path.exists():
            for line in path.read_text(errors="replace").splitlines():
                try:
                    row = json.loads(line)
                    self.entries.setdefault(int(row["epoch"]), JournalEntry(int(row["at_ms"]), row["metrics"]))
                except (ValueError, KeyError, TypeError):
                    # The process ended in mid-line: the last epoch is recorded again when its training resumes.
                    continue

    def add(self, epoch: int, metrics: Mapping[str, float]) -> JournalEntry:
        """Append an epoch; if it is added twice, the first is kept.

        Raises:
            StorageError: The file can't be written.
        """
        if epoch not in self.entries:
            entry = JournalEntry(int(time.time() * 1000), dict(metrics))
            line = json.dumps({"epoch": epoch, "at_ms": entry.at_ms, "metrics": entry.metrics})
            try:
                with self._path.open("a") as file:
                    # Starts a new line even after a truncated one.
                    file.write(f"{line}\n" if file.tell() == 0 else f"\n{line}\n")
            except OSError as error:
                raise StorageError(f"{self._path} can't be written ({error}); nothing was overwritten.") from error
            self.entries[epoch] = entry
        return self.entries[epoch]
