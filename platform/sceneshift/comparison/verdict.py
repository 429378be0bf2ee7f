"""What a comparison shows, in sentences: whether networks beat every spectral floor, by intervals.

The network of the first sentence is the one with the highest mean AA on the targets, chosen among all networks on the
very figures it is judged by. Its intervals are therefore drawn for all networks at once (Bonferroni). The pictures and
the other tables have each interval for itself; where that decides differently, the sentences say so.
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
        alone: The same by intervals for this network by itself, at :data:`LEVEL`, as pictures have them.
        level: The level of the intervals of ``outcomes``.
    """

    label: str
    outcomes: Mapping[str, Outcome]
    alone: Mapping[str, Outcome]
    level: float

    def differing(self) -> dict[Outcome, list[str]]:
        """The pairs on which the network taken alone is better or worse, while ``outcomes`` leave it open."""
        found: dict[Outcome, list[str]] = {}
        for pair, outcome in self.alone.items():
            if outcome is not self.outcomes[pair]:
                found.setdefault(outcome, []).append(pair)
        return found


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
            alone={pair: _outcome(grid, label, pair, LEVEL) for pair in grid.scored_pairs},
            level=level,
        )
        for label in networks
    ]


def verdict_sentence(grid: ScoreGrid) -> str:
    """The comparison's first sentence, and a second where the network taken alone is better or worse.

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
    intervals = "" if counts[Outcome.UNKNOWN] == total else f" ({LEVEL:.0%} intervals over seeds{networks})"
    return f"{what}, {best}, {_joined(phrases)}{intervals}.{_taken_alone(verdicts[best], len(verdicts))}"


def differing_words(verdict: NetworkVerdict) -> str:
    """On which pairs a network taken alone is better or worse, such as ``worse than the best floor on a``; or empty.

    Args:
        verdict: The network.
    """
    words = {Outcome.BETTER: "better than every floor", Outcome.WORSE: "worse than the best floor"}
    return " and ".join(f"{words[outcome]} on {', '.join(pairs)}" for outcome, pairs in verdict.differing().items())


def findings(grid: ScoreGrid) -> list[str]:
    """Further sentences: other networks, the winner over all pairs, and the comparison with ERM.

    Args:
        grid: The scores.
    """
    items = []
    verdicts = network_verdicts(grid)
    if verdicts:
        known = any(set(verdict.outcomes.values()) != {Outcome.UNKNOWN} for verdict in verdicts)
        beating = sum(Outcome.BETTER in verdict.outcomes.values() for verdict in verdicts)
        items.append(
            f"{beating} of {len(verdicts)} networks beat every floor on some pair"
            + (f" (intervals at {verdicts[0].level:.1%} each)." if known else ".")
        )
    best = best_of(grid, grid.labels, pair=None)
    if best is not None:
        items.append(f"{_highest(grid, best)}{_shown_to_be_best(grid, best)}")
    items += _against_erm(grid)
    if len(grid.seeds) < FEWEST_SEEDS:
        items.append("There is one seed: no interval over seeds is possible, and no winner is marked.")
    return items


def _taken_alone(verdict: NetworkVerdict, num_networks: int) -> str:
    words = differing_words(verdict)
    if not words:
        return ""
    return (
        f" Taken alone, at {LEVEL:.0%}, it is {words}; the verdict's intervals are wider because {num_networks} "
        "networks are judged at once."
    )


def _highest(grid: ScoreGrid, best: str) -> str:
    where = f"Over all pairs {best}" if len(grid.scored_pairs) > 1 else best
    return f"{where} has the highest mean {FIGURES[DECISIVE]}"


def _shown_to_be_best(grid: ScoreGrid, best: str) -> str:
    """Whether intervals over groups show it; with one group of scenes, what intervals over seeds show on each pair."""
    if grid.num_groups > 1:
        if winner(grid, pair=None) is not None:
            return ", and its intervals exclude every other method."
        return ", but its intervals don't exclude every other method: no method is shown to be best over all pairs."
    if len(grid.seeds) < FEWEST_SEEDS:  # a sentence of its own says that there are no intervals over seeds either
        return "."
    won: dict[str, list[str]] = {}
    for pair in grid.scored_pairs:
        if (label := winner(grid, pair=pair)) is not None:
            won.setdefault(label, []).append(pair)
    shown = "; ".join(f"on {' and '.join(pairs)} {label} is shown to be best" for label, pairs in won.items())
    if len(grid.scored_pairs) == 1:
        return f". By intervals over seeds {shown or 'no method is shown to be best'}."
    shown = shown or "on no pair is a method shown to be best"
    return f". With one group of scenes there is no interval over pairs; {shown}."


def _against_erm(grid: ScoreGrid) -> list[str]:
    erm = reference_label(grid, Reference.ERM, pair=None)
    others = [label for label in grid.networks if label != erm and has_any(grid, label, None)]
    best = best_of(grid, others, pair=None)
    if erm is None or best is None:
        return []
    estimate, level = difference(grid, best, erm, pair=None), simultaneous_level(len(others))
    at_once = f" for {len(others)} networks at once" if len(others) > 1 else ""
    has_interval = math.isfinite(estimate.interval(level).low)
    return [
        f"The best network other than ERM is {best}: {FIGURES[DECISIVE]} {interval_text(estimate, level)} points "
        f"against {erm}, over {estimate.groups} group{'' if estimate.groups == 1 else 's'} of scenes"
        + (f" ({LEVEL:.0%} interval{at_once})." if has_interval else ".")
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
