"""Tables of accuracies: methods by pairs, one row per method and pair, per class, spread, strategies, failures.

Accuracies are in per cent, differences in points, kappa as it is; CSV files have twelve digits of them.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sceneshift.comparison.contrasts import winner
from sceneshift.comparison.score_grid import DECISIVE, FIGURES, ScoreGrid
from sceneshift.comparison.statistics import mean_and_deviation
from sceneshift.report.tables import NOTHING, Cell, Table, Value, digits

#: More columns than this don't fit a page.
MOST_NARROW = 5

#: The two kinds of spread by protocol.
SPREADS = {"tune-once": "seeds at fixed settings", "tune-anew": "tune-and-train repeats"}


def accuracy_table(grid: ScoreGrid, figure: str = DECISIVE) -> Table:
    """Methods by pairs: mean ± standard deviation over seeds, the mean over groups, and the worst pair.

    Args:
        grid: The scores.
        figure: The figure.
    """
    pairs = grid.scored_pairs
    winners = {pair: winner(grid, pair=pair, figure=figure) for pair in (*pairs, None)}
    rows: list[list[Cell | Value]] = []
    for label in grid.labels:
        means = {pair: mean_and_deviation(grid.on(label, pair, figure))[0] for pair in pairs}
        known = {pair: mean for pair, mean in means.items() if not math.isnan(mean)}
        worst = min(known, key=known.__getitem__, default=None)
        rows.append(
            [
                grid.title(label),
                *(_mean_cell(grid, label, pair, figure, strong=winners[pair] == label) for pair in pairs),
                figure_cell(grid.mean(label, figure), figure, strong=winners[None] == label),
                Cell(value=None, shown=NOTHING)
                if worst is None
                else Cell(
                    value=_scaled(known[worst], figure),
                    shown=f"{figure_cell(known[worst], figure).shown} ({worst})",
                ),
            ]
        )
    num, groups = len(grid.seeds), grid.num_groups
    seeds = f"mean ± standard deviation over seeds ({num} seeds, fewer where a number in parentheses says so)"
    return Table(
        name=f"accuracy_{figure}_{grid.setting.slug}",
        caption=f"{_name_and_unit(figure)} on the target, {seeds if num > 1 else 'one seed'}; mean over "
        f"groups of scenes ({groups}), {NOTHING} if a pair is missing; worst pair.",
        columns=["method", *pairs, "mean", "worst pair"],
        rows=rows,
        wide=len(pairs) + 3 > MOST_NARROW,
    )


def scores_table(grids: Sequence[ScoreGrid]) -> Table:
    """One row per method and pair of every setting, with the number of seeds and failures.

    Args:
        grids: The scores.
    """
    rows: list[list[Cell | Value]] = []
    for grid in grids:
        failed = [(cell.label, cell.pair) for cell in grid.failed]
        for pair in grid.pairs:
            for label in grid.labels:
                num_failed = failed.count((label, pair))
                moments = {name: mean_and_deviation(grid.on(label, pair, name)) for name in (*FIGURES, "seconds")}
                num = moments[DECISIVE][2]
                if num + num_failed == 0:
                    continue
                figures = [
                    cell
                    for name in FIGURES
                    for cell in (figure_cell(moments[name][0], name), figure_cell(moments[name][1], name))
                ]
                rows.append(
                    [
                        *(grid.setting.protocol, grid.setting.budget, grid.setting.strategy),
                        *(pair, grid.group_of(pair), grid.title(label), num, num_failed),
                        *figures,
                        digits(moments["seconds"][0], 1),
                    ]
                )
    return Table(
        name="scores",
        caption="Scores on the target: mean and standard deviation over seeds (n); AA and OA in per cent.",
        columns=[
            *("protocol", "budget", "strategy", "pair", "group", "method", "n", "failed"),
            *(column for name in FIGURES.values() for column in (name, f"{name} std")),
            "training, s",
        ],
        rows=rows,
        printed=False,
    )


def per_class_table(grid: ScoreGrid, pair: str) -> Table:
    """Accuracy per class of every method on one pair: mean ± standard deviation over seeds.

    Args:
        grid: The scores.
        pair: A pair with scores.
    """
    recalls = {label: grid.recalls(label, pair) for label in grid.labels}
    shown = [label for label in grid.labels if len(recalls[label])]
    pixels = next(grid.confusions[label, pair][0].sum(axis=1) for label in shown)
    rows: list[list[Cell | Value]] = [
        [name, int(pixels[k]), *(_moments_cell(recalls[label][:, k], DECISIVE) for label in shown)]
        for k, name in enumerate(grid.class_names[pair])
    ]
    return Table(
        name=f"per_class_{pair}_{grid.setting.slug}",
        caption=f"Accuracy per class on the target of {pair}, %, mean ± standard deviation over seeds.",
        columns=["class", "pixels", *map(grid.title, shown)],
        rows=rows,
        wide=len(shown) + 2 > MOST_NARROW,
    )


def spread_table(grids: Sequence[ScoreGrid], figure: str = DECISIVE) -> Table:
    """Both kinds of spread apart: seeds at fixed settings, and repeats of tuning and training.

    Args:
        grids: The scores. Grids of one budget and strategy share rows.
        figure: The figure.
    """
    by_row: dict[tuple[str, str, str, str], dict[str, tuple[float, int]]] = {}
    for grid in grids:
        for pair in grid.scored_pairs:
            for label in grid.labels:
                _, deviation, num = mean_and_deviation(grid.on(label, pair, figure))
                key = (grid.setting.budget, grid.setting.strategy, pair, grid.title(label))
                by_row.setdefault(key, {})[grid.setting.protocol] = (deviation, num)
    protocols = [*SPREADS, *(name for name in dict.fromkeys(g.setting.protocol for g in grids) if name not in SPREADS)]
    rows: list[list[Cell | Value]] = [
        [*key, *(c for name in protocols for c in _spread_cells(found.get(name, (math.nan, 0)), figure))]
        for key, found in by_row.items()
    ]
    return Table(
        name="spread",
        caption=f"Standard deviation of {FIGURES[figure]} on the target, in points: over seeds of one configuration "
        "(tune-once), and over repeats of tuning and training with draws of their own (tune-anew). They are never "
        f"pooled; {NOTHING} where there were no such runs.",
        columns=[
            *("budget", "strategy", "pair", "method"),
            *(column for name in protocols for column in (f"std over {SPREADS.get(name, name)}", "n")),
        ],
        rows=rows,
        printed=False,
    )


def strategies_table(grids: Sequence[ScoreGrid], figure: str = DECISIVE) -> Table | None:
    """Methods by strategies: the mean over groups; None if no protocol and budget has more than one strategy.

    Args:
        grids: The scores.
        figure: The figure.
    """
    strategies = list(dict.fromkeys(grid.setting.strategy for grid in grids))
    if len(strategies) < 2:
        return None
    by_row: dict[tuple[str, str, str], dict[str, float]] = {}
    for grid in grids:
        for label in grid.labels:
            key = (grid.setting.protocol, grid.setting.budget, grid.title(label))
            by_row.setdefault(key, {})[grid.setting.strategy] = grid.mean(label, figure)
    rows: list[list[Cell | Value]] = [
        [*key, *(figure_cell(found.get(name, math.nan), figure) for name in strategies)]
        for key, found in by_row.items()
    ]
    blocks = sorted({grid.setting.strategy for grid in grids if "blocks" in grid.trained_on})
    note = f" Under {', '.join(blocks)} some networks were not trained again on all fields." if blocks else ""
    return Table(
        name="strategies",
        caption=f"{_name_and_unit(figure)} on the target, mean over groups of scenes, by the strategy that chose "
        f"configuration and epoch.{note}",
        columns=["protocol", "budget", "method", *strategies],
        rows=rows,
        wide=True,
    )


def failed_table(grids: Sequence[ScoreGrid]) -> Table | None:
    """The networks without scores and why; None if all have some.

    Args:
        grids: The scores.
    """
    cells = [cell for grid in grids for cell in grid.failed]
    if not cells:
        return None
    return Table(
        name="failed",
        caption="Networks without scores. They are left out of all means, and n is smaller there.",
        columns=["protocol", "budget", "strategy", "pair", "method", "seed", "reason"],
        rows=[
            [
                *(c.protocol, c.budget, c.strategy, c.pair, c.label, c.seed),
                c.failed or "no finite scores, no reason given",
            ]
            for c in cells
        ],
        wide=True,
    )


def figure_cell(value: float, figure: str, *, strong: bool = False) -> Cell:
    """An accuracy in per cent with one digit, or a kappa with three.

    Args:
        value: A fraction, or NaN.
        figure: Its figure.
        strong: Whether it is bold.
    """
    shown = digits(_scaled(value, figure), _places(figure))
    return Cell(value=shown.value, shown=shown.shown, strong=strong)


def _mean_cell(grid: ScoreGrid, label: str, pair: str, figure: str, *, strong: bool) -> Cell:
    values = grid.on(label, pair, figure)
    cell = _moments_cell(values, figure, strong=strong)
    num = int((~np.isnan(values)).sum())
    few = f" ({num})" if 0 < num < len(grid.seeds) else ""
    return Cell(value=cell.value, shown=cell.shown + few, strong=strong)


def _moments_cell(values: NDArray[np.float64], figure: str, *, strong: bool = False) -> Cell:
    mean, deviation, _ = mean_and_deviation(values)
    cell = figure_cell(mean, figure, strong=strong)
    if math.isnan(deviation):
        return cell
    return Cell(value=cell.value, shown=f"{cell.shown} ± {figure_cell(deviation, figure).shown}", strong=strong)


def _spread_cells(found: tuple[float, int], figure: str) -> tuple[Cell, int]:
    deviation, num = found
    shown = digits(_scaled(deviation, figure), 2 if figure != "kappa" else 3)
    return shown, num


def _scaled(value: float, figure: str) -> float:
    return value if figure == "kappa" else 100 * value


def _places(figure: str) -> int:
    return 3 if figure == "kappa" else 1


def _name_and_unit(figure: str) -> str:
    return FIGURES[figure] if figure == "kappa" else f"{FIGURES[figure]}, %,"
