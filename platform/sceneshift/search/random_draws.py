"""Configurations drawn at random from a search space, without a search: for pools that strategies choose from."""

from typing import Any

import optuna

from sceneshift.search.profile import Profile
from sceneshift.search.sampler import NameSeededTPESampler
from sceneshift.search.space import SearchSpace


def random_configurations(space: SearchSpace, profile: Profile, *, num: int, seed: int) -> list[dict[str, Any]]:
    """Draw configurations as a search does before its first result, without its first trials.

    Args:
        space: The space.
        profile: What its ranges and choices are restricted to; its first trials are left out.
        num: How many.
        seed: With a configuration's number and a parameter's name it decides the parameter's draw.

    Returns:
        Values of the method's configuration, each drawn independently of the others.
    """
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        # With more random trials than are asked for, nothing is ever modelled.
        study = optuna.create_study(sampler=NameSeededTPESampler(seed=seed, startup_trials=num + 1))
        return [space.config(study.ask(), profile) for _ in range(num)]
    finally:
        optuna.logging.set_verbosity(level)
