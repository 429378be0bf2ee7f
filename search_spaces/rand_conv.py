"""Search space of RandConv: the plain discriminator behind random convolutions.

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
    "kernel_pixels": 3,
    "kernel_bands": 7,
    "unchanged": 0.5,
    "mix": True,
}

PROFILES = discriminator_space.profiles()


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.rand_conv.RandConvConfig`."""
    return {
        **discriminator_space.suggest(trial),
        # Largest side of a random kernel in rows and columns. Scientific.
        "kernel_pixels": trial.suggest_categorical("kernel_pixels", [1, 3, 5]),
        # Largest side of a random kernel along bands: how broad a feature may be that is changed. Scientific.
        "kernel_bands": trial.suggest_categorical("kernel_bands", [3, 7, 15, 31]),
        # Probability that a batch stays as it is. Scientific.
        "unchanged": trial.suggest_float("unchanged", 0.0, 0.9),
        # Whether convolved patches are blended with the patches. Scientific.
        "mix": trial.suggest_categorical("mix", [False, True]),
    }
