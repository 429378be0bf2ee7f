"""Search space of SDEnet: the plain discriminator and a generator of an extended domain.

The discriminator's settings are those of every method that trains it (``sceneshift/search/discriminator_space.py``).
Edit this file, or copy it and pass the copy's path to your own script.
"""

from typing import Any

from sceneshift.search import discriminator_space
from sceneshift.search.space import Suggests

#: The pairs used if neither --pairs nor --scene is given.
PAIRS = discriminator_space.PAIRS

#: The method's own defaults, by suggested name: the first trial of every search, clipped to the profile.
DEFAULTS: dict[str, Any] = {
    **discriminator_space.DEFAULTS,
    "generator_channels": 24,
    "temperature": 0.07,
    "lambda_contrast": 1.0,
    "lambda_adv": 1.0,
}

PROFILES = discriminator_space.profiles(
    {
        "laptop": {"generator_channels": (8, 8)},
        "paper": {"generator_channels": (8, 64)},
        "smoke-test": {"generator_channels": (8, 8)},
    }
)


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.sdenet.SDEnetConfig`."""
    return {
        **discriminator_space.suggest(trial),
        # Channels of the generator's encoders. Scientific.
        "generator_channels": trial.suggest_categorical("generator_channels", [8, 16, 24, 32, 64]),
        # tau of the contrast between classes. Nuisance.
        "temperature": trial.suggest_float("temperature", 0.03, 0.5, log=True),
        # Weight of the contrast in the discriminator's step. Scientific.
        "lambda_contrast": trial.suggest_float("lambda_contrast", 0.01, 10.0, log=True),
        # Weight of the contrast in the generator's step. Scientific.
        "lambda_adv": trial.suggest_float("lambda_adv", 0.01, 10.0, log=True),
    }
