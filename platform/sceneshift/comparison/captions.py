"""What a table or picture says about how its figures came to be."""

import math
from collections.abc import Mapping, Sequence

from sceneshift.comparison.contrasts import Reference
from sceneshift.comparison.results import CellResult, ComparisonResults
from sceneshift.comparison.score_grid import ScoreGrid, has_scores
from sceneshift.comparison.statistics import FEWEST_GROUPS, LEVEL, Estimate

#: Failed cells that a caption names; the table of failed cells has them all.
_MOST_FAILED = 8

#: Parts of a comparison's caption that a single grid states by itself.
_OF_GRID = ("strategies", "strategy", "budget", "budgets", "protocol", "protocols", "groups")

#: What intervals are.
INTERVALS = (
    f"Intervals: {LEVEL:.0%} t intervals with a bootstrap standard error, of paired differences (same pair, same "
    "seed); on one pair over seeds, over all pairs over seeds and groups of scenes."
)

#: What bold means.
BOLD = "Bold: the best method, where its intervals against every other method exclude zero."


def notes_of_grid(results: ComparisonResults, grid: ScoreGrid) -> str:
    """How the figures of one grid came to be, which cells failed, and how often target labels were read.

    Args:
        results: The comparison.
        grid: One of its grids.
    """
    setting = grid.setting
    facts = {
        "protocol": setting.protocol,
        "budget": setting.budget,
        "strategy": setting.strategy,
        **{name: text for name, text in results.caption.items() if name not in _OF_GRID},
    }
    trained = {
        "fields": "all labelled fields after the choice",
        "blocks": "training blocks (the chosen network itself)",
    }
    parts = [
        f"Comparison {results.name}. {_listed(facts)}.",
        f"Networks trained on {' and '.join(trained[name] for name in grid.trained_on) or 'nothing: none has scores'}.",
        groups_sentence(grid),
        joins_sentence({setting.strategy: results.joins.get(setting.strategy, 0)}),
        failed_sentence(grid.failed),
    ]
    return " ".join(part for part in parts if part)


def notes_of_all(results: ComparisonResults) -> str:
    """The same for tables of every protocol, budget and strategy.

    Args:
        results: The comparison.
    """
    failed = [cell for cell in results.cells if not has_scores(cell)]
    parts = [
        f"Comparison {results.name}." + (f" {_listed(results.caption)}." if results.caption else ""),
        joins_sentence(results.joins),
        failed_sentence(failed),
    ]
    return " ".join(part for part in parts if part)


def groups_sentence(grid: ScoreGrid) -> str:
    """Which pairs are of one group, and whether there are p-values over groups."""
    by_group: dict[str, list[str]] = {}
    for pair in grid.scored_pairs:
        by_group.setdefault(grid.group_of(pair), []).append(pair)
    num = len(by_group)
    if num == 0:
        return ""
    named = "; ".join(f"{group}: {', '.join(pairs)}" for group, pairs in by_group.items())
    text = f"Independent groups of scenes: {num} ({named})."
    if num < FEWEST_GROUPS:
        text += (
            f" No p-value over pairs: {_groups(num)} {'is' if num == 1 else 'are'} fewer than {FEWEST_GROUPS}, and "
            f"two-sided none can be below {2 / 2**num:.2g}."
        )
    if num == 1:
        text += " No interval over groups either."
    return text


def joins_sentence(joins: Mapping[str, int]) -> str:
    """How often target labels were read, by strategy."""
    counts = ", ".join(f"{strategy} {count}" for strategy, count in joins.items())
    return f"Target labels were joined to predictions, by strategy: {counts or 'never'}."


def failed_sentence(failed: Sequence[CellResult]) -> str:
    """Which networks have no scores; empty if all do."""
    if not failed:
        return ""
    names = list(dict.fromkeys(f"{cell.label} on {cell.pair}, seed {cell.seed}" for cell in failed))
    shown, rest = names[:_MOST_FAILED], len(names) - _MOST_FAILED
    more = f"; and {rest} more, see the table of failed networks" if rest > 0 else ""
    return f"Failed, left out of all means: {'; '.join(shown)}{more}."


def interval_text(estimate: Estimate, level: float = LEVEL) -> str:
    """A difference in points with its interval, such as ``+1.2 [−0.3, 2.7]``.

    Args:
        estimate: The difference, as a fraction.
        level: The interval's level.
    """
    interval = estimate.interval(level)
    ends = "no interval" if math.isnan(interval.low) else f"{100 * interval.low:.1f}, {100 * interval.high:.1f}"
    return f"{100 * interval.value:+.1f} [{ends}]".replace("-", "−")


def reference_words(grid: ScoreGrid, reference: Reference) -> str:
    """What a reference is."""
    match reference:
        case Reference.BEST:
            return "the method that is best on the target there"
        case Reference.FLOOR:
            return "the spectral floor that is best on the target there"
        case Reference.ERM:
            return f"{grid.erm} (ERM)"


def _listed(facts: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in facts.items())


def _groups(num: int) -> str:
    return "1 group" if num == 1 else f"{num} groups"
