"""What a study or a training began with, held against what it is resumed with.

Settings must agree: a resumed study with others would be two studies in one record. The origin, which is the code and
the data, may change; a change is told and recorded, as results before and after it need not be comparable.
"""

import json
from collections.abc import Mapping
from typing import Any

from sceneshift.errors import StudyError


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON gives them back, so that what was stored can be compared with what was not."""
    stored: dict[str, Any] = json.loads(json.dumps(values))
    return stored


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One entry for every value that differs, by name."""
    before, now = plain(before), plain(now)
    return [
        f"{key}: was {before.get(key)!r}, is {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def refuse_other_settings(what: str, before: Mapping[str, Any], now: Mapping[str, Any], *, advice: str) -> None:
    """Refuse to resume with settings that differ.

    Args:
        what: Such as "study 'x'".
        before: The settings it began with.
        now: The settings it is to go on with.
        advice: What to do.

    Raises:
        StudyError: They differ; with a list of what does.
    """
    differing = differences(before, now)
    if differing:
        raise StudyError(f"{what} can't be resumed with other settings:\n  " + "\n  ".join(differing) + f"\n{advice}")


def change_warning(what: str, changes: list[str]) -> str:
    """What is printed where code or data are not those a study was last run with."""
    return (
        f"NOTE: {what} goes on with other code or data than before; that is recorded. Results from before and after "
        "need not be comparable:\n  " + "\n  ".join(changes)
    )
