"""Settings of a run, checked on resume."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import sceneshift
from sceneshift.errors import StorageError, StudyError, first_line
from sceneshift.training.resume_check import differences, plain, refuse_other_settings

#: A training's epochs, in its directory.
JOURNAL = "epochs.jsonl"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The settings of a run and the code and data it was run with, stored in ``settings.json``.

    Args:
        settings: The settings that must be the same on resume.
        origin: Hashes of the code and data of the last run.
        tracking: Where MLflow stores the run.
        changes: Descriptions of changes of code and data between runs.
    """

    settings: Mapping[str, Any]
    origin: Mapping[str, str]
    tracking: str | None
    changes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "RunRecord":
        """Read the record from a run's directory.

        Raises:
            StudyError: The file is damaged.
        """
        try:
            kept = json.loads(path.read_text())
            return cls(**{**kept, "changes": tuple(kept["changes"])})
        except (ValueError, KeyError, TypeError) as error:
            raise StudyError(
                f"{path} is damaged ({first_line(error)}): what the run began with is not known. Begin another by "
                "--run-name."
            ) from error

    def write(self, path: Path) -> None:
        """Write the record atomically."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self), indent=2))
        part.rename(path)


def open_run_directory(directory: Path, name: str, *, resume: bool, now: RunRecord) -> RunRecord:
    """Make a run's directory, or check that a resumed run is the same.

    Args:
        directory: The directory.
        name: The run's name.
        resume: Whether the run is resumed.
        now: The record of the run that begins or is resumed.

    Returns:
        The record it began with, and the changes of code and data since then.

    Raises:
        StudyError: The name is taken, there is nothing to resume, or the settings differ.
        StorageError: The directory can't be created.
    """
    path = directory / "settings.json"
    if not resume:
        try:
            directory.mkdir(parents=True)
        except FileExistsError as error:
            raise StudyError(
                f"a run {name!r} exists at {directory}; resume it by --resume, or choose another --run-name. "
                "Nothing was changed."
            ) from error
        except OSError as error:
            raise StorageError(f"{directory} can't be created ({first_line(error)}). Nothing was started.") from error
        try:
            now.write(path)
        except OSError as error:
            give_back(directory)
            raise StorageError(f"{path} can't be written ({first_line(error)}). Nothing was started.") from error
        return now
    if not path.exists():
        raise StudyError(f"no run {name!r} at {directory} to resume; leave --resume out to begin one.")
    before = RunRecord.read(path)
    if before.settings.get("format") != now.settings.get("format"):
        raise StudyError(
            f"run {name!r} was begun with another version of sceneshift; version {sceneshift.__version__} can't "
            "continue it. Use that version, or begin another by --run-name."
        )
    refuse_other_settings(
        f"run {name!r}",
        before.settings,
        plain(now.settings),
        advice="Give the same arguments, or another --run-name.",
    )
    changes = differences(before.origin, now.origin)
    record = replace(before, origin=now.origin, changes=(*before.changes, *changes))
    if changes:
        record.write(path)
    return record


def give_back(directory: Path) -> bool:
    """Remove a run's directory if nothing was trained in it, so that its name is free for the next attempt.

    Returns:
        Whether it was removed; with an epoch or a checkpoint in it, the run can be resumed.
    """
    checkpoints = directory / "checkpoints"
    if (directory / JOURNAL).exists() or (checkpoints.is_dir() and any(checkpoints.iterdir())):
        return False
    shutil.rmtree(directory, ignore_errors=True)
    return True
