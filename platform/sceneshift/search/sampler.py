"""TPE in which a parameter's draw depends only on the study's seed, the trial's number and the parameter's name."""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from sceneshift.seeding import derive_seed


class NameSeededTPESampler(optuna.samplers.BaseSampler):
    """Optuna's univariate TPE, seeded separately for every (study seed, trial number, parameter).

    Adding a parameter to a space does not change the draws of the others (DomainBed's rule), and an interrupted search
    continues with the suggestions it would have made.

    Args:
        seed: The study's seed.
        startup_trials: Trials drawn at random before TPE's model is used.
    """

    def __init__(self, *, seed: int, startup_trials: int) -> None:
        self._seed = seed
        self._startup_trials = startup_trials

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """No parameter is drawn jointly with another."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """No parameter is drawn jointly with another."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401
        """Draw one parameter by TPE."""
        tpe = optuna.samplers.TPESampler(
            seed=derive_seed(self._seed, "trial", trial.number, param_name) % 2**32,
            n_startup_trials=self._startup_trials,
            constant_liar=True,
        )
        return tpe.sample_independent(study, trial, param_name, param_distribution)
