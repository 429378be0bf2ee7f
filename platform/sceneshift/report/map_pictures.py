"""Class maps as pictures: one whose pixel values are the class ids, and one for viewing.

Shape letters: H rows, W columns, K classes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sceneshift.scenes.class_colours import as_rgb

_DPI = 120
_NO_CLASS = "#ffffff"

#: Maximum of rows and columns in a picture for viewing; of larger scenes every n-th is shown.
_MOST_PIXELS = 2000


def write_indexed_png(path: Path, class_map: NDArray[np.integer], colours: Sequence[str]) -> None:
    """Write a PNG whose pixel values are the class ids and whose palette has the classes' colours; 0 is white.

    Args:
        path: PNG to write.
        class_map: (H, W) class ids 0..K, K < 256.
        colours: The K colours, ``#rrggbb``.
    """
    from PIL import Image

    picture = Image.fromarray(class_map.astype(np.uint8), mode="P")
    picture.putpalette([part for colour in (_NO_CLASS, *colours) for part in as_rgb(colour)])
    picture.save(path, format="PNG")


def draw_mapped_scene(
    path: Path,
    class_map: NDArray[np.integer],
    *,
    class_names: Sequence[str],
    colours: Sequence[str],
    title: str,
    truth: NDArray[np.integer] | None = None,
) -> None:
    """Draw a class map with its legend, next to the labels if there are some.

    Args:
        path: PNG to write.
        class_map: (H, W) class ids 1..K, 0 = none.
        class_names: K names.
        colours: K colours.
        title: The title above the picture.
        truth: (H, W) class ids, 0 = unlabelled.
    """
    step = max(1, -(-max(class_map.shape) // _MOST_PIXELS))
    panels = [("class map" if step == 1 else f"class map, every {step}th pixel", class_map[::step, ::step])]
    if truth is not None:
        panels.insert(0, ("labels (white: none)", truth[::step, ::step]))
    colour_map = ListedColormap([_NO_CLASS, *colours])
    norm = BoundaryNorm(np.arange(len(colours) + 2) - 0.5, colour_map.N)
    height, width = class_map.shape
    columns = min(len(class_names), 5)
    legend = 0.28 * -(-len(class_names) // columns)
    panel_width = 9.0 / len(panels)
    panel_height = min(12.0, panel_width * height / width)
    figure = Figure(figsize=(9.4, 1.0 + legend + panel_height), dpi=_DPI, layout="constrained")
    axes: Sequence[Axes] = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (name, image) in zip(axes, panels, strict=True):
        ax.imshow(image, cmap=colour_map, norm=norm, interpolation="nearest")
        ax.set_title(name, fontsize=10)
        ax.set_xticks([])
        ax.set_yticks([])
    handles = [Patch(facecolor=c, label=n) for c, n in zip(colours, class_names, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path)
