"""Pictures of unmixing results: abundance maps, endmembers with their variability, reconstruction error.

Shape letters: H rows, W columns, C bands, R endmembers.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sceneshift.scenes.class_colours import class_colours

_DPI = 120
_MOST_COLUMNS = 6


def draw_abundances(
    path: Path,
    abundances: NDArray[np.floating],
    *,
    names: Sequence[str],
    title: str,
    reference: NDArray[np.floating] | None = None,
) -> None:
    """Draw one map per endmember on a common scale: 0 to 1 with a reference, otherwise up to the 99.9th percentile.

    With many endmembers none fills a pixel, and maps scaled to 1 would all be dark.

    Args:
        path: PNG to write.
        abundances: (H, W, R).
        names: R names.
        title: Above all of them.
        reference: (H, W, R), drawn below each map if it is known.
    """
    height, width, num = abundances.shape
    columns = min(num, _MOST_COLUMNS)
    layers = (abundances,) if reference is None else (abundances, reference)
    rows = math.ceil(num / columns)
    figure = Figure(
        figsize=(1.2 + 2.0 * columns, 0.9 + rows * len(layers) * (2.0 * height / width + 0.3)),
        dpi=_DPI,
        layout="constrained",
    )
    axes = figure.subplots(rows * len(layers), columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    most = 1.0 if reference is not None else max(float(np.quantile(abundances, 0.999)), 1e-6)
    image = None
    for index, name in enumerate(names):
        row, column = divmod(index, columns)
        for layer, maps in enumerate(layers):
            ax = axes[row * len(layers) + layer, column]
            image = ax.imshow(maps[..., index], vmin=0, vmax=most, cmap="viridis", interpolation="nearest")
            ax.set_title(name if layer == 0 else f"{name}, reference", fontsize=8)
    if image is not None:
        figure.colorbar(
            image,
            ax=axes,
            shrink=0.7,
            label="abundance" if reference is not None else "abundance, scale ends at the 99.9th percentile",
        )
    figure.suptitle(title, fontsize=10)
    figure.savefig(path)


def draw_endmembers(
    path: Path,
    endmembers: NDArray[np.floating],
    spread: NDArray[np.floating],
    *,
    names: Sequence[str],
    title: str,
    unit: str,
    wavelengths_nm: NDArray[np.floating] | None = None,
) -> None:
    """Draw each endmember's spectrum in its own panel, with a band of two standard deviations.

    Args:
        path: PNG to write.
        endmembers: (C, R).
        spread: (C, R) standard deviations.
        names: R names.
        title: Above all of them.
        unit: Unit of the spectra, for the axis.
        wavelengths_nm: (C,), or None to number the bands. Gaps between distant bands are left open.
    """
    bands, num = endmembers.shape
    columns = min(num, 4)
    rows = math.ceil(num / columns)
    figure = Figure(figsize=(1.0 + 2.6 * columns, 0.8 + 1.7 * rows), dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    colours = class_colours(num)
    x = np.arange(bands, dtype=np.float64) if wavelengths_nm is None else np.asarray(wavelengths_nm, dtype=np.float64)
    for index, ax in enumerate(axes.flat):
        if index >= num:
            ax.set_axis_off()
            continue
        middle, wide = endmembers[:, index], 2 * spread[:, index]
        for piece in _without_gaps(x):
            ax.fill_between(x[piece], (middle - wide)[piece], (middle + wide)[piece], color=colours[index], alpha=0.3)
            ax.plot(x[piece], middle[piece], color=colours[index], linewidth=1.2)
        ax.set_title(names[index], fontsize=8)
        ax.tick_params(labelsize=7)
        ax.grid(alpha=0.3)
    figure.supxlabel("band" if wavelengths_nm is None else "wavelength (nm)", fontsize=9)
    figure.supylabel(unit, fontsize=9)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path)


def draw_reconstruction_error(path: Path, error: NDArray[np.floating], *, title: str) -> None:
    """Draw the angle between each pixel and its reconstruction, in degrees, and how often each occurs.

    Args:
        path: PNG to write.
        error: (H, W) radians.
        title: Above it.
    """
    degrees = np.degrees(error)
    height, width = error.shape
    figure = Figure(figsize=(9.5, 1.0 + 4.5 * min(1.5, height / width)), dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    # A few pixels that the network can't reconstruct would dominate the scale.
    most = float(np.quantile(degrees, 0.99))
    image = left.imshow(degrees, vmin=0, vmax=max(most, 1e-6), cmap="magma", interpolation="nearest")
    left.set_axis_off()
    figure.colorbar(image, ax=left, shrink=0.8, label="spectral angle (degrees), scale ends at the 99th percentile")
    right.hist(degrees.ravel(), bins=80, color="#0072b2")
    right.axvline(float(np.median(degrees)), color="#d55e00", label=f"median {np.median(degrees):.2f}")
    right.set_xlabel("spectral angle (degrees)")
    right.set_ylabel("pixels")
    right.legend(frameon=False)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path)


def _without_gaps(x: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Indices of runs of bands, cut where the step is over five times the usual one (water bands left out)."""
    steps = np.abs(np.diff(x))  # some files list bands in order of decreasing wavelength
    cuts = np.flatnonzero(steps > 5 * np.median(steps)) + 1 if len(steps) else np.array([], dtype=np.intp)
    return np.split(np.arange(len(x)), cuts)
