"""Pictures of a comparison: paired differences with intervals, and accuracy against seconds."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sceneshift.comparison.contrasts import Difference, Reference, differences_to, reference_label
from sceneshift.comparison.difference_tables import ALL_PAIRS
from sceneshift.comparison.score_grid import DECISIVE, FIGURES, ScoreGrid
from sceneshift.comparison.statistics import LEVEL, group_means
from sceneshift.report.themes import BEST, DEFAULTS, OTHER, Picture, legend_columns, paint, plain_style

#: Panels next to each other.
_COLUMNS = 3

#: Width of a picture in inches; that of the page.
_WIDTH = 9.6

#: Width of a picture with one panel.
_NARROW = 6.4

#: Colour and mark by what an interval excludes; the marks differ too, for readers who can't tell the colours.
_BETTER, _WORSE, _SAME, _UNKNOWN, _REFERENCE = (BEST, "^"), (DEFAULTS, "v"), (OTHER, "o"), (OTHER, "x"), (OTHER, "D")

#: An axis ends at this multiple of the largest difference, so that one wide interval doesn't hide all others.
_LONGEST_INTERVAL = 3.0

#: Where a number may be placed around its point, in points of 1/72 inch; the first free place is taken.
_PLACES = tuple(
    (radius * math.cos(angle), radius * math.sin(angle))
    for radius in (9, 15, 22, 30)
    for angle in np.linspace(math.pi / 4, 2 * math.pi + math.pi / 4, 8, endpoint=False)
)


def draw_differences(grid: ScoreGrid, reference: Reference) -> Picture | None:
    """Draw differences in AA to a reference with their intervals: all pairs together, and a panel per pair.

    Args:
        grid: The scores.
        reference: What methods are compared with.

    Returns:
        The picture; None where there is no reference, or nothing to compare with it.
    """
    pairs = grid.scored_pairs
    scopes: list[str | None] = [None, *pairs] if len(pairs) > 1 else [*pairs]
    found = {pair: differences_to(grid, reference, pair=pair) for pair in scopes}
    if not any(found.values()):
        return None
    with plain_style():
        figure = Figure(layout="constrained")
        for ax, (pair, differences) in zip(
            _panels(figure, len(scopes), panel_height=0.55 + 0.19 * len(grid.labels)), found.items(), strict=True
        ):
            _draw_panel(ax, grid, differences, reference_label(grid, reference, pair=pair))
            ax.set_title(pair or f"{ALL_PAIRS} ({_groups(grid.num_groups)})")
        which = str(grid.erm) if reference is Reference.ERM else f"the {reference} of the panel"
        figure.suptitle(f"{FIGURES[DECISIVE]} less that of {which}, points", fontsize=10)
        handles = [
            _handle(_BETTER, f"better: {LEVEL:.0%} interval above 0"),
            _handle(_WORSE, "worse: interval below 0"),
            _handle(_SAME, "not distinguishable"),
            _handle(_UNKNOWN, "no interval", line=False),
            _handle(_REFERENCE, "the reference itself", line=False),
            _handle((OTHER, ">"), "interval goes on"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3 if len(scopes) > 1 else 2, frameon=False)
        return paint(
            figure,
            alt=f"Paired differences in {FIGURES[DECISIVE]} to the {reference}, by pair, with intervals.",
            name=f"against_{reference.slug}_{grid.setting.slug}",
        )


def _draw_panel(ax: Axes, grid: ScoreGrid, differences: Sequence[Difference], other: str | None) -> None:
    rows = {label: len(grid.labels) - 1 - index for index, label in enumerate(grid.labels)}
    ax.axvline(0, color=OTHER, linewidth=1, zorder=1)
    limit = _limit(differences)
    for each in differences:
        interval, row = each.estimate.interval(), rows[each.label]
        low, high = 100 * interval.low, 100 * interval.high
        colour, mark = _look(interval.low, interval.high)
        if math.isfinite(low):
            ax.plot([max(low, -limit), min(high, limit)], [row, row], color=colour, linewidth=2, zorder=2)
            for end, beyond, arrow in ((-limit, low < -limit, "<"), (limit, high > limit, ">")):
                if beyond:
                    ax.plot(end, row, arrow, color=colour, markersize=5, zorder=2)
        ax.plot(100 * interval.value, row, mark, color=colour, markersize=5.5, zorder=3)
    if other is not None:
        ax.plot(0, rows[other], _REFERENCE[1], color=OTHER, markersize=4.5, zorder=3)
    ax.set_xlim(-1.06 * limit, 1.06 * limit)
    ax.set_yticks(list(rows.values()), [grid.title(label) for label in rows])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.grid(axis="x")
    ax.set_axisbelow(True)


def draw_seconds(grid: ScoreGrid) -> Picture | None:
    """Draw mean AA against mean training seconds: the mean over groups of scenes, and a panel per pair.

    Args:
        grid: The scores.

    Returns:
        The picture; None where no seconds are known.
    """
    pairs = grid.scored_pairs
    scopes: list[str | None] = [None, *pairs] if len(pairs) > 1 else [*pairs]
    points = {pair: dict(_points(grid, pair)) for pair in scopes}
    if not any(points.values()):
        return None
    numbers = {label: index for index, label in enumerate(grid.labels, start=1)}
    width = _WIDTH if len(scopes) > 1 else _NARROW
    columns = legend_columns([grid.title(label) for label in numbers], width=width, most=4)
    with plain_style():
        figure = Figure(layout="constrained")
        panels = list(_panels(figure, len(scopes), panel_height=2.6, share=False, extra=0.2 * len(numbers) / columns))
        for ax, (pair, found) in zip(panels, points.items(), strict=True):
            for label, (seconds, accuracy) in found.items():
                colour, mark = _look_of(grid, label)
                ax.plot(seconds, accuracy, mark, color=colour, markersize=5, zorder=3)
            ax.set_xscale("log")
            ax.margins(0.16)
            _plain_logarithmic(ax)
            ax.set_title(pair or f"mean over {_groups(grid.num_groups)}")
            ax.grid()
            ax.set_axisbelow(True)
        figure.suptitle(f"{FIGURES[DECISIVE]} on the target (%) against training time (s, logarithmic)", fontsize=10)
        handles = [
            Line2D([], [], color=_look_of(grid, label)[0], marker=f"${number}$", linestyle="", markersize=7,
                   label=grid.title(label))
            for label, number in numbers.items()
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
        figure.canvas.draw()  # places the panels, which the numbers' places depend on
        for ax, found in zip(panels, points.values(), strict=True):
            _number(ax, {numbers[label]: place for label, place in found.items()})
        return paint(
            figure,
            alt=f"{FIGURES[DECISIVE]} on the target against training seconds, by pair.",
            name=f"seconds_{grid.setting.slug}",
        )


def _points(grid: ScoreGrid, pair: str | None) -> Iterator[tuple[str, tuple[float, float]]]:
    """Labels with mean seconds and mean AA in per cent, where both are known."""
    for label in grid.labels:
        if pair is None:
            seconds = list(group_means(grid.of(label, "seconds"), grid.groups).values()) or [math.nan]
            place = float(np.mean(seconds)), 100 * grid.mean(label)
        elif np.isnan(grid.on(label, pair)).all():
            continue
        else:
            place = float(np.nanmean(grid.on(label, pair, "seconds"))), 100 * float(np.nanmean(grid.on(label, pair)))
        if place[0] > 0 and math.isfinite(place[1]):
            yield label, place


def _number(ax: Axes, places: Mapping[int, tuple[float, float]]) -> None:
    """Write each point's number near it, where neither points nor other numbers are."""
    scale = ax.figure.dpi / 72
    at = {number: ax.transData.transform(place) for number, place in places.items()}
    taken = [np.asarray(place) for place in at.values()]
    for number, place in at.items():
        candidates = [place + scale * np.array(offset) for offset in _PLACES]
        free = [c for c in candidates if all(np.hypot(*(c - other)) > 8.5 * scale for other in taken)]
        chosen = free[0] if free else candidates[0]
        taken.append(chosen)
        offset = (chosen - place) / scale
        far = bool(np.hypot(*offset) > 10)
        ax.annotate(
            str(number),
            places[number],
            xytext=tuple(offset),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7.5,
            arrowprops={"arrowstyle": "-", "color": OTHER, "linewidth": 0.6, "shrinkA": 3, "shrinkB": 2}
            if far
            else None,
        )


