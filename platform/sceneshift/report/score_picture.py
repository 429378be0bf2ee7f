"""A picture of networks and floors on one target, with intervals."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from sceneshift.report.themes import BEST, DEFAULTS, Picture, paint, plain_style
from sceneshift.report.uncertainty import FieldIntervals


def draw_scores(pair: str, intervals: Mapping[str, FieldIntervals], *, registered: str) -> Picture:
    """Draw OA and AA of each role with their intervals over fields, the registered network's in colour.

    Args:
        pair: The pair whose target was scored.
        intervals: By role, in the order of the rows.
        registered: The role of the registered network.
    """
    with plain_style():
        figure = Figure(figsize=(7.6, 0.9 + 0.34 * len(intervals)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        rows = np.arange(len(intervals))[::-1]
        for ax, name in zip(panels, ("oa", "aa"), strict=True):
            for row, (role, found) in zip(rows, intervals.items(), strict=True):
                interval = getattr(found, name)
                colour = BEST if role == registered else DEFAULTS
                if interval.is_known:
                    ax.plot([100 * interval.low, 100 * interval.high], [row, row], color=colour, linewidth=2, zorder=2)
                ax.plot(100 * interval.value, row, "o", color=colour, markersize=6, zorder=3, clip_on=False)
            ax.set_xlim(-1, 101)
            ax.set_ylim(-0.6, len(intervals) - 0.4)
            ax.set_yticks(rows, list(intervals))
            ax.set_xlabel(f"{name.upper()} on the target of {pair}, %")
            ax.grid(axis="x")
            ax.set_axisbelow(True)
        return paint(figure, alt=f"OA and AA of networks and floors on the target of {pair}, with intervals.")
