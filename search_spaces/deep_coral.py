"""Search space of Deep CORAL: cross-entropy and a distance between the sources' features.

The discriminator's settings are those of every method that trains it (``sceneshift/search/discriminator_space.py``).
Edit this file, or copy it and pass the copy's path to your own script.
"""

from typing import Any

from sceneshift.search import discriminator_space
from sceneshift.search.space import Suggests

#: The pairs used if neither --pairs nor --scene is given: they have several sources.
PAIRS = discriminator_space.PAIRS_OF_SEVERAL_SOURCES

#: The method's own defaults, by suggested name: the first trial of every search, clipped to the profile.
DEFAULTS: dict[str, Any] = {
    **discriminator_space.DEFAULTS,
    "lambda_coral": 1.0,
}

PROFILES = discriminator_space.profiles()


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.deep_coral.DeepCoralConfig`."""
    return {
        **discriminator_space.suggest(trial),
        # Weight of the distance between sources. Scientific.
        "lambda_coral": trial.suggest_float("lambda_coral", 0.01, 100.0, log=True),
    }
