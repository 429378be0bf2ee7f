"""Search space of GroupDRO: cross-entropy weighted towards the worst source.

The discriminator's settings are those of every method that trains it (``sceneshift/search/discriminator_space.py``).
Edit this file, or copy it and pass the copy's path to your own script.
"""

from typing import Any

from sceneshift.search import discriminator_space
from sceneshift.search.space import Suggests

#: The pairs used if neither --pairs nor --scene is given: they have several sources.
PAIRS = discriminator_space.PAIRS_OF_SEVERAL_SOURCES

#: The paper's values, by suggested name: the first trial of every search, clipped to the profile.
DEFAULTS: dict[str, Any] = {
    **discriminator_space.DEFAULTS,
    "weights_step": 0.01,
}

PROFILES = discriminator_space.profiles()


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.group_dro.GroupDROConfig`."""
    return {
        **discriminator_space.suggest(trial),
        # Step size of the sources' weights: how fast they follow the losses. Scientific.
        "weights_step": trial.suggest_float("weights_step", 0.001, 0.1, log=True),
    }
