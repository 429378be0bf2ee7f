"""What a choice cost: regret to the best candidate, and rank correlations of scores with accuracy on the target.

For research with target labels: these figures judge criteria and are never read by one.

A pool holds the candidates of one pair of scenes and one method. Accuracies are 0..1, regrets in points (0..100), and
lower regret is better.

Shape letters: C configurations, R seeds, E epochs.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Scores of one criterion, and what its candidates reach on the target.

    Args:
        scores: (C, R, E), higher is better; NaN or infinite where the criterion has no score or may not choose. A
            criterion that always takes the last epoch has scores there only.
        accuracy: (C, R, E) on the target, 0..1; NaN where it was not recorded.

    Raises:
        InvalidInputError: The shapes differ, an accuracy is outside 0..1, one is missing where there is a score, or a
            seed has no score at all, so that nothing could be chosen.
    """

    scores: NDArray[np.floating]
    accuracy: NDArray[np.floating]

    def __post_init__(self) -> None:
        scores, accuracy = np.asarray(self.scores, dtype=np.float64), np.asarray(self.accuracy, dtype=np.float64)
        if scores.shape != accuracy.shape or scores.ndim != 3 or scores.size == 0:
            raise InvalidInputError(
                f"scores of shape {scores.shape} and accuracies of {accuracy.shape}; expected one (C, R, E): "
                "configurations, seeds, epochs."
            )
        scores = np.where(np.isfinite(scores), scores, np.nan)
        known = accuracy[~np.isnan(accuracy)]
        if known.size > 0 and (known.min() < 0 or known.max() > 1):
            raise InvalidInputError(f"accuracies {known.min()}..{known.max()}; expected 0..1, not points or percent.")
        missing = int(np.sum(~np.isnan(scores) & np.isnan(accuracy)))
        if missing > 0:
            raise InvalidInputError(
                f"{missing} candidates have a score but no accuracy; record the target at each epoch."
            )
        without = np.flatnonzero(np.isnan(scores).all(axis=(0, 2)))
        if len(without) > 0:
            raise InvalidInputError(f"seeds {without.tolist()} have no finite score; leave them out.")
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "accuracy", accuracy)

    def picked(self, configurations: NDArray[np.integer], seeds: NDArray[np.integer]) -> "Pool":
        """Some configurations and seeds of this pool, each as often as named, not checked again.

        Args:
            configurations: Their places.
            seeds: Their places.
        """
        place, found = np.ix_(configurations, seeds), object.__new__(Pool)
        object.__setattr__(found, "scores", self.scores[place])
        object.__setattr__(found, "accuracy", self.accuracy[place])
        return found


def condensed(pool: Pool) -> Pool:
    """A small pool with the same regret and the same correlation over configurations, also after resampling.

    Args:
        pool: The pool.

    Returns:
        (C, R, 2): of each training the candidate with the highest score, and its best accuracy without a score.
    """
    score, accuracy = _at_highest(pool)
    best = np.where(np.isnan(pool.accuracy), -np.inf, pool.accuracy).max(axis=2, keepdims=True)
    best = np.where(np.isinf(best), np.nan, best)
    return Pool(
        scores=np.concatenate([score, np.full_like(score, np.nan)], axis=2),
        accuracy=np.concatenate([accuracy, best], axis=2),
    )


def chosen_accuracy(pool: Pool) -> NDArray[np.float64]:
    """Per seed, the accuracy of the candidate with the highest score; of equals the earlier configuration and epoch.

    Returns:
        (R,) accuracies 0..1.
    """
    scores, accuracy = _by_seed(pool.scores), _by_seed(pool.accuracy)
    chosen: NDArray[np.float64] = accuracy[np.arange(len(scores)), np.nanargmax(scores, axis=1)]
    return chosen


def oracle_accuracy(pool: Pool) -> NDArray[np.float64]:
    """Per seed, the highest accuracy among all candidates, whether the criterion could have chosen it or not.

    Returns:
        (R,) accuracies 0..1.
    """
    return np.asarray(np.nanmax(_by_seed(pool.accuracy), axis=1), dtype=np.float64)


