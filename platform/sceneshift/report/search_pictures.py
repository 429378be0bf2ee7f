"""Pictures of a search: history, curves, importances, slices, contours, parallel coordinates, time.

If Optuna draws one (:mod:`optuna.visualization.matplotlib`), its drawing is used and tidied; it has no way to highlight
the winner, to show intervals, or to fit many parameters.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from optuna.trial import FrozenTrial, TrialState
from scipy.spatial import ConvexHull, QhullError

from sceneshift.report.importances import Importance
from sceneshift.report.themes import BEST, DEFAULTS, OTHER, Picture, paint, plain_style
from sceneshift.selection.strategy import SourceBlocks

#: The objective of searches that source-blocks steers; others name theirs.
OBJECTIVE = SourceBlocks.metric

#: For lines on white and on near black: violet, magenta, orange, each lighter than the one before.
_ON_BOTH = LinearSegmentedColormap.from_list("on_both", ["#6a6fd0", "#c2549d", "#f0902b"])


def draw_history(study: optuna.Study, *, objective: str = OBJECTIVE) -> Picture | None:
    """The objective of the trials that ran to their end, and the best so far; None if there is none."""
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return None
    with plain_style():
        figure = _figure(optuna.visualization.matplotlib.plot_optimization_history, study)
        (ax,) = figure.axes[:1]
        ax.set_title("")
        ax.set_xlabel("trial (0: the defaults)")
        ax.set_ylabel(objective)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        for collection in ax.collections:
            collection.set_color(BEST)
        for line in ax.get_lines():
            line.set(color=DEFAULTS, alpha=1)
        _legend_below(figure, ax)
        return _painted(figure, 7.6, 3.4, alt="Objective of every complete trial, and the best so far.")


def draw_learning_curves(
    study: optuna.Study, *, best: int | None, objective: str = OBJECTIVE, defaults: int = 0
) -> Picture | None:
    """The objective after every epoch of every trial, winner and defaults in colour; None before the first epoch."""
    reached = [t for t in study.get_trials(deepcopy=False) if t.intermediate_values]
    if not reached:
        return None
    with plain_style():
        figure = _figure(optuna.visualization.matplotlib.plot_intermediate_values, study)
        (ax,) = figure.axes[:1]
        colours = {defaults: DEFAULTS, best: BEST}  # the winner's colour if the defaults are the winner
        # Optuna labels its lines "Trial0", "Trial1", …
        for line in ax.get_lines():
            number = int(str(line.get_label()).removeprefix("Trial"))
            line.set(color=colours.get(number, OTHER), linewidth=2 if number in colours else 1, marker="", alpha=1)
            line.set_zorder(3 if number in colours else 2)
        for trial in reached:
            last = max(trial.intermediate_values)
            mark = {"PRUNED": "x", "FAIL": "X", "RUNNING": ">"}.get(trial.state.name, "o")
            ax.plot(last, trial.intermediate_values[last], mark, color=colours.get(trial.number, OTHER), markersize=5)
        legend = ax.get_legend()
        if legend is not None:
            legend.remove()
        ax.set_title("")
        ax.set_xlabel("epoch")
        ax.set_ylabel(objective)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        kinds = [("best", BEST), ("defaults", DEFAULTS), ("others", OTHER)]
        if best is None or best == defaults:
            kinds = [("defaults" if best is None else "best: the defaults", colours[defaults]), ("others", OTHER)]
        handles = [Line2D([], [], color=colour, linewidth=2, label=name) for name, colour in kinds]
        handles += [
            Line2D([], [], color=OTHER, marker=mark, linestyle="", markersize=5, label=name)
            for mark, name in (("o", "ran to its end"), ("x", "stopped early"))
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
        return _painted(figure, 7.6, 3.9, alt="Objective after every epoch, one line per trial.")


def draw_importances(importances: Sequence[Importance]) -> Picture:
    """Importances with their 90 % intervals over drawn trials, and what chance gives."""
    with plain_style():
        figure = Figure(figsize=(7.6, 1.0 + 0.27 * len(importances)), layout="constrained")
        ax = figure.subplots()
        ys = np.arange(len(importances))[::-1]
        values = np.array([i.value for i in importances])
        low, high = np.array([i.low for i in importances]), np.array([i.high for i in importances])
        colours = [BEST if i.stands_out else OTHER for i in importances]
        ax.barh(ys, values, height=0.62, color=colours, zorder=2)
        for y, a, b in zip(ys, low, high, strict=True):
            ax.plot([a, b], [y, y], color=DEFAULTS, linewidth=1.4, solid_capstyle="butt", zorder=3)
        ax.plot([i.chance for i in importances], ys, "|", color="#cc79a7", markersize=11, markeredgewidth=2, zorder=4)
        ax.set_yticks(ys, [i.name for i in importances])
        ax.set_xlabel("share of importance")
        ax.grid(axis="x", zorder=0)
        ax.set_axisbelow(True)
        handles = [
            Line2D([], [], color=BEST, linewidth=6, label="above chance"),
            Line2D([], [], color=OTHER, linewidth=6, label="not above chance"),
            Line2D([], [], color=DEFAULTS, linewidth=1.4, label="90 % over drawn trials"),
            Line2D([], [], color="#cc79a7", marker="|", linestyle="", markersize=11, markeredgewidth=2, label="chance"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
        return paint(figure, alt="Importance of every parameter, with intervals and what chance gives.")


def draw_slices(
    compared: optuna.Study, names: Sequence[str], *, epoch: int, objective: str = OBJECTIVE
) -> Picture | None:
    """The objective over single parameters, one panel each; None where there is nothing to draw."""
    if not names or not _complete(compared):
        return None
    with plain_style():
        figure = _figure(lambda: optuna.visualization.matplotlib.plot_slice(compared, params=list(names)))
        panels = [ax for ax in figure.axes if ax.get_xlabel() in names]
        for ax in figure.axes:
            if ax not in panels:
                ax.remove()  # the colour bar of trial numbers: the order of trials is not a result
        for index, ax in enumerate(panels):
            ax.set_ylabel(f"{objective}, epoch {epoch}" if index == 0 else "")
            _tidy_logarithmic(ax.xaxis)
            for collection in ax.collections:
                collection.set_array(None)
                collection.set_facecolor(BEST)
                collection.set_edgecolor("#ffffff")
                collection.set_linewidth(0.5)
        figure.suptitle("")
        return _painted(figure, 1.2 + 1.75 * len(panels), 2.6, alt=f"Objective over {', '.join(names)}.")


def draw_contour(
    compared: optuna.Study, first: str, second: str, *, epoch: int, objective: str = OBJECTIVE
) -> Picture | None:
    """The objective over a pair of parameters, interpolated between trials.

    None for fewer than four trials that have both parameters, or where they agree in one of them: there is no surface.
    """
    points = [(t.params[first], t.params[second]) for t in _complete(compared) if {first, second} <= set(t.params)]
    if len(points) < 4 or any(len(set(values)) < 2 for values in zip(*points, strict=True)):
        return None
    with plain_style():
        figure = _figure(lambda: optuna.visualization.matplotlib.plot_contour(compared, params=[first, second]))
        figure.axes[0].set_title("")
        _keep_to_points(figure.axes[0])
        for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
            _tidy_logarithmic(axis)
        figure.axes[1].set_ylabel(f"{objective}, epoch {epoch}")
        return _painted(figure, 4.1, 3.2, alt=f"Objective over {first} and {second}.", constrained=False)


def _keep_to_points(ax: Axes) -> None:
    """Show filled contours only between the trials: beyond their convex hull they would be made up."""
    places = np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections if isinstance(c, PathCollection)])
    axes = ax.xaxis, ax.yaxis
    scaled = [axis.get_transform().transform(of_axis) for axis, of_axis in zip(axes, places.T, strict=True)]
    try:
        corners = places[ConvexHull(np.transpose(scaled)).vertices]
    except QhullError:  # all trials on a line: no area between them
        corners = places[:0]
    outline = Path(corners, closed=False) if len(corners) else Path(np.zeros((1, 2)))
    for collection in ax.collections:
        if isinstance(collection, ContourSet):
            collection.set_clip_path(outline, transform=ax.transData)


def draw_parallel_coordinates(
    compared: optuna.Study, names: Sequence[str], *, epoch: int, objective: str = OBJECTIVE
) -> Picture | None:
    """Every trial as a line through its parameters; None where there is nothing to draw."""
    if len(names) < 2 or not _complete(compared):
        return None
    with plain_style():
        figure = _figure(lambda: optuna.visualization.matplotlib.plot_parallel_coordinate(compared, params=list(names)))
        figure.axes[0].set_title("")
        figure.axes[0].set_xticks(
            figure.axes[0].get_xticks(), ["objective", *_x_labels(figure.axes[0])[1:]], rotation=0
        )
        for ax in figure.axes:
            _tidy_logarithmic(ax.yaxis, fine=300)
            if ax.get_ylabel() == "Objective Value":
                ax.set_ylabel(f"{objective}, epoch {epoch}")
            for collection in ax.collections:
                if isinstance(collection, LineCollection):
                    collection.set_cmap(_ON_BOTH)
                    collection.set_linewidth(1.4)
        alt = "Every trial as a line through its parameters, coloured by objective."
        return _painted(figure, 11.0, 3.8, alt=alt, constrained=False)


def draw_timeline(study: optuna.Study) -> Picture | None:
    """When each trial ran and how it ended; None if none has begun."""
    begun = [t for t in study.get_trials(deepcopy=False) if t.datetime_start is not None]
    if not begun:
        return None
    with plain_style():
        figure = _figure(optuna.visualization.matplotlib.plot_timeline, study)
        figure.axes[0].set_title("")
        figure.axes[0].set_xlabel("time of the machine's clock")
        figure.axes[0].set_ylabel("trial")
        figure.axes[0].yaxis.set_major_locator(MaxNLocator(integer=True))
        return _painted(figure, 7.6, 1.2 + 0.16 * min(len(begun), 40), alt="When each trial ran and how it ended.")


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _figure(plot: Callable[..., Any], *arguments: Any) -> Figure:  # noqa: ANN401
    """The figure that Optuna has drawn, removed from pyplot."""
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)
        axes = plot(*arguments)
    figure = (axes if isinstance(axes, Axes) else np.ravel(axes)[0]).get_figure()
    assert isinstance(figure, Figure)
    plt.close(figure)
    return figure


def _tidy_logarithmic(axis: Axis, *, fine: float = 30) -> None:
    """Use few and plain tick labels where matplotlib would write 3 × 10⁻² next to 4 × 10⁻².

    Args:
        axis: The axis; unchanged if it is not logarithmic.
        fine: If the ratio of the ends is below this, threes are marked too.
    """
    if axis.get_scale() == "log":
        low, high = sorted(axis.get_view_interval())
        wide = high / low > 1000  # more than two numbers with four digits don't fit next to each other
        axis.set_major_locator(LogLocator(subs=(1.0, 3.0) if high / low < fine else (1.0,), numticks=3 if wide else 5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _x_labels(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_xticklabels()]


def _legend_below(figure: Figure, ax: Axes) -> None:
    legend = ax.get_legend()
    handles, labels = ax.get_legend_handles_labels()
    if legend is not None:
        legend.remove()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)), frameon=False)


def _painted(figure: Figure, width: float, height: float, *, alt: str, constrained: bool = True) -> Picture:
    figure.set_size_inches(width, height)
    # The constrained layout can't place the colour bars of Optuna's contours and parallel coordinates.
    figure.set_layout_engine("constrained" if constrained else "none")
    return paint(figure, alt=alt)
