"""Search space of DSU: the plain discriminator with uncertain feature statistics.

The discriminator's settings are those of every method that trains it (``sceneshift/search/discriminator_space.py``).
Edit this file, or copy it and pass the copy's path to your own script.
"""

from typing import Any

from sceneshift.search import discriminator_space
from sceneshift.search.space import Suggests

#: The pairs used if neither --pairs nor --scene is given.
PAIRS = discriminator_space.PAIRS

#: The paper's values, by suggested name: the first trial of every search, clipped to the profile.
DEFAULTS: dict[str, Any] = {
    **discriminator_space.DEFAULTS,
    "probability": 0.5,
    "uncertainty": 1.0,
}

PROFILES = discriminator_space.profiles()


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.dsu.DSUConfig`."""
    return {
        **discriminator_space.suggest(trial),
        # How often new statistics are drawn. Scientific.
        "probability": trial.suggest_float("probability", 0.1, 1.0),
        # Factor of the scatter over the batch: how far statistics are moved. Scientific.
        "uncertainty": trial.suggest_float("uncertainty", 0.25, 4.0, log=True),
    }
