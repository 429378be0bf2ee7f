"""The settings and origin of a study or training, compared with the resumed run.

Settings must be the same: a study resumed with others would be two studies in one record. The origin, that is code and
data, may change; a change is reported and recorded, since results before and after it may not be comparable.
"""

import json
from collections.abc import Mapping
from typing import Any

from sceneshift.errors import StudyError


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values after a round trip through JSON, so that they can be compared with stored ones."""
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
    """Raise an error if the settings of a resumed run differ.

    Args:
        what: Such as "study 'x'".
        before: The settings it began with.
        now: The settings with which it is resumed.
        advice: What to do.

    Raises:
        StudyError: They differ; the message lists the differences.
    """
    differing = differences(before, now)
    if differing:
        raise StudyError(f"{what} can't be resumed with other settings:\n  " + "\n  ".join(differing) + f"\n{advice}")
