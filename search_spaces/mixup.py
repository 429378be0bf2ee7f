"""Search space of Mixup: the plain discriminator on mixed patches and labels.

The discriminator's settings are those of every method that trains it (``sceneshift/search/discriminator_space.py``).
Edit this file, or copy it and pass the copy's path to your own script.
"""

from typing import Any

from sceneshift.search import discriminator_space
from sceneshift.search.space import Suggests

#: The pairs used if neither --pairs nor --scene is given.
PAIRS = discriminator_space.PAIRS

#: The paper's values for large images, by suggested name: the first trial of every search, clipped to the profile.
DEFAULTS: dict[str, Any] = {
    **discriminator_space.DEFAULTS,
    "alpha": 0.2,
}

PROFILES = discriminator_space.profiles()


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.mixup.MixupConfig`."""
    return {
        **discriminator_space.suggest(trial),
        # Beta(alpha, alpha) of the shares: below 1 mixes are near one end, at 1 all are equally likely. Scientific.
        "alpha": trial.suggest_float("alpha", 0.05, 2.0, log=True),
    }
