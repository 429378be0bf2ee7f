"""What a training keeps of how it began, so that it is gone on with as the same."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sceneshift.errors import StudyError, first_line
from sceneshift.search.agreement import differences, plain, refuse_other_settings


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run keeps of how it began, in ``settings.json``.

    Args:
        settings: What a resumed run must agree with.
        origin: Hashes of code and data it was last run with.
        tracking: Where MLflow keeps the run.
        changes: Changes of code and data between two runs, in words.
    """

    settings: Mapping[str, Any]
    origin: Mapping[str, str]
    tracking: str | None
    changes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "RunRecord":
        """Read it.

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
        """Write it whole or not at all."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self), indent=2))
        part.rename(path)


def open_run_directory(directory: Path, name: str, *, resume: bool, now: RunRecord) -> RunRecord:
    """Make a run's directory, or check that a resumed run is the same.

    Args:
        directory: The directory.
        name: The run's name.
        resume: Whether it is gone on with.
        now: What it begins with, or is gone on with.

    Returns:
        What it began with, and what of code and data has changed since.

    Raises:
        StudyError: The name is taken, there is nothing to resume, or the settings differ.
    """
    path = directory / "settings.json"
    if not resume:
        if directory.exists():
            raise StudyError(
                f"a run {name!r} exists at {directory}; go on with it by --resume, or choose another --run-name. "
                "Nothing was changed."
            )
        directory.mkdir(parents=True)
        now.write(path)
        return now
    if not path.exists():
        raise StudyError(f"no run {name!r} at {directory} to resume; leave --resume out to begin one.")
    before = RunRecord.read(path)
    refuse_other_settings(
        f"run {name!r}",
        _flat(before.settings),
        _flat(plain(now.settings)),
        advice="Give the same arguments, or another --run-name.",
    )
    changes = differences(before.origin, now.origin)
    record = replace(before, origin=now.origin, changes=(*before.changes, *changes))
    if changes:
        record.write(path)
    return record


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the configuration's beside them: a message names the one that differs."""
    return {**settings, **settings.get("config", {}), "config": None}
