"""One colour per class, the same in every picture, map file and model."""

import colorsys

#: Okabe and Ito's eight colours, which colour-blind readers can distinguish; then twelve that keep the largest
#: distances in CIELAB from all before them and from white and black; then matplotlib's tab20.
_COLOURS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#555555",
    "#660011",
    "#99ff88",
    "#110077",
    "#ff0066",
    "#667700",
    "#aa77ff",
    "#ffaa88",
    "#003300",
    "#00ffff",
    "#990088",
    "#ccdd99",
    "#00ff00",
    "#1f77b4",
    "#aec7e8",
    "#ff7f0e",
    "#ffbb78",
    "#2ca02c",
    "#98df8a",
    "#d62728",
    "#ff9896",
    "#9467bd",
    "#c5b0d5",
    "#8c564b",
    "#c49c94",
    "#e377c2",
    "#f7b6d2",
    "#7f7f7f",
    "#c7c7c7",
    "#bcbd22",
    "#dbdb8d",
    "#17becf",
    "#9edae5",
)

#: Turning the hue by the golden ratio never comes back to one it was at.
_GOLDEN = 0.618034


def class_colours(num_classes: int) -> list[str]:
    """The colours of classes 1..K, as ``#rrggbb``."""
    more = (
        colorsys.hsv_to_rgb(k * _GOLDEN % 1, 0.5 + 0.25 * (k % 3), 0.95 - 0.2 * (k % 4))
        for k in range(num_classes - len(_COLOURS))
    )
    return [*_COLOURS[:num_classes], *("#" + "".join(f"{round(255 * part):02x}" for part in rgb) for rgb in more)]


def as_rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0..255, of ``#rrggbb``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
