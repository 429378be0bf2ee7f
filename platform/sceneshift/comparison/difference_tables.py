"""Tables of paired differences, and of the floors that each network beats."""

from collections.abc import Sequence

from sceneshift.comparison.captions import interval_text, reference_words
from sceneshift.comparison.contrasts import Reference, differences_to, reference_label
from sceneshift.comparison.score_grid import DECISIVE, FIGURES, ScoreGrid
from sceneshift.comparison.statistics import LEVEL, Estimate
from sceneshift.comparison.tables import MOST_NARROW
from sceneshift.comparison.verdict import NetworkVerdict, Outcome, differing_words, network_verdicts
from sceneshift.report.tables import NOTHING, Cell, Table, Value, digits

#: The row and column over all pairs.
ALL_PAIRS = "all pairs"


def differences_table(grids: Sequence[ScoreGrid]) -> Table:
    """One row per setting, reference, pair (and all pairs) and method, with every figure's difference and interval.

    Args:
        grids: The scores.
    """
    rows: list[list[Cell | Value]] = []
    for grid in grids:
        for reference in Reference:
            for pair in (*grid.scored_pairs, None):
                rows += _rows(grid, reference, pair)
    return Table(
        name="differences",
        caption=f"Paired differences (same pair, same seed) with {LEVEL:.0%} intervals, method less reference; AA "
        "and OA in points. p: signs of the groups' mean AA differences flipped. Holm: adjusted for the number of "
        "methods compared with one reference.",
        columns=[
            *("protocol", "budget", "strategy", "against", "reference", "pair", "method", "seeds", "groups"),
            *(column for name in FIGURES.values() for column in (name, f"{name} low", f"{name} high")),
            *("p", "p, Holm"),
        ],
        rows=rows,
        printed=False,
    )


def _rows(grid: ScoreGrid, reference: Reference, pair: str | None) -> list[list[Cell | Value]]:
    # The reference of AA is the reference of all figures in a row.
    other = reference_label(grid, reference, pair=pair)
    if other is None:
        return []
    by_figure = {
        figure: {
            each.label: each for each in differences_to(grid, reference, pair=pair, figure=figure, chosen_by=DECISIVE)
        }
        for figure in FIGURES
    }
    rows: list[list[Cell | Value]] = []
    for label, found in by_figure[DECISIVE].items():
        cells: list[Cell] = []
        for figure in FIGURES:
            interval = by_figure[figure][label].estimate.interval()
            cells += [_points(value, figure) for value in (interval.value, interval.low, interval.high)]
        rows.append(
            [
                *(grid.setting.protocol, grid.setting.budget, grid.setting.strategy),
                *(str(reference), other, pair or ALL_PAIRS, grid.title(label)),
                *(found.estimate.seeds, found.estimate.groups),
                *cells,
                *(digits(found.p_value, 3), digits(found.adjusted_p_value, 3)),
            ]
        )
    return rows


def against_table(grid: ScoreGrid, reference: Reference) -> Table | None:
    """Methods by pairs: differences in AA to a reference with intervals; None without a reference.

    Args:
        grid: The scores.
        reference: What methods are compared with.
    """
    scopes = (*grid.scored_pairs, None)
    found = {pair: differences_to(grid, reference, pair=pair) for pair in scopes}
    if not any(found.values()):
        return None
    columns = {pair: {each.label: each.estimate for each in differences} for pair, differences in found.items()}
    others = {pair: reference_label(grid, reference, pair=pair) for pair in scopes}
    rows: list[list[Cell | Value]] = [
        [
            grid.title(label),
            *(
                Cell(value=0.0, shown="reference")
                if others[pair] == label
                else _interval_cell(columns[pair].get(label))
                for pair in scopes
            ),
        ]
        for label in grid.labels
    ]
    return Table(
        name=f"against_{reference.slug}_{grid.setting.slug}",
        caption=f"{FIGURES[DECISIVE]}, points: paired difference to {reference_words(grid, reference)}, with "
        f"{LEVEL:.0%} intervals; on a pair over seeds, over all pairs over seeds and groups of scenes.",
        columns=["method", *(pair or ALL_PAIRS for pair in scopes)],
        rows=rows,
        wide=len(scopes) + 1 > MOST_NARROW - 1,
    )


def floors_table(grid: ScoreGrid) -> Table | None:
    """For each network, the pairs on which it beats every floor; None without floors or networks.

    Args:
        grid: The scores.
    """
    verdicts = network_verdicts(grid)
    if not verdicts:
        return None
    pairs = grid.scored_pairs
    rows: list[list[Cell | Value]] = [
        [
            verdict.label,
            sum(outcome is Outcome.BETTER for outcome in verdict.outcomes.values()),
            *(str(verdict.outcomes[pair]) for pair in pairs),
        ]
        for verdict in verdicts
    ]
    return Table(
        name=f"floors_{grid.setting.slug}",
        caption=f"Networks against spectral floors in {FIGURES[DECISIVE]}: better than every floor, worse than the "
        f"best floor, or neither. Intervals over seeds are at {verdicts[0].level:.1%} each, so that those of all "
        f"{len(verdicts)} networks hold together at {LEVEL:.0%} on a pair (Bonferroni).{_taken_alone(verdicts)}",
        columns=["network", "pairs won", *pairs],
        rows=rows,
        wide=len(pairs) + 2 > MOST_NARROW,
    )


def _taken_alone(verdicts: Sequence[NetworkVerdict]) -> str:
    words = {verdict.label: differing_words(verdict) for verdict in verdicts}
    listed = "; ".join(f"{label} is {text}" for label, text in words.items() if text)
    return f" Taken alone, at {LEVEL:.0%}, as in pictures: {listed}." if listed else ""


def _interval_cell(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(value=None, shown=NOTHING)
    return Cell(value=100 * estimate.value, shown=interval_text(estimate))


def _points(value: float, figure: str) -> Cell:
    return digits(value, 3) if figure == "kappa" else digits(100 * value, 1)
