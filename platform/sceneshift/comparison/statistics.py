"""Means over seeds and groups of scenes, with bootstrap intervals that hold for a handful of values.

A comparison has three to five seeds and a few groups of scenes. Percentiles of a bootstrap are too narrow then: at 95 %
and with five normal values they contain the true mean about 84 times in 100 (``tests/comparison/test_statistics.py``).
The intervals here are therefore t intervals with a bootstrap standard error (Hesterberg, The American Statistician 69,
2015, on small samples): the spread of the drawn means times Student's quantile. Draws take n − 1 of n values with
replacement, which makes the variance of a mean unbiased (Rao & Wu, JASA 83, 1988). Both papers are cited from memory.

Over pairs the bootstrap is hierarchical: seeds are drawn within each pair, then groups of scenes. Pairs that share a
flight are one group: their figures are averaged, so that a second cut of a flight does not count as a second scene. The
hierarchy counts noise of seeds more than once, so an interval over groups is rather too wide if seeds vary more than
groups (Davison & Hinkley, Bootstrap Methods, 1997, section 3.8, from memory).

Shape letters: P pairs, S seeds, G groups, D draws.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sceneshift.errors import InvalidInputError
from sceneshift.selection.resampling import Interval

#: The share of repetitions in which an interval should contain the true figure.
LEVEL = 0.95

#: Number of bootstrap draws.
NUM_DRAWS = 2000

#: With fewer groups there is no p-value over pairs: two-sided, that of G groups is at least 2 / 2**G.
FEWEST_GROUPS = 5

#: Differences closer than this are rounding.
_ROUNDING = 1e-12

#: Sign flips are enumerated up to this number, which is exact; beyond it they are drawn.
_MOST_FLIPS = 2**14


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with its bootstrap standard error.

    Args:
        value: The mean; NaN if there is no value.
        error: Its standard error; NaN where chance can't be estimated: one seed, one group, or values that don't vary.
        freedom: Degrees of freedom of the error.
        seeds: Number of seeds; over several pairs, of the pair with the fewest.
        pairs: Number of pairs.
        groups: Number of independent groups of scenes.
    """

    value: float
    error: float
    freedom: int
    seeds: int
    pairs: int
    groups: int

    def interval(self, level: float = LEVEL) -> Interval:
        """The interval at a level; its ends are NaN if the error is unknown.

        Args:
            level: Within 0..1.
        """
        if not math.isfinite(self.error):
            return Interval(value=self.value, low=math.nan, high=math.nan)
        half = float(stats.t.ppf((1 + level) / 2, self.freedom)) * self.error
        return Interval(value=self.value, low=self.value - half, high=self.value + half)


def mean_and_deviation(values: NDArray[np.float64]) -> tuple[float, float, int]:
    """Mean, standard deviation (ddof = 1) and number of the values that are not NaN.

    Args:
        values: (S,) figures by seed.

    Returns:
        Mean (NaN of no value), standard deviation (NaN of fewer than two), number.
    """
    known = values[~np.isnan(values)]
    mean = float(known.mean()) if known.size else math.nan
    return mean, float(known.std(ddof=1)) if known.size > 1 else math.nan, int(known.size)


def over_seeds(values: NDArray[np.float64], *, num_draws: int = NUM_DRAWS) -> Estimate:
    """The mean of one pair's figures over seeds.

    Args:
        values: (S,) figures or paired differences by seed; NaN where there is none.
        num_draws: D.
    """
    known = values[~np.isnan(values)]
    if known.size == 0:
        return Estimate(value=math.nan, error=math.nan, freedom=0, seeds=0, pairs=0, groups=0)
    drawn = _drawn_means(np.random.default_rng(0), known, num_draws)
    return Estimate(
        value=float(known.mean()),
        error=_spread(drawn),
        freedom=known.size - 1,
        seeds=known.size,
        pairs=1,
        groups=1,
    )


def over_groups(values: NDArray[np.float64], groups: Sequence[str], *, num_draws: int = NUM_DRAWS) -> Estimate:
    """The mean over groups of scenes, of the means over their pairs, of the means over seeds.

    Args:
        values: (P, S) figures or paired differences; NaN where there is none. Pairs without a value are left out.
        groups: The P groups.
        num_draws: D.

    Raises:
        InvalidInputError: There are not as many groups as pairs.
    """
    means = group_means(values, groups)
    if not means:
        return Estimate(value=math.nan, error=math.nan, freedom=0, seeds=0, pairs=0, groups=0)
    rng = np.random.default_rng(0)
    known = [(group, row[~np.isnan(row)]) for group, row in zip(groups, values, strict=True)]
    by_group: dict[str, list[NDArray[np.float64]]] = {name: [] for name in means}
    for group, row in known:
        if row.size:
            by_group[group].append(_drawn_means(rng, row, num_draws))
    drawn = np.stack([np.mean(each, axis=0) for each in by_group.values()], axis=1)
    weights = _weights(rng, len(means), num_draws)
    return Estimate(
        value=float(np.mean(list(means.values()))),
        error=_spread((weights * drawn).sum(axis=1)) if len(means) > 1 else math.nan,
        freedom=len(means) - 1,
        seeds=min(row.size for _, row in known if row.size),
        pairs=sum(row.size > 0 for _, row in known),
        groups=len(means),
    )


def group_means(values: NDArray[np.float64], groups: Sequence[str]) -> dict[str, float]:
    """The mean of each group over its pairs, each the mean over its seeds.

    Args:
        values: As for :func:`over_groups`.
        groups: The P groups.

    Returns:
        By group, in order of appearance; groups without a value are left out.

    Raises:
        InvalidInputError: There are not as many groups as pairs.
    """
    if values.ndim != 2 or len(values) != len(groups):
        raise InvalidInputError(
            f"figures of shape {values.shape} and {len(groups)} groups; expected (P, S) figures and a group per pair."
        )
    found: dict[str, list[float]] = {}
    for group, row in zip(groups, values, strict=True):
        if not np.isnan(row).all():
            found.setdefault(group, []).append(float(np.nanmean(row)))
    return {group: float(np.mean(means)) for group, means in found.items()}


def sign_flip_p_value(differences: Sequence[float]) -> float:
    """Two-sided p-value of a mean of paired differences: how many flips of signs give one that is as far from 0.

    Args:
        differences: One per independent group.

    Returns:
        The p-value; NaN of fewer than :data:`FEWEST_GROUPS` groups.
    """
    if len(differences) < FEWEST_GROUPS:
        return math.nan
    found = stats.permutation_test(
        (np.asarray(differences),),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_MOST_FLIPS,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm, Scandinavian Journal of Statistics 6, 1979); NaN stays NaN."""
    known = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[index] = highest
    return adjusted


def _weights(rng: np.random.Generator, num: int, num_draws: int) -> NDArray[np.float64]:
    """(D, num) weights of n − 1 of n values drawn with replacement; of a single value, 1."""
    size = max(1, num - 1)
    return rng.multinomial(size, np.full(num, 1 / num), size=num_draws) / size


def _drawn_means(rng: np.random.Generator, known: NDArray[np.float64], num_draws: int) -> NDArray[np.float64]:
    means: NDArray[np.float64] = _weights(rng, len(known), num_draws) @ known
    return means


def _spread(drawn: NDArray[np.float64]) -> float:
    """Standard deviation of drawn means; NaN if they don't vary."""
    spread = float(drawn.std(ddof=1))
    return spread if spread > _ROUNDING else math.nan
