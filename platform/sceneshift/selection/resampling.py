"""How far regrets and correlations depend on the configurations and seeds that happened to be drawn.

Shape letters: C configurations, R seeds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.selection.regret import Pool, condensed, configuration_correlation, mean_known, regret

#: Number of resampled pools.
NUM_POOLS = 200

#: Number of bootstrap draws.
NUM_DRAWS = 1000

#: The share of the draws that an interval contains.
LEVEL = 0.95

#: A figure of a pool, such as :func:`sceneshift.selection.regret.regret`; NaN where it is undefined.
Statistic = Callable[[Pool], float]

#: Figures that a condensed pool has too, from two candidates of each training instead of all its epochs.
_OF_CONDENSED: tuple[Statistic, ...] = (regret, configuration_correlation)


def resampled_regrets(pool: Pool, *, num_pools: int = NUM_POOLS, seed: int = 0) -> NDArray[np.float64]:
    """Regrets of the choices in pools drawn from this one with replacement, each against its own oracle.

    Args:
        pool: Where C configurations and R seeds are drawn from.
        num_pools: How many pools.
        seed: Seed of the draws.

    Returns:
        (num_pools,) points.

    Raises:
        InvalidInputError: No pool is to be drawn.
    """
    if num_pools < 1:
        raise InvalidInputError(f"{num_pools} resampled pools; expected at least 1.")
    rng = np.random.default_rng(seed)
    small = condensed(pool)
    return np.array([regret(*_drawn(rng, small)) for _ in range(num_pools)])


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its percentile interval.

    Args:
        value: The figure of the pools as they are; NaN if no pool has it.
        low: The interval's lower end; NaN if no draw has the figure.
        high: Its upper end.
    """

    value: float
    low: float
    high: float


def bootstrap(
    pools: Sequence[Pool],
    statistic: Statistic,
    *,
    baseline: Sequence[Pool] | None = None,
    level: float = LEVEL,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> Interval:
    """A figure's mean over pools, with an interval over resampled configurations and seeds within each pool.

    Percentiles (Efron, Annals of Statistics 7, 1979, section 3) of draws of C of C configurations and R of R seeds,
    with replacement, in each pool. Pools are not drawn: the interval is about these pairs and methods, not new ones.

    Args:
        pools: One per pair and method.
        statistic: The figure of one pool. A pool without it leaves the mean.
        baseline: The same pools with another criterion's scores. The figure is then the difference to it, pool by pool,
            on the same draws.
        level: The share of the draws that the interval contains.
        num_draws: Number of draws.
        seed: Seed of the draws.

    Raises:
        InvalidInputError: There is no pool, the baseline's accuracies are others, or the level or the number of draws
            is out of range.
    """
    if not 0 < level < 1 or num_draws < 1 or not pools:
        raise InvalidInputError(
            f"level {level}, {num_draws} draws of {len(pools)} pools; expected a level within 0..1, at least one draw "
            "and one pool."
        )
    if baseline is not None:
        _check_baseline(pools, baseline)
    compared: list[tuple[Pool, ...]] = (
        [(pool,) for pool in pools] if baseline is None else list(zip(pools, baseline, strict=True))
    )
    rng = np.random.default_rng(seed)
    value = _mean_figure(compared, statistic)
    if statistic in _OF_CONDENSED:
        compared = [tuple(map(condensed, each)) for each in compared]
    draws = np.array([_mean_figure([_drawn(rng, *each) for each in compared], statistic) for _ in range(num_draws)])
    known = draws[~np.isnan(draws)]
    if known.size == 0:
        return Interval(value=value, low=math.nan, high=math.nan)
    low, high = np.quantile(known, ((1 - level) / 2, (1 + level) / 2))
    return Interval(value=value, low=float(low), high=float(high))


def _mean_figure(compared: Sequence[tuple[Pool, ...]], statistic: Statistic) -> float:
    """The mean over pools, each with its baseline if there is one, of the figure or of its difference."""
    return mean_known([statistic(pool) - sum(map(statistic, others)) for pool, *others in compared])


def _check_baseline(pools: Sequence[Pool], baseline: Sequence[Pool]) -> None:
    same = len(pools) == len(baseline) and all(
        np.array_equal(pool.accuracy, other.accuracy, equal_nan=True)
        for pool, other in zip(pools, baseline, strict=True)
    )
    if not same:
        raise InvalidInputError(
            f"{len(pools)} pools and a baseline of {len(baseline)}, with other accuracies; expected the same pools in "
            "the same order, with another criterion's scores."
        )


def _drawn(rng: np.random.Generator, *pools: Pool) -> tuple[Pool, ...]:
    """The same configurations and seeds of each pool, drawn with replacement.

    A draw in which a seed has no score in one of the pools is repeated: that search would not end with a choice.
    """
    num_configurations, num_seeds, _ = pools[0].scores.shape
    while True:
        configurations = rng.integers(num_configurations, size=(num_configurations,))
        seeds = rng.integers(num_seeds, size=(num_seeds,))
        drawn = tuple(pool.picked(configurations, seeds) for pool in pools)
        if all(np.isfinite(pool.scores).any(axis=(0, 2)).all() for pool in drawn):
            return drawn
