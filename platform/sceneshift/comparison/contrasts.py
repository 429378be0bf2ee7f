"""Paired differences between methods: with which method each is compared, and which winner the intervals carry.

A difference is paired: same pair, same seed. Its interval is over seeds on one pair, over groups of scenes on all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sceneshift.comparison.score_grid import DECISIVE, ScoreGrid
from sceneshift.comparison.statistics import (
    LEVEL,
    Estimate,
    group_means,
    holm,
    over_groups,
    over_seeds,
    sign_flip_p_value,
)

#: With fewer seeds a winner is never marked.
FEWEST_SEEDS = 2


class Reference(StrEnum):
    """What methods are compared with. Best method and best floor are chosen on the target, which favours them."""

    BEST = "best method"
    ERM = "ERM"
    FLOOR = "best floor"

    @property
    def slug(self) -> str:
        """A part of file names."""
        return {Reference.BEST: "best", Reference.ERM: "erm", Reference.FLOOR: "floor"}[self]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A method's figure less that of another.

    Args:
        label: The method.
        reference: The label of the method that is subtracted.
        pair: The pair; None over all pairs.
        estimate: The difference.
        p_value: Two-sided p-value over groups; NaN on one pair and of too few groups.
        adjusted_p_value: The same, adjusted for the number of methods compared with the reference.
    """

    label: str
    reference: str
    pair: str | None
    estimate: Estimate
    p_value: float = math.nan
    adjusted_p_value: float = math.nan


def difference(grid: ScoreGrid, label: str, other: str, *, pair: str | None, figure: str = DECISIVE) -> Estimate:
    """The mean paired difference of two methods.

    Args:
        grid: The scores.
        label: The method.
        other: The method that is subtracted.
        pair: The pair; None for all pairs on which both have scores.
        figure: The figure.
    """
    paired = _paired(grid, label, other, figure)
    return over_groups(paired, grid.groups) if pair is None else over_seeds(paired[grid.pairs.index(pair)])


def best_of(grid: ScoreGrid, labels: Sequence[str], *, pair: str | None, figure: str = DECISIVE) -> str | None:
    """The label with the highest mean; None if none has scores.

    Args:
        grid: The scores.
        labels: The labels to choose from.
        pair: The pair; None for the mean over groups, among methods that have scores on every pair.
        figure: The figure.
    """
    means = {label: _mean(grid, label, pair, figure) for label in labels}
    known = [label for label, mean in means.items() if not math.isnan(mean)]
    return max(known, key=means.__getitem__, default=None)


def reference_label(grid: ScoreGrid, reference: Reference, *, pair: str | None, figure: str = DECISIVE) -> str | None:
    """The label that a reference means on a pair, or on all (None); None if there is none with scores."""
    match reference:
        case Reference.BEST:
            return best_of(grid, grid.labels, pair=pair, figure=figure)
        case Reference.FLOOR:
            return best_of(grid, sorted(grid.floors), pair=pair, figure=figure)
        case Reference.ERM:
            return None if grid.erm is None else best_of(grid, [grid.erm], pair=pair, figure=figure)


def differences_to(
    grid: ScoreGrid, reference: Reference, *, pair: str | None, figure: str = DECISIVE, chosen_by: str | None = None
) -> list[Difference]:
    """The differences of all other methods with scores to a reference; empty if there is no reference.

    Args:
        grid: The scores.
        reference: What to compare with.
        pair: The pair; None for all.
        figure: The figure.
        chosen_by: The figure that best method and best floor are chosen by; by default the same.
    """
    other = reference_label(grid, reference, pair=pair, figure=chosen_by or figure)
    if other is None:
        return []
    compared = [label for label in grid.labels if label != other]
    estimates = {label: difference(grid, label, other, pair=pair, figure=figure) for label in compared}
    known = [label for label, estimate in estimates.items() if not math.isnan(estimate.value)]
    p_values = [math.nan] * len(known)
    if pair is None:
        means = [group_means(_paired(grid, label, other, figure), grid.groups) for label in known]
        p_values = [sign_flip_p_value(list(by_group.values())) for by_group in means]
    return [
        Difference(label=label, reference=other, pair=pair, estimate=estimates[label], p_value=p, adjusted_p_value=q)
        for label, p, q in zip(known, p_values, holm(p_values), strict=True)
    ]


def winner(grid: ScoreGrid, *, pair: str | None, figure: str = DECISIVE) -> str | None:
    """The best method, if intervals carry it: its difference to every other method excludes zero.

    Args:
        grid: The scores.
        pair: The pair; None for all.
        figure: The figure.

    Returns:
        Its label; None where an interval includes zero or is unknown, or a seed is all there is on some pair.
    """
    best = best_of(grid, grid.labels, pair=pair, figure=figure)
    if best is None:
        return None
    others = [label for label in grid.labels if label != best and has_any(grid, label, pair)]
    estimates = [difference(grid, best, label, pair=pair, figure=figure) for label in others]
    carried = [estimate.seeds >= FEWEST_SEEDS and estimate.interval().low > 0 for estimate in estimates]
    return best if carried and all(carried) else None


def has_any(grid: ScoreGrid, label: str, pair: str | None) -> bool:
    """Whether a method has scores on a pair, or on some pair (None)."""
    values = grid.of(label) if pair is None else grid.on(label, pair)
    return not bool(np.isnan(values).all())


def simultaneous_level(num: int, level: float = LEVEL) -> float:
    """The level at which each of several intervals is drawn so that all hold together at ``level`` (Bonferroni)."""
    return 1 - (1 - level) / max(1, num)


def _paired(grid: ScoreGrid, label: str, other: str, figure: str) -> NDArray[np.float64]:
    """(P, S) differences; NaN where either lacks the figure."""
    return grid.of(label, figure) - grid.of(other, figure)


def _mean(grid: ScoreGrid, label: str, pair: str | None, figure: str) -> float:
    if pair is None:
        return grid.mean(label, figure)
    values = grid.on(label, pair, figure)
    return math.nan if np.isnan(values).all() else float(np.nanmean(values))
