"""Pictures of a scene: false colours, label map, spectra of its classes.

Shape letters: H rows, W columns, C bands, K classes.
"""

from pathlib import Path

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sceneshift.scenes.class_colours import class_colours
from sceneshift.scenes.scene import Scene

_DPI = 120

#: Near infrared, red and green are shown as red, green and blue: vegetation is red.
_FALSE_COLOURS_NM = (860.0, 650.0, 550.0)


def draw_scene(path: Path, scene: Scene) -> None:
    """Draw false colours, label map, and each class's mean spectrum with its standard deviation.

    Args:
        path: PNG to write.
        scene: The scene.
    """
    height, width = scene.shape
    beside = height > width
    picture_width = 4.2 if beside else 9.0
    figure = Figure(
        figsize=(
            2 * picture_width + 5 if beside else picture_width + 6.5,
            max(4.5, picture_width * height / width + 1),
        ),
        dpi=_DPI,
        layout="constrained",
    )
    grid = figure.subplot_mosaic(
        [["colours", "labels", "spectra"]] if beside else [["colours", "spectra"], ["labels", "spectra"]],
        width_ratios=(1, 1, 1.4) if beside else (1.6, 1),
    )
    bands, told = false_colour_bands(scene)
    grid["colours"].imshow(_stretched(scene.cube[..., bands], scene.measured), interpolation="nearest")
    unmeasured = int((~scene.measured).sum())
    white = f" (white: {unmeasured} unmeasured pixels)" if unmeasured else ""
    grid["colours"].set_title(f"false colours: {told}{white}", fontsize=9)
    colours = class_colours(scene.num_classes)
    colour_map = ListedColormap(["#ffffff", *colours])
    norm = BoundaryNorm(np.arange(scene.num_classes + 2) - 0.5, scene.num_classes + 1)
    grid["labels"].imshow(scene.labels, cmap=colour_map, norm=norm, interpolation="nearest")
    grid["labels"].set_title(f"labels: {int((scene.labels > 0).sum())} pixels (white: unlabelled)", fontsize=9)
    for name in ("colours", "labels"):
        grid[name].set_xticks([])
        grid[name].set_yticks([])
    x = np.arange(scene.num_bands) if scene.wavelengths_nm is None else scene.wavelengths_nm
    for k, (name, colour) in enumerate(zip(scene.class_names, colours, strict=True), start=1):
        pixels = scene.cube[scene.labels == k]
        if len(pixels):
            mean, deviation = pixels.mean(axis=0, dtype=np.float64), pixels.std(axis=0, dtype=np.float64)
            grid["spectra"].fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.15)
            grid["spectra"].plot(x, mean, color=colour, linewidth=1.2, label=name)
    grid["spectra"].set_xlabel("band" if scene.wavelengths_nm is None else "wavelength (nm)")
    grid["spectra"].set_ylabel(scene.unit or "value in the file")
    grid["spectra"].set_title("mean spectra, one standard deviation", fontsize=9)
    grid["spectra"].grid(alpha=0.3)
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
    figure.suptitle(f"{scene.name}: {height} x {width} pixels, {scene.num_bands} bands", fontsize=11)
    figure.savefig(path)


def false_colour_bands(scene: Scene) -> tuple[list[int], str]:
    """Three bands to show, and their names: near infrared, red, green; without wavelengths, three across the range."""
    if scene.wavelengths_nm is not None:
        bands = [int(np.abs(scene.wavelengths_nm - nm).argmin()) for nm in _FALSE_COLOURS_NM]
        return bands, ", ".join(f"{scene.wavelengths_nm[b]:.0f}" for b in bands) + " nm"
    bands = [round(share * (scene.num_bands - 1)) for share in (0.75, 0.4, 0.15)]
    return bands, "bands " + ", ".join(map(str, bands)) + " (wavelengths unknown)"


def _stretched(channels: NDArray[np.float32], measured: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(H, W, 3) with each channel's 2nd to 98th percentile stretched to 0..1; unmeasured pixels are white."""
    if not measured.any():
        return np.ones(channels.shape)
    low, high = np.percentile(channels[measured], (2, 98), axis=0)
    stretched: NDArray[np.float64] = np.clip((channels - low) / np.where(high > low, high - low, 1), 0, 1)
    stretched[~measured] = 1
    return stretched
