"""Pictures of the benchmarks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator

from rows import Row
from sceneshift.scenes.class_colours import class_colours

_DPI = 120
_ORANGE, _, _GREEN, _, _BLUE, _RED = class_colours(6)
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
_COLOURS = {"fp32": _BLUE, "tf32": _RED, "bf16": _ORANGE, "": _GREEN}
_LABELS = {"fp32": "float32", "tf32": "TF32", "bf16": "bfloat16 autocast", "": "no network"}


def draw_ratios(path: Path, rows: Sequence[Row], *, title: str) -> None:
    """Each row's speedup over the baseline: one panel per shape and allocator, bars from 1.

    Args:
        path: PNG to write.
        rows: In the order they are to be read.
        title: Above the picture.
    """
    panels: dict[str, list[Row]] = {}
    for row in rows:
        panels.setdefault(f"{row.shape}; allocator: {row.allocator}", []).append(row)
    heights = [len(panel) + 1.6 for panel in panels.values()]
    figure = Figure(figsize=(9.5, 1.4 + 0.34 * sum(heights)), dpi=_DPI, layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    lowest, highest = (pick(row.ratio for row in rows) for pick in (min, max))
    for ax, (name, panel) in zip(axes, panels.items(), strict=True):
        for place, row in enumerate(panel):
            # Drawn from the baseline's 1: what is slower than it points left.
            ax.barh(place, row.ratio - 1, left=1, height=0.68, color=_COLOURS[row.precision])
            ax.text(max(row.ratio, 1) * 1.03, place, f"{row.ratio:.2f}", va="center", fontsize=8.5)
        ax.axvline(1, color="black", linewidth=1)
        ax.set_yticks(range(len(panel)), [row.label for row in panel], fontsize=9)
        ax.set_ylim(len(panel) - 0.4, -0.6)
        ax.set_xscale("log")
        ax.set_xlim(min(0.8, lowest / 1.2), max(2.0, highest) * 1.35)
        ax.set_title(name, loc="left", fontsize=9.5)
        ax.spines[["top", "right"]].set_visible(False)
        _plain_ticks(ax)
    axes[-1].set_xlabel("speedup over the plain PyTorch network in float32, log scale")
    present = [p for p in _COLOURS if any(row.precision == p for row in rows)]
    figure.legend(
        handles=[Patch(facecolor=_COLOURS[p], label=_LABELS[p]) for p in present],
        loc="outside lower center",
        ncols=len(present),
        frameon=False,
        fontsize=9,
    )
    figure.suptitle(title, fontsize=11)
    figure.savefig(path)


def draw_scaling(
    path: Path,
    panels: Mapping[str, tuple[str, Mapping[str, tuple[Sequence[float], Sequence[float], float]]]],
    title: str,
) -> None:
    """Cost over size, log-log, one panel each.

    Args:
        path: PNG to write.
        panels: Label of the x axis to the y axis's label and, by precision, x, y and the fitted slope.
        title: Above the picture.
    """
    figure = Figure(figsize=(10, 7.6), dpi=_DPI, layout="constrained")
    for ax, (x_label, (y_label, lines)) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        sizes: set[float] = set()
        for precision, (x, y, slope) in lines.items():
            label = f"{precision}: " + ("no slope" if slope is None else f"slope {slope:.2f}")
            ax.loglog(x, y, marker="o", markersize=4, color=_COLOURS[precision], label=label)
            sizes |= set(x)
        ax.set_xlabel(x_label)
        ax.set_ylabel(y_label)
        if max(sizes) < 1000:
            ax.set_xticks(sorted(sizes), [f"{size:g}" for size in sorted(sizes)])
            ax.set_xticks([], minor=True)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        ax.yaxis.set_major_formatter(_PLAIN)
        ax.set_yticks([], minor=True)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path)


def _plain_ticks(ax: Axes) -> None:
    ticks = [t for t in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if ax.get_xlim()[0] <= t <= ax.get_xlim()[1]]
    ax.set_xticks(ticks)
    ax.set_xticks([], minor=True)
    ax.xaxis.set_major_formatter(_PLAIN)