def _panels(figure: Figure, num: int, *, panel_height: float, share: bool = True, extra: float = 0.0) -> Iterator[Axes]:
    """Panels in rows of up to :data:`_COLUMNS`; a figure's size fits them."""
    columns = min(_COLUMNS, num)
    rows = -(-num // columns)
    figure.set_size_inches(_WIDTH if columns > 1 else _NARROW, rows * panel_height + 0.8 + extra)
    axes = figure.subplots(rows, columns, sharey=share, squeeze=False).ravel()
    for ax in axes[num:]:
        ax.remove()
    yield from axes[:num]


def _limit(differences: Sequence[Difference]) -> float:
    """Half the axis in points: all intervals, up to a multiple of the largest difference."""
    values = [abs(100 * each.estimate.value) for each in differences] or [0.0]
    intervals = [each.estimate.interval() for each in differences]
    ends = [abs(100 * end) for interval in intervals for end in (interval.low, interval.high) if math.isfinite(end)]
    return max(1.0, min(max([*ends, *values]), _LONGEST_INTERVAL * max(values)))


def _look(low: float, high: float) -> tuple[str, str]:
    if math.isnan(low):
        return _UNKNOWN
    if low > 0:
        return _BETTER
    return _WORSE if high < 0 else _SAME


def _look_of(grid: ScoreGrid, label: str) -> tuple[str, str]:
    return (DEFAULTS, "s") if label in grid.floors else (BEST, "o")


def _handle(look: tuple[str, str], label: str, *, line: bool = True) -> Line2D:
    colour, mark = look
    return Line2D([], [], color=colour, marker=mark, linewidth=2 if line else 0, markersize=5.5, label=label)


def _plain_logarithmic(ax: Axes) -> None:
    low, high = ax.get_xlim()
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 30 else (1.0,), numticks=5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _groups(num: int) -> str:
    return "1 group" if num == 1 else f"{num} groups"
