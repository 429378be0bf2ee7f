"""Pictures of a scene: false colours, label map, spectra of its classes.

Shape letters: H rows, W columns, C bands, K classes.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sceneshift.scenes.class_colours import class_colours
from sceneshift.scenes.scene import Scene, UnlabelledScene

_DPI = 120

#: Near infrared, red and green are shown as red, green and blue: vegetation is red.
_FALSE_COLOURS_NM = (860.0, 650.0, 550.0)


def draw_scene(path: Path, scene: UnlabelledScene) -> None:
    """Draw false colours, label map, and each class's mean spectrum with its standard deviation.

    Args:
        path: PNG to write.
        scene: The scene; of one without labels the false colours and the mean spectrum of all measured pixels.
    """
    height, width = scene.shape
    is_tall = height > width
    picture_width = 4.2 if is_tall else 9.0
    figure = Figure(
        figsize=(
            2 * picture_width + 5 if is_tall else picture_width + 6.5,
            max(4.5, picture_width * height / width + 1),
        ),
        dpi=_DPI,
        layout="constrained",
    )
    if isinstance(scene, Scene):
        grid = figure.subplot_mosaic(
            [["colours", "labels", "spectra"]] if is_tall else [["colours", "spectra"], ["labels", "spectra"]],
            width_ratios=(1, 1, 1.4) if is_tall else (1.6, 1),
        )
        _draw_labels(figure, grid, scene)
    else:
        grid = figure.subplot_mosaic([["colours", "spectra"]], width_ratios=(1, 1.4) if is_tall else (1.6, 1))
        _draw_spectrum(grid["spectra"], scene, scene.cube[scene.measured], "all measured pixels", "#333333")
    _, bands_text = false_colour_bands(scene)
    grid["colours"].imshow(false_colours(scene), interpolation="nearest")
    unmeasured = int((~scene.measured).sum())
    white = f" (white: {unmeasured} unmeasured pixels)" if unmeasured else ""
    grid["colours"].set_title(f"false colours: {bands_text}{white}", fontsize=9)
    grid["colours"].set_xticks([])
    grid["colours"].set_yticks([])
    grid["spectra"].set_xlabel("band" if scene.wavelengths_nm is None else "wavelength (nm)")
    grid["spectra"].set_ylabel(scene.unit or "value in the file")
    grid["spectra"].set_title("mean spectra, one standard deviation", fontsize=9)
    grid["spectra"].grid(alpha=0.3)
    figure.suptitle(f"{scene.name}: {height} x {width} pixels, {scene.num_bands} bands", fontsize=11)
    figure.savefig(path)


def _draw_labels(figure: Figure, grid: Mapping[str, Axes], scene: Scene) -> None:
    colours = class_colours(scene.num_classes)
    colour_map = ListedColormap(["#ffffff", *colours])
    norm = BoundaryNorm(np.arange(scene.num_classes + 2) - 0.5, scene.num_classes + 1)
    grid["labels"].imshow(scene.labels, cmap=colour_map, norm=norm, interpolation="nearest")
    grid["labels"].set_title(f"labels: {int((scene.labels > 0).sum())} pixels (white: unlabelled)", fontsize=9)
    grid["labels"].set_xticks([])
    grid["labels"].set_yticks([])
    for k, (name, colour) in enumerate(zip(scene.class_names, colours, strict=True), start=1):
        _draw_spectrum(grid["spectra"], scene, scene.cube[scene.labels == k], name, colour)
    figure.legend(
        handles=[
            Patch(facecolor=colour, label=f"{name} ({count})")
            for colour, name, count in zip(colours, scene.class_names, scene.class_counts, strict=True)
        ],
        loc="outside lower center",
        ncols=min(scene.num_classes, 5),
        frameon=False,
        fontsize=8,
    )


def _draw_spectrum(axes: Axes, scene: UnlabelledScene, pixels: NDArray[np.float32], name: str, colour: str) -> None:
    """Mean and standard deviation of (N, C) spectra; nothing where there is none."""
    if len(pixels) == 0:
        return
    x = np.arange(scene.num_bands) if scene.wavelengths_nm is None else scene.wavelengths_nm
    mean, deviation = pixels.mean(axis=0, dtype=np.float64), pixels.std(axis=0, dtype=np.float64)
    axes.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.15)
    axes.plot(x, mean, color=colour, linewidth=1.2, label=name)


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
