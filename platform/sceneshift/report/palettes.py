"""PNGs of drawings with a palette: less than half the bytes, since a drawing has few colours.

Shape letters: H rows, W columns, N colours.
"""

import io

import numpy as np
from PIL import Image

#: Colours of a palette.
_PALETTE = 256

#: A picture of more colours is a photograph, such as a scene in false colours, and keeps them all.
_MOST_COLOURS = 1024


def with_palette(png: bytes) -> bytes:
    """Give a PNG a palette of its most frequent colours; other pixels, on the edges of letters, take the nearest.

    Args:
        png: The picture, without transparent pixels.

    Returns:
        The PNG with a palette, or as it is if it has too many colours.
    """
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))  # (H, W, 3) uint8
    codes = pixels.astype(np.uint32) @ np.array([65536, 256, 1], dtype=np.uint32)
    found, places, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if len(found) > _MOST_COLOURS:
        return png
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.int64)  # (N, 3)
    kept = colours[np.argsort(-counts, kind="stable")[:_PALETTE]]
    nearest = np.square(colours[:, None] - kept).sum(axis=2).argmin(axis=1)
    picture = Image.fromarray(nearest[places].reshape(codes.shape).astype(np.uint8), mode="P")
    picture.putpalette(kept.astype(np.uint8).tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
