"""Strategies that score candidates together: seeds of one configuration, or all candidates of a pool.

Their formulas are in :mod:`sceneshift.selection.agreement`. They have no score while a search runs, which is therefore
steered by ``val/aa``, the score of source-blocks.
"""

import itertools
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.selection.agreement import (
    ensemble_agreement,
    ensemble_probabilities,
    seed_agreement,
    target_agreement,
)
from sceneshift.selection.candidates import Candidate, PooledTrial, V
from sceneshift.selection.strategy import Setting, Strategy
from sceneshift.selection.views import Reads, SourceView, UnlabelledView


class SeedStrategy(Strategy[V]):
    """A strategy that scores the seeds of a configuration together, epoch by epoch.

    All of them have that score, and of equals the earlier trial is chosen. A configuration with one complete training
    is not scored.
    """

    def check(self, setting: Setting) -> None:
        """Refuse a single seed, as well."""
        super().check(setting)
        if setting.num_seeds < 2:
            raise InvalidInputError(
                f"selection {self.name!r} compares trainings of one configuration with different seeds, and each is "
                "trained once here; choose another strategy."
            )

    @abstractmethod
    def score_seeds(self, views: Sequence[V]) -> float:
        """The score of one pair, from the view of each seed."""

    def _scores(self, trials: Sequence[PooledTrial[V]]) -> dict[Candidate, float]:
        seeds: dict[str, list[PooledTrial[V]]] = {}
        for trial in trials:
            seeds.setdefault(trial.configuration, []).append(trial)
        several = [group for group in seeds.values() if len(group) > 1]
        if trials and not several:
            raise InvalidInputError(
                f"selection {self.name!r}: none of {len(seeds)} configurations has two complete trainings; train each "
                "with another seed, or choose another strategy."
            )
        return {candidate: score for group in several for candidate, score in self._scores_of(group).items()}

    def _scores_of(self, group: Sequence[PooledTrial[V]]) -> dict[Candidate, float]:
        outputs = [
            {candidate.epoch: views for candidate, views in trial.outputs().items() if not candidate.is_average}
            for trial in group
        ]
        found: dict[Candidate, float] = {}
        for epoch in sorted(set.intersection(*(set(of_trial) for of_trial in outputs))):
            views = [of_trial[epoch] for of_trial in outputs]
            score = float(np.mean([self.score_seeds([of_seed[pair] for of_seed in views]) for pair in views[0]]))
            found |= {Candidate(trial=trial.number, epoch=epoch): score for trial in group}
        return found


class SeedAgreement(SeedStrategy[SourceView]):
    """Chooses the configuration and epoch whose seeds agree best on validation pixels and their shifted copies.

    :func:`~sceneshift.selection.agreement.seed_agreement`, mean over pairs.
    """

    name = "seed-agreement"
    rule = "highest agreement of seeds on validation pixels and shifted copies, best epoch; no target label used"
    reads = Reads.NOTHING
    columns = ("validation_logits", "shifted_logits")

    def score_seeds(self, views: Sequence[SourceView]) -> float:
        """Mean kappa over pairs of seeds."""
        if any(view.shifted is None for view in views):
            raise InvalidInputError(
                "nothing was recorded under shifts, as no pixel validates; use a split that holds pixels back."
            )
        shifted = [view.shifted for view in views if view.shifted is not None]
        return seed_agreement(_stacked([view.logits for view in views]), _stacked(shifted))


class SeedsOnTarget(SeedStrategy[UnlabelledView]):
    """Chooses the configuration and epoch whose seeds agree on most target pixels (GDE).

    :func:`~sceneshift.selection.agreement.target_agreement`, mean over pairs.
    """

    name = "gde"
    rule = "highest agreement of seeds on unlabelled target pixels, best epoch"
    reads = Reads.PIXELS
    columns = ("target_logits",)

    def score_seeds(self, views: Sequence[UnlabelledView]) -> float:
        """The share of pixels on which two seeds agree."""
        return target_agreement(_stacked([view.target_logits for view in views]))


class EnsembleAgreement(Strategy[UnlabelledView]):
    """Chooses the candidate that agrees on most target pixels with the mean of all candidates (EnsV).

    :func:`~sceneshift.selection.agreement.ensemble_agreement` with the mean softmax output of every candidate of the
    pool, per pair, mean over pairs.
    """

    name = "ensv"
    rule = "highest agreement with the ensemble of all candidates on unlabelled target pixels, best epoch"
    reads = Reads.PIXELS
    columns = ("target_logits",)

    def check(self, setting: Setting) -> None:
        """Refuse a single candidate, as well."""
        super().check(setting)
        if setting.num_candidates < 2:
            raise InvalidInputError(
                f"selection {self.name!r} compares each candidate with the mean of all, and there is one; train more "
                "trials, or evaluate more epochs."
            )

    def _scores(self, trials: Sequence[PooledTrial[UnlabelledView]]) -> dict[Candidate, float]:
        first = next(_candidates(trials), None)
        if first is None:
            return {}
        ensembles = {
            pair: _ensemble(views[pair].target_logits for _, views in _candidates(trials)) for pair in first[1]
        }
        return {
            candidate: float(np.mean([_agreement(view, ensembles[pair]) for pair, view in views.items()]))
            for candidate, views in _candidates(trials)
        }


def _ensemble(logits: Iterator[NDArray[np.float16]]) -> NDArray[np.float64] | None:
    """The mean prediction; None if every candidate has a NaN."""
    usable = (candidate for candidate in logits if not np.isnan(candidate).any())
    first = next(usable, None)
    return None if first is None else ensemble_probabilities(itertools.chain([first], usable))


def _agreement(view: UnlabelledView, ensemble: NDArray[np.float64] | None) -> float:
    return math.nan if ensemble is None else ensemble_agreement(view.target_logits, ensemble)


def _candidates(
    trials: Sequence[PooledTrial[UnlabelledView]],
) -> Iterator[tuple[Candidate, Mapping[str, UnlabelledView]]]:
    """All epochs' weights, one trial in memory at a time."""
    for trial in trials:
        for candidate, views in trial.outputs().items():
            if not candidate.is_average:
                yield candidate, views


def _stacked(arrays: Sequence[NDArray[np.float16]]) -> NDArray[np.float16]:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise InvalidInputError(
            f"seeds recorded outputs of shapes {sorted(shapes)}; seeds of a configuration are compared on the same "
            "pixels: train them on one split."
        )
    return np.stack(arrays)
