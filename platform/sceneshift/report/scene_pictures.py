"""Pictures of a scene: false colours, label map, spectra of its classes.

Shape letters: H rows, W columns, C bands, K classes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sceneshift.scenes.class_colours import class_colours
from sceneshift.scenes.scene import Scene, UnlabelledScene

_DPI = 120

#: Classes whose spectra can still be told apart in one set of axes, and columns of axes for more.
MOST_IN_ONE, _COLUMNS = 7, 4

#: Width of the picture in inches, the most a map is high, and from which ratio of its sides a map is wide.
_INCHES, _MOST_INCHES, _WIDE = 12.0, 7.0, 2.5

#: Near infrared, red and green are shown as red, green and blue: vegetation is red.
_FALSE_COLOURS_NM = (860.0, 650.0, 550.0)


def draw_scene(path: Path, scene: UnlabelledScene) -> None:
    """Draw false colours, label map, and each class's mean spectrum with its standard deviation.

    Up to :data:`MOST_IN_ONE` classes share one set of axes. More have axes of their own, in front of the other classes'
    mean spectra.

    Args:
        path: PNG to write.
        scene: The scene; of one without labels the false colours and the mean spectrum of all measured pixels.
    """
    height, width = scene.shape
    maps = ("colours", "labels") if isinstance(scene, Scene) else ("colours",)
    stacked = width > _WIDE * height  # wide maps are below each other
    columns = 1 if stacked else len(maps)
    map_height = min(_MOST_INCHES, _INCHES / columns * height / width) * (len(maps) if stacked else 1)
    spectra, spectra_height = _spectra_grid(scene)
    figure = Figure(figsize=(_INCHES, map_height + spectra_height + 1.6), dpi=_DPI, layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(map_height + 0.4, spectra_height + 0.6))
    above, below = (figure.add_subfigure(grid[row]) for row in range(2))
    drawn = above.subplots(len(maps) if stacked else 1, columns, squeeze=False).ravel()
    places = dict(zip(maps, drawn, strict=True))
    _, bands_text = false_colour_bands(scene)
    unmeasured = int((~scene.measured).sum())
    white = f" (white: {unmeasured} unmeasured pixels)" if unmeasured else ""
    _draw_map(places["colours"], false_colours(scene), f"false colours: {bands_text}{white}")
    if isinstance(scene, Scene):
        colours = class_colours(scene.num_classes)
        _draw_map(
            places["labels"],
            scene.labels,
            f"labels: {int((scene.labels > 0).sum())} pixels (white: unlabelled)",
            cmap=ListedColormap(["#ffffff", *colours]),
            norm=BoundaryNorm(np.arange(scene.num_classes + 2) - 0.5, scene.num_classes + 1),
        )
        _draw_classes(below, scene, colours, spectra)
    else:
        axes = below.subplots()
        _draw_spectrum(axes, scene, scene.cube[scene.measured], "all measured pixels", "#333333")
        axes.set_title("mean spectrum of all measured pixels, one standard deviation", fontsize=9)
        axes.grid(alpha=0.3)
    below.supxlabel("band" if scene.wavelengths_nm is None else "wavelength (nm)", fontsize=9)
    below.supylabel(scene.unit or "value in the file", fontsize=9)
    figure.suptitle(f"{scene.name}: {height} x {width} pixels, {scene.num_bands} bands", fontsize=11)
    figure.savefig(path)


def _spectra_grid(scene: UnlabelledScene) -> tuple[tuple[int, int], float]:
    """Rows and columns of axes for spectra, and their height in inches together."""
    if not isinstance(scene, Scene) or scene.num_classes <= MOST_IN_ONE:
        return (1, 1), 3.6
    rows = -(-scene.num_classes // _COLUMNS)
    return (rows, _COLUMNS), 1.5 * rows


def _draw_map(axes: Axes, image: NDArray[np.generic], title: str, **how: Any) -> None:  # noqa: ANN401
    axes.imshow(image, interpolation="nearest", **how)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_classes(figure: SubFigure, scene: Scene, colours: Sequence[str], grid: tuple[int, int]) -> None:
    """The classes' spectra, in one set of axes with a legend, or each in its own with its name above."""
    of_class = [scene.cube[scene.labels == k] for k in range(1, scene.num_classes + 1)]
    names = [f"{name} ({count})" for name, count in zip(scene.class_names, scene.class_counts, strict=True)]
    all_axes = figure.subplots(*grid, sharex=True, sharey=True, squeeze=False).ravel()
    if grid == (1, 1):
        (axes,) = all_axes
        for pixels, name, colour in zip(of_class, names, colours, strict=True):
            _draw_spectrum(axes, scene, pixels, name, colour)
        axes.set_title("mean spectra, one standard deviation", fontsize=9)
        axes.grid(alpha=0.3)
        figure.legend(
            handles=[Patch(facecolor=colour, label=name) for colour, name in zip(colours, names, strict=True)],
            loc="outside upper center",
            ncols=min(scene.num_classes, 5),
            frameon=False,
            fontsize=8,
        )
        return
    x = _bands_of(scene)
    means = [pixels.mean(axis=0, dtype=np.float64) for pixels in of_class if len(pixels)]
    for axes, pixels, name, colour in zip(all_axes, of_class, names, colours, strict=False):
        for mean in means:
            axes.plot(x, mean, color="#c8ccd0", linewidth=0.5)
        _draw_spectrum(axes, scene, pixels, name, colour)
        axes.set_title(name, fontsize=8, loc="left")
        # The patch has the class's colour in the map.
        axes.legend(handles=[Patch(facecolor=colour)], labels=[""], loc="upper right", frameon=False)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    for axes in all_axes[scene.num_classes :]:
        axes.remove()


