"""Pictures for light and dark mode: each is drawn once, painted twice, and shown according to the reader's setting."""

import base64
import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sceneshift.report.palettes import with_palette

_DPI = 144

#: Rough widths in a legend: a handle with its spaces, and a letter.
_HANDLE_INCHES, _LETTER_INCHES = 0.6, 0.068


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours of a page and of the pictures in it.

    Args:
        ground: Colour of the background.
        ink: Colour of text and ticks.
        faint: Colour of frames.
        grid: Colour of grid lines.
    """

    ground: str
    ink: str
    faint: str
    grid: str


LIGHT = Theme(ground="#ffffff", ink="#24292f", faint="#8c959f", grid="#dfe3e8")
DARK = Theme(ground="#161b22", ink="#d7dde4", faint="#6e7781", grid="#30363d")

#: Okabe and Ito's blue, vermilion, green, orange, purple and sky blue, legible on white and on near black.
BEST, DEFAULTS, OTHER = "#0a84d0", "#d55e00", "#8b949e"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A drawing as two PNGs.

    Args:
        light: For light screens.
        dark: For dark ones.
        alt: Alternative text.
        width: Width in CSS pixels.
        name: A file's name without ending, for pictures that are also written as files.
    """

    kind: ClassVar[str] = "picture"

    light: bytes
    dark: bytes
    alt: str
    width: int
    name: str = ""


def data_uri(png: bytes) -> str:
    """The PNG as a data URI, for embedding in the page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


@contextmanager
def plain_style() -> Iterator[None]:
    """Use Matplotlib's default style, whatever the user or Optuna's plots have set, and restore theirs afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9, "legend.fontsize": 8.5})
        yield


def legend_columns(labels: Sequence[str], *, width: float, most: int = 6) -> int:
    """How many columns of a legend fit a figure.

    Args:
        labels: The legend's texts.
        width: Width of the figure in inches.
        most: The largest number wanted.

    Returns:
        At least 1.
    """
    widest = _HANDLE_INCHES + _LETTER_INCHES * max(map(len, labels), default=0)
    return max(1, min(most, len(labels), int(width / widest)))


def paint(figure: Figure, *, alt: str, name: str = "") -> Picture:
    """Render a figure in both themes.

    Everything but lines, marks and areas takes the theme's colours; texts within axes do too, unless their gid is
    "keep".

    Args:
        figure: A finished figure.
        alt: What it shows.
        name: A file's name without ending, if it is also to be written as one.
    """
    light = _rendered(figure, LIGHT)
    if figure.get_layout_engine() is not None:
        figure.set_layout_engine("none")  # the layout is found; colours don't change it
    dark = _rendered(figure, DARK)
    (pixels,) = struct.unpack(">I", light[16:20])  # the width comes first in a PNG's header
    return Picture(light=light, dark=dark, alt=alt, width=round(pixels * 96 / _DPI), name=name)


def _rendered(figure: Figure, theme: Theme) -> bytes:
    figure.set_facecolor(theme.ground)
    for text in [*figure.texts, *([figure._suptitle] if figure._suptitle is not None else [])]:  # type: ignore[attr-defined]
        text.set_color(theme.ink)
    for legend in figure.legends:
        for text in legend.get_texts():
            text.set_color(theme.ink)
    for ax in figure.axes:
        _paint_axes(ax, theme)
    file = io.BytesIO()
    # A figure with its own layout already fits; cropping would draw it twice.
    cut = "tight" if figure.get_layout_engine() is None else None
    figure.savefig(file, format="png", dpi=_DPI, facecolor=theme.ground, bbox_inches=cut, pad_inches=0.08)
    return with_palette(file.getvalue())


def _paint_axes(ax: Axes, theme: Theme) -> None:
    ax.set_facecolor(theme.ground)
    ax.tick_params(which="both", colors=theme.faint, labelcolor=theme.ink)
    for spine in ax.spines.values():
        spine.set_color(theme.faint)
    for line in [*ax.get_xgridlines(), *ax.get_ygridlines()]:
        line.set_color(theme.grid)
    titles = [getattr(ax, name) for name in ("title", "_left_title", "_right_title")]
    for text in [*titles, ax.xaxis.label, ax.yaxis.label, *ax.texts]:
        if text.get_gid() != "keep":
            text.set_color(theme.ink)
    legend = ax.get_legend()
    if legend is not None:
        legend.get_frame().set_facecolor(theme.ground)
        legend.get_frame().set_edgecolor(theme.grid)
        for text in [*legend.get_texts(), legend.get_title()]:
            text.set_color(theme.ink)
