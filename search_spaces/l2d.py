"""Search space of L2D: the plain discriminator and a module that diversifies its patches.

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
    "temperature": 0.07,
    "lambda_contrast": 1.0,
    "lambda_mi": 1.0,
    "lambda_class": 0.1,
}

PROFILES = discriminator_space.profiles()


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.l2d.L2DConfig`."""
    return {
        **discriminator_space.suggest(trial),
        # tau of the contrast between classes. Nuisance.
        "temperature": trial.suggest_float("temperature", 0.03, 0.5, log=True),
        # Weight of that contrast in the network's step. Scientific.
        "lambda_contrast": trial.suggest_float("lambda_contrast", 0.01, 10.0, log=True),
        # Weight of the shared information, which the module lowers. Scientific.
        "lambda_mi": trial.suggest_float("lambda_mi", 0.01, 10.0, log=True),
        # Weight of the class means' distance, which keeps the classes. Scientific.
        "lambda_class": trial.suggest_float("lambda_class", 0.01, 10.0, log=True),
    }
