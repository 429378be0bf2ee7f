"""How much each parameter mattered, and whether that can be distinguished from chance.

Importances always add up to one, even for noise. Two checks show how reliable a figure is: trials drawn with
replacement (would other trials have given the same?), and objectives shuffled among the trials (what does pure chance
give?).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

#: With fewer trials, no importances are estimated.
FEWEST_TRIALS = 4

#: With fewer trials, importances are a lead and not a finding, whatever their intervals.
FEW_TRIALS = 40

#: How Optuna's warning begins where the best trials are all there are, and every parameter is called equally important.
EQUAL_WARNING = "Target and region quantiles"

_NUM_DRAWS = 100


@dataclass(frozen=True, kw_only=True)
class Importance:
    """One parameter's share in the variation of the objective.

    Args:
        name: The parameter.
        value: Its importance, 0..1; the sum over parameters is 1.
        low: 5th percentile over trials drawn with replacement.
        high: 95th percentile.
        chance: 95th percentile when the objectives are shuffled among the trials.
    """

    name: str
    value: float
    low: float
    high: float
    chance: float

    @property
    def stands_out(self) -> bool:
        """Whether chance alone would rarely give as much, and most draws of trials confirm it."""
        return self.value > self.chance and self.low > 1e-3


def compared_at_epoch(study: optuna.Study, epoch: int) -> optuna.Study:
    """A study in memory of all trials that reached an epoch, with the objective they had there.

    Few trials run to their end, and those are the good ones. Compared at the last epoch before any is stopped, all
    trials count, and at equal cost.

    Args:
        study: The study.
        epoch: 1-based.
    """
    compared = optuna.create_study(direction="maximize")
    for trial in study.get_trials(deepcopy=False):
        if epoch in trial.intermediate_values and np.isfinite(trial.intermediate_values[epoch]):
            compared.add_trial(_finished(trial, trial.intermediate_values[epoch]))
    return compared


def shared_parameters(study: optuna.Study) -> list[str]:
    """The parameters that all trials have and that were free to vary.

    Importances of different sets of trials can't be compared, so conditional parameters are left out.
    """
    trials = study.get_trials(deepcopy=False)
    if not trials:
        return []
    shared = set.intersection(*(set(trial.params) for trial in trials))
    return sorted(name for name in shared if not trials[-1].distributions[name].single())


def estimate_importances(compared: optuna.Study, *, seed: int = 0, num_draws: int = _NUM_DRAWS) -> list[Importance]:
    """Importances by Optuna's evaluator (PED-ANOVA), the largest first; empty for fewer than four trials.

    Args:
        compared: The study from :func:`compared_at_epoch`.
        seed: Seed of the draws.
        num_draws: Number of draws of trials, and of shuffles of the objective.
    """
    trials = compared.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    names = shared_parameters(compared)
    if len(trials) < FEWEST_TRIALS or not names:
        return []
    rng = np.random.default_rng(seed)
    values = np.array([trial.value for trial in trials], dtype=np.float64)
    measured = _importances(trials, values, names)
    drawn, shuffled = [], []
    for _ in range(num_draws):
        chosen = rng.integers(0, len(trials), size=len(trials))
        drawn.append(_importances([trials[i] for i in chosen], values[chosen], names))
        shuffled.append(_importances(trials, rng.permutation(values), names))
    low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
    chance = np.quantile(shuffled, 0.95, axis=0)
    found = [
        Importance(name=name, value=float(measured[i]), low=float(low[i]), high=float(high[i]), chance=float(chance[i]))
        for i, name in enumerate(names)
    ]
    return sorted(found, key=lambda importance: -importance.value)


def _importances(trials: Sequence[FrozenTrial], values: np.ndarray, names: list[str]) -> np.ndarray:
    study = optuna.create_study(direction="maximize")
    study.add_trials([_finished(trial, float(value)) for trial, value in zip(trials, values, strict=True)])
    with warnings.catch_warnings():
        # Of a draw whose best trials are all there are; its importances are equal, as they should be.
        warnings.filterwarnings("ignore", message=EQUAL_WARNING)
        found = optuna.importance.get_param_importances(study, params=names)
    return np.array([found[name] for name in names], dtype=np.float64)


def _finished(trial: FrozenTrial, value: float) -> FrozenTrial:
    distributions: dict[str, BaseDistribution] = trial.distributions
    return optuna.trial.create_trial(params=trial.params, distributions=distributions, value=value)
