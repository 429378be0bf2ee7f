"""Class maps of all methods next to the ground truth, each with a map of what is right and wrong.

Shape letters: H rows, W columns, K classes.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sceneshift.comparison.class_maps import PairMaps
from sceneshift.report.themes import Picture, legend_columns, paint, plain_style
from sceneshift.scenes.class_colours import class_colours

#: Right and wrong are grey and black, so that neither is taken for a class.
_RIGHT, _WRONG = "#c3c8ce", "#000000"

_NO_CLASS = "#ffffff"

#: Width of the picture in inches; that of the page.
_WIDTH = 9.6

#: Most inches that a panel is high; of narrow scenes it is then less wide.
_HIGHEST = 3.2

#: Panels in a row for scenes that are wider than high, and others.
_WIDE_COLUMNS, _HIGH_COLUMNS = 4, 6

#: Most rows or columns of pixels in a panel; of larger scenes every n-th pixel is drawn.
_MOST_PIXELS = 400


def draw_maps(maps: PairMaps) -> Picture:
    """Draw truth and class maps, and below each map which labelled pixels are right and wrong.

    Args:
        maps: The maps.
    """
    height, width = maps.truth.shape
    step = max(1, -(-max(height, width) // _MOST_PIXELS))
    truth = np.asarray(maps.truth)[::step, ::step]
    columns = min(_WIDE_COLUMNS if width > height else _HIGH_COLUMNS, 1 + len(maps.predicted))
    bands = -(-(1 + len(maps.predicted)) // columns)
    panel_width = _WIDTH / max(columns, 2)
    panel_height = min(_HIGHEST, panel_width * height / width)
    figure_width = panel_width * columns
    num_entries = len(maps.class_names) + 2
    legend_width = legend_columns((*maps.class_names, "right", "wrong"), width=figure_width)
    legend_height = 0.22 * (1 + -(-num_entries // legend_width))
    with plain_style():
        figure = Figure(
            figsize=(figure_width, bands * 2 * (panel_height + 0.2) + 0.3 + legend_height),
            layout="constrained",
        )
        axes = figure.subplots(2 * bands, columns, squeeze=False)
        for ax in axes.ravel():
            ax.set_axis_off()
        colours = class_colours(len(maps.class_names))
        _show(axes[0, 0], truth, colours, "truth (white: unlabelled)")
        for index, (label, predicted) in enumerate(maps.predicted.items(), start=1):
            band, column = divmod(index, columns)
            ids = np.asarray(predicted)[::step, ::step]
            _show(axes[2 * band, column], ids, colours, label)
            right = np.where(truth == 0, 0, np.where(ids == truth, 1, 2))
            labelled = maps.truth > 0
            share = float(np.mean(predicted[labelled] == maps.truth[labelled])) if labelled.any() else np.nan
            _show(axes[2 * band + 1, column], right, (_RIGHT, _WRONG), f"right: {share:.1%}")
        handles = [Patch(facecolor=c, label=n) for c, n in zip(colours, maps.class_names, strict=True)]
        handles += [Patch(facecolor=_RIGHT, label="right"), Patch(facecolor=_WRONG, label="wrong")]
        figure.legend(handles=handles, loc="outside lower center", ncols=legend_width, frameon=False)
        sampled = "" if step == 1 else f", every {step}th pixel"
        figure.suptitle(f"{maps.pair}: {maps.note}{sampled}", fontsize=10)
        return paint(
            figure,
            alt=f"Class maps of the target of {maps.pair} by method, and which pixels are right.",
            name=f"maps_{maps.pair}",
        )


def _show(ax: Axes, ids: NDArray[np.integer], colours: Sequence[str], title: str) -> None:
    colour_map = ListedColormap([_NO_CLASS, *colours])
    norm = BoundaryNorm(np.arange(len(colours) + 2) - 0.5, colour_map.N)
    ax.imshow(ids, cmap=colour_map, norm=norm, interpolation="nearest")
    ax.set_axis_on()  # a frame: unlabelled borders of a scene are as white as the page
    ax.set(xticks=[], yticks=[])
    ax.set_title(textwrap.shorten(title, 34, placeholder="…"), fontsize=8)
