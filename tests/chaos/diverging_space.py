"""The same search with learning rates among its choices that no loss survives."""

from dataclasses import replace
from typing import Any

import space as harmless

from sceneshift.search.space import Suggests

PAIRS = harmless.PAIRS
DEFAULTS = {**harmless.DEFAULTS, "explodes": False}
PROFILES = tuple(replace(profile, startup_trials=6) for profile in harmless.PROFILES)


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest a small configuration, or one whose loss is no number after a step or two."""
    config = harmless.space(trial)
    if trial.suggest_categorical("explodes", [False, True]):
        config["lr"] = 1e30
    return config
