"""A picture of accuracies per class, with intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from sceneshift.report.themes import BEST, DEFAULTS, Picture, paint, plain_style
from sceneshift.report.uncertainty import FEW_FIELDS, Interval


def draw_per_class(pair: str, class_names: Sequence[str], intervals: Mapping[str, Sequence[Interval]]) -> Picture:
    """Draw each role's accuracies with their intervals, the first role's in colour; hollow if there are few fields.

    Args:
        pair: The pair whose target was scored.
        class_names: K names.
        intervals: K by role.
    """
    shown = [k for k in range(len(class_names)) if any(np.isfinite(found[k].value) for found in intervals.values())]
    with plain_style():
        figure = Figure(figsize=(7.6, 1.1 + 0.42 * len(shown)), layout="constrained")
        ax = figure.subplots()
        rows = np.arange(len(shown))[::-1]
        offsets = np.linspace(0.16, -0.16, len(intervals)) if len(intervals) > 1 else np.zeros(1)
        for index, (offset, (role, found)) in enumerate(zip(offsets, intervals.items(), strict=True)):
            colour = BEST if index == 0 else DEFAULTS
            for row, k in zip(rows, shown, strict=True):
                interval = found[k]
                y = row + offset
                if interval.is_known:
                    ax.plot([100 * interval.low, 100 * interval.high], [y, y], color=colour, linewidth=2, zorder=2)
                few = interval.fields < FEW_FIELDS
                ax.plot(
                    100 * interval.value,
                    y,
                    "o",
                    color=colour,
                    markerfacecolor="none" if few else colour,
                    markersize=6,
                    zorder=3,
                    clip_on=False,
                )
            ax.plot([], [], "o-", color=colour, label=role)
        ax.plot([], [], "o", color=DEFAULTS, markerfacecolor="none", label=f"hollow: fewer than {FEW_FIELDS} fields")
        first = next(iter(intervals.values()))
        ax.set_yticks(rows, [f"{class_names[k]} ({_fields(first[k].fields)})" for k in shown])
        ax.set_xlim(-1, 101)
        ax.set_ylim(-0.6, len(shown) - 0.4)
        ax.set_xlabel(f"accuracy on the target of {pair}, %")
        ax.grid(axis="x")
        ax.set_axisbelow(True)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        return paint(figure, alt=f"Accuracy by class on the target of {pair}, with intervals over fields.")


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"
