"""What a comparison shows, in sentences: whether networks beat every spectral floor, by intervals.

The network of the first sentence is the one with the highest mean AA on the targets, chosen among all networks on the
very figures it is judged by. Its intervals are therefore drawn for all networks at once (Bonferroni).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sceneshift.comparison.captions import interval_text
from sceneshift.comparison.contrasts import (
    FEWEST_SEEDS,
    Reference,
    best_of,
    difference,
    has_any,
    reference_label,
    simultaneous_level,
    winner,
)
from sceneshift.comparison.score_grid import DECISIVE, FIGURES, ScoreGrid
from sceneshift.comparison.statistics import LEVEL


class Outcome(StrEnum):
    """How a network compares on one pair: better than every spectral floor, worse than the best one, or neither."""

    BETTER = "better"
    SAME = "not distinguishable"
    WORSE = "worse"
    UNKNOWN = "no interval"


@dataclass(frozen=True, kw_only=True)
class NetworkVerdict:
    """A network compared with the floors.

    Args:
        label: The network.
        outcomes: By pair with scores.
        level: The level of the intervals.
    """

    label: str
    outcomes: Mapping[str, Outcome]
    level: float


def network_verdicts(grid: ScoreGrid) -> list[NetworkVerdict]:
    """Compare every network with every floor on every pair; empty without floors or networks.

    Args:
        grid: The scores.
    """
    if not grid.floors:
        return []
    networks = [label for label in grid.networks if has_any(grid, label, None)]
    level = simultaneous_level(len(networks))
    return [
        NetworkVerdict(
            label=label,
            outcomes={pair: _outcome(grid, label, pair, level) for pair in grid.scored_pairs},
            level=level,
        )
        for label in networks
    ]


def verdict_sentence(grid: ScoreGrid) -> str:
    """The comparison's first sentence.

    Args:
        grid: The scores.
    """
    figure = FIGURES[DECISIVE]
    verdicts = {verdict.label: verdict for verdict in network_verdicts(grid)}
    if not grid.scored_pairs:
        return "No network has scores: nothing can be compared."
    best = best_of(grid, grid.networks, pair=None)
    if not verdicts:
        return f"No {'floor' if not grid.floors else 'network'} was scored, so networks can't be compared with floors."
    if best is None:
        return "No network has scores on every pair, so none can be named as the best."
    outcomes = verdicts[best].outcomes
    counts = {outcome: sum(found is outcome for found in outcomes.values()) for outcome in Outcome}
    total = len(outcomes)
    phrases = [f"beats every floor on {counts[Outcome.BETTER]} of {total} {_pairs(total)}"]
    phrases += [
        f"{words} on {counts[outcome]}"
        for outcome, words in (
            (Outcome.SAME, "can't be distinguished from the best floor"),
            (Outcome.WORSE, "is worse than the best floor"),
            (Outcome.UNKNOWN, "has no interval"),
        )
        if counts[outcome]
    ]
    what = f"The network with the highest mean {figure}" if len(verdicts) > 1 else "The network"
    networks = f" for all {len(verdicts)} networks at once" if len(verdicts) > 1 else ""
    return f"{what}, {best}, {_joined(phrases)} ({LEVEL:.0%} intervals over seeds{networks})."


def findings(grid: ScoreGrid) -> list[str]:
    """Further sentences: other networks, the winner over all pairs, and the comparison with ERM.

    Args:
        grid: The scores.
    """
    figure = FIGURES[DECISIVE]
    items = []
    verdicts = network_verdicts(grid)
    if verdicts:
        beating = sum(Outcome.BETTER in verdict.outcomes.values() for verdict in verdicts)
        items.append(
            f"{beating} of {len(verdicts)} networks beat every floor on some pair (intervals at "
            f"{verdicts[0].level:.1%} each)."
        )
    won = winner(grid, pair=None)
    best = best_of(grid, grid.labels, pair=None)
    if won is not None:
        items.append(
            f"Over all pairs {won} has the highest mean {figure}, and its intervals exclude every other method."
        )
    elif best is not None:
        items.append(
            f"Over all pairs {best} has the highest mean {figure}, but its intervals don't exclude every other method: "
            "no method is shown to be best."
        )
    items += _against_erm(grid)
    if len(grid.seeds) < FEWEST_SEEDS:
        items.append("There is one seed: no interval over seeds is possible, and no winner is marked.")
    return items


def _against_erm(grid: ScoreGrid) -> list[str]:
    erm = reference_label(grid, Reference.ERM, pair=None)
    others = [label for label in grid.networks if label != erm and has_any(grid, label, None)]
    best = best_of(grid, others, pair=None)
    if erm is None or best is None:
        return []
    estimate, level = difference(grid, best, erm, pair=None), simultaneous_level(len(others))
    at_once = f" for {len(others)} networks at once" if len(others) > 1 else ""
    return [
        f"The best network other than ERM is {best}: {FIGURES[DECISIVE]} {interval_text(estimate, level)} points "
        f"against {erm}, over {estimate.groups} group{'' if estimate.groups == 1 else 's'} of scenes ({LEVEL:.0%} "
        f"interval{at_once})."
    ]


def _outcome(grid: ScoreGrid, label: str, pair: str, level: float) -> Outcome:
    floors = [floor for floor in grid.labels if floor in grid.floors and has_any(grid, floor, pair)]
    best = best_of(grid, floors, pair=pair)
    if best is None or not has_any(grid, label, pair):
        return Outcome.UNKNOWN
    intervals = {floor: difference(grid, label, floor, pair=pair).interval(level) for floor in floors}
    if math.isnan(intervals[best].low):
        return Outcome.UNKNOWN
    if all(interval.low > 0 for interval in intervals.values()):
        return Outcome.BETTER
    return Outcome.WORSE if intervals[best].high < 0 else Outcome.SAME


def _pairs(num: int) -> str:
    return "pair" if num == 1 else "pairs"


def _joined(phrases: list[str]) -> str:
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])}{',' if len(phrases) > 2 else ''} and {phrases[-1]}"