def regret(pool: Pool) -> float:
    """Points lost against the oracle by the criterion's choices, mean over seeds."""
    return _points(pool, chosen_accuracy(pool))


def random_regret(pool: Pool) -> float:
    """Points lost on average by choosing a configuration and an epoch at random, mean over seeds."""
    return _points(pool, np.nanmean(_by_seed(pool.accuracy), axis=1))


def last_epoch_regret(pool: Pool) -> float:
    """Points lost on average by choosing a configuration at random and its last epoch, mean over seeds.

    NaN if a seed has no recorded last epoch.
    """
    last = pool.accuracy[:, :, -1]
    if np.isnan(last).all(axis=0).any():
        return math.nan
    return _points(pool, np.nanmean(last, axis=0))


def worst_regret(pool: Pool) -> float:
    """Points between the pool's best and worst candidates, the most that any choice can lose, mean over seeds."""
    return _points(pool, np.nanmin(_by_seed(pool.accuracy), axis=1))


def configuration_correlation(pool: Pool) -> float:
    """Spearman correlation of score and accuracy over configurations, each at its epoch with the highest score.

    Returns:
        Mean over the seeds where it is defined, -1..1; NaN if it is nowhere, as with fewer than two configurations, or
        if all have the same score or accuracy.
    """
    scores, accuracy = (side[:, :, 0].T for side in _at_highest(pool))
    return mean_known(rank_correlations(scores, accuracy))


def epoch_correlation(pool: Pool) -> float:
    """Spearman correlation of score and accuracy over the epochs of a training.

    Returns:
        Mean over configurations and seeds where it is defined, -1..1; NaN if it is nowhere, as for a criterion that
        scores one epoch.
    """
    return mean_known(rank_correlations(pool.scores, pool.accuracy))


def rank_correlations(scores: NDArray[np.floating], accuracy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spearman's rank correlations along the last axis, -1..1, of what has both figures; ties share their mean rank.

    The correlation of the ranks: Spearman, American Journal of Psychology 15, 1904. Twice a centered rank is the number
    of smaller figures minus that of larger ones, in which a NaN does not count. scipy's ``spearmanr`` takes one pair of
    rows at a time, and a bootstrap over epochs needs a million of them.

    Args:
        scores: (..., n), NaN where unknown.
        accuracy: (..., n), NaN where unknown.

    Returns:
        (...) correlations; NaN with fewer than two known figures, or if one side is constant.
    """
    unknown = np.isnan(scores) | np.isnan(accuracy)
    of_scores, of_accuracy = (_centered_ranks(np.where(unknown, np.nan, side)) for side in (scores, accuracy))
    scale = np.sqrt(np.sum(of_scores**2, axis=-1) * np.sum(of_accuracy**2, axis=-1))
    product = np.sum(of_scores * of_accuracy, axis=-1)
    return np.asarray(np.divide(product, scale, out=np.full(scale.shape, np.nan), where=scale > 0), dtype=np.float64)


def _centered_ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Twice the ranks along the last axis minus their mean; 0 for NaN."""
    one, other = values[..., :, np.newaxis], values[..., np.newaxis, :]
    return np.asarray(np.sum(one > other, axis=-1) - np.sum(one < other, axis=-1), dtype=np.float64)


def _at_highest(pool: Pool) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """(C, R, 1) score and accuracy of each training's epoch with the highest score; the first if it has none."""
    highest = np.argmax(np.where(np.isnan(pool.scores), -np.inf, pool.scores), axis=2)[:, :, np.newaxis]
    scores, accuracy = (np.take_along_axis(side, highest, axis=2) for side in (pool.scores, pool.accuracy))
    return scores, accuracy


def _by_seed(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """(R, C * E), configurations before epochs."""
    return np.moveaxis(np.asarray(values, dtype=np.float64), 1, 0).reshape(values.shape[1], -1)


def _points(pool: Pool, reached: NDArray[np.float64]) -> float:
    return float(100 * np.mean(oracle_accuracy(pool) - reached))


def mean_known(figures: ArrayLike) -> float:
    """Mean of the figures that are not NaN; NaN if all are."""
    values = np.asarray(figures, dtype=np.float64)
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size > 0 else math.nan