def _draw_spectrum(axes: Axes, scene: UnlabelledScene, pixels: NDArray[np.float32], name: str, colour: str) -> None:
    """Mean and standard deviation of (N, C) spectra; nothing where there is none."""
    if len(pixels) == 0:
        return
    x = _bands_of(scene)
    mean, deviation = pixels.mean(axis=0, dtype=np.float64), pixels.std(axis=0, dtype=np.float64)
    axes.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.2)
    axes.plot(x, mean, color=colour, linewidth=1.2, label=name)


def _bands_of(scene: UnlabelledScene) -> NDArray[np.float64]:
    return np.arange(scene.num_bands, dtype=np.float64) if scene.wavelengths_nm is None else scene.wavelengths_nm


def false_colour_bands(scene: UnlabelledScene) -> tuple[list[int], str]:
    """Three bands to show, and their names: near infrared, red, green; without wavelengths, three across the range."""
    if scene.wavelengths_nm is not None:
        bands = [int(np.abs(scene.wavelengths_nm - nm).argmin()) for nm in _FALSE_COLOURS_NM]
        return bands, ", ".join(f"{scene.wavelengths_nm[b]:.0f}" for b in bands) + " nm"
    bands = [round(share * (scene.num_bands - 1)) for share in (0.75, 0.4, 0.15)]
    return bands, "bands " + ", ".join(map(str, bands)) + " (wavelengths unknown)"


def false_colours(scene: UnlabelledScene) -> NDArray[np.float64]:
    """(H, W, 3) colours from 0 to 1 of the bands of :func:`false_colour_bands`; unmeasured pixels are white."""
    return _stretched(scene.cube[:, :, false_colour_bands(scene)[0]], scene.measured)


def _stretched(channels: NDArray[np.float32], measured: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(H, W, 3) with each channel's 2nd to 98th percentile stretched to 0..1; unmeasured pixels are white."""
    if not measured.any():
        return np.ones(channels.shape)
    low, high = np.percentile(channels[measured], (2, 98), axis=0)
    stretched: NDArray[np.float64] = np.clip((channels - low) / np.where(high > low, high - low, 1), 0, 1)
    stretched[~measured] = 1
    return stretched
