"""One training of a comparison: what it is known by, and what it leaves."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sceneshift.errors import StudyError
from sceneshift.selection.candidates import Metrics
from sceneshift.studies.json_files import read_json, write_json
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.epoch_record import RecordFolder
from sceneshift.training.spec import TrainSpec
from sceneshift.training.target_classes import TargetClasses, TargetClassesFolder

#: The file that says that a training has ended; without it, the training is continued or begun again.
DONE = "done.json"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training. Several places of a comparison may share it.

    Args:
        pair: The pair.
        label: The method's label.
        configuration: Number of the configuration, 0-based.
        is_final: Whether it trains a chosen configuration on every field.
        seed: Seed of the final network, or the repeat.
        spec: What is trained.
        key: What it is known by (:func:`cell_key`).
    """

    pair: str
    label: str
    configuration: int
    is_final: bool
    seed: int
    spec: TrainSpec
    key: str

    @property
    def name(self) -> str:
        """Its name in messages."""
        kind = f"final network, seed {self.seed}" if self.is_final else "tuning"
        return f"{self.label} on {self.pair}, configuration {self.configuration}, {kind}"


def cell_key(spec: TrainSpec, *, data: Mapping[str, str], method_sources: str) -> str:
    """Hash of everything that decides what a training leaves, 16 hexadecimal digits; where files are is not part of it.

    Args:
        spec: What is trained.
        data: Hashes of scenes and splits, from :meth:`sceneshift.training.data.LoadedData.hashes`.
        method_sources: Hash of the method's own sources (:mod:`sceneshift.comparison.method_sources`).
    """
    placeless = replace(spec, data=replace(spec.data, data_dir=None, catalogue=None))
    values = {
        "training": placeless.key(),
        "recorded": [spec.evaluate_every, spec.record, spec.target_access, spec.maps_target],
        "data": dict(data),
        "method sources": method_sources,
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class CellOutcome:
    """How a training ended.

    Args:
        key: The training's key.
        epochs: Metrics by epoch; those of a training that diverged end before that.
        diverged: Why it ended early; None for one that ran to its end.
        code: Versions, commit and hash of the package's code.
    """

    key: str
    epochs: Mapping[int, Metrics]
    diverged: str | None
    code: Mapping[str, str]

    @property
    def seconds(self) -> float:
        """Seconds of all training steps, without evaluations."""
        return sum(metrics.get("time/steps_s", 0.0) for metrics in self.epochs.values())

    @property
    def wall_seconds(self) -> float:
        """Seconds of the training with evaluations, records and checkpoints."""
        parts = ("time/epoch_s", "time/writing_s", "time/checkpoint_s")
        return sum(metrics.get(part, 0.0) for metrics in self.epochs.values() for part in parts)


class CellStore:
    """The trainings of a comparison on disk, each in a folder that its key names.

    Args:
        folder: Their folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def location(self, key: str) -> str:
        """The folder of a training: its checkpoints while it trains, its record and its maps of the target."""
        return str(self.folder / key)

    def outcome(self, key: str) -> CellOutcome | None:
        """How a training ended; None if it hasn't.

        Raises:
            StudyError: Its file is damaged.
        """
        path = self.folder / key / DONE
        values = read_json(path, advice="delete its folder to train it again")
        if values is None:
            return None
        if values.get("key") != key:
            raise StudyError(f"{path} is of training {values.get('key')}; delete its folder to train it again.")
        return CellOutcome(
            key=key,
            epochs={int(epoch): metrics for epoch, metrics in values["epochs"].items()},
            diverged=values["diverged"],
            code=values["code"],
        )

    def maps(self, key: str) -> Mapping[tuple[str, int, bool], TargetClasses]:
        """The mapped targets of a training, by pair, epoch, and whether they are the running average's.

        Raises:
            StudyError: A file is damaged.
        """
        return TargetClassesFolder(self.location(key)).read()

    def finish(self, cell: Cell, *, diverged: str | None, code: Mapping[str, str]) -> CellOutcome:
        """Keep what a training has left, and say that it has ended. Its checkpoints are deleted.

        Args:
            cell: The training.
            diverged: Why it ended early; None if it ran to its end.
            code: Versions, commit and hash of the package's code.

        Raises:
            StudyError: Its last checkpoint is missing or damaged.
            StorageError: A file can't be written.
        """
        location = self.location(cell.key)
        found = CheckpointFolder(location).load_latest()
        if diverged is None and (found is None or found[0] < cell.spec.epochs):
            raise StudyError(
                f"{cell.name} has no checkpoint of its last epoch in {location}. On several machines the folder must "
                "be one that all of them share."
            )
        history: Mapping[int, Metrics] = {} if found is None else found[1]["history"]
        RecordFolder(location).compact()
        TargetClassesFolder(location).compact()
        outcome = CellOutcome(key=cell.key, epochs=history, diverged=diverged, code=code)
        values: dict[str, Any] = {
            "key": cell.key,
            "pair": cell.pair,
            "method": cell.spec.method,
            "spec": cell.spec.as_dict(),
            "diverged": diverged,
            "code": dict(code),
            "epochs": {str(epoch): dict(metrics) for epoch, metrics in history.items()},
        }
        write_json(self.folder / cell.key / DONE, values)
        for checkpoint in (self.folder / cell.key).glob("epoch_*.ckpt"):
            checkpoint.unlink()
        return outcome

    def forget(self, key: str) -> None:
        """Delete what a training has left."""
        shutil.rmtree(self.folder / key, ignore_errors=True)
