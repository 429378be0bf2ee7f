"""Search space of MixStyle: the plain discriminator with mixed feature statistics.

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
    "alpha": 0.1,
    "probability": 0.5,
}

PROFILES = discriminator_space.profiles()


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.mixstyle.MixStyleConfig`."""
    return {
        **discriminator_space.suggest(trial),
        # Beta(alpha, alpha) of the shares: low values keep or exchange statistics, high ones blend them. Scientific.
        "alpha": trial.suggest_float("alpha", 0.05, 1.0, log=True),
        # How often statistics are mixed. Scientific.
        "probability": trial.suggest_float("probability", 0.1, 1.0),
    }
