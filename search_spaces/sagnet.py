"""Search space of SagNet: the plain discriminator against a style network.

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
    "lambda_adv": 0.1,
}

PROFILES = discriminator_space.profiles()


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.sagnet.SagNetConfig`."""
    return {
        **discriminator_space.suggest(trial),
        # Weight of the extractor's step against the style network. Scientific.
        "lambda_adv": trial.suggest_float("lambda_adv", 0.01, 1.0, log=True),
    }
