"""Each class's training share in a split, compared with the requested share.

Splits by blocks and fields take whole blocks and fields, and leave a guard band unused: the share is met as nearly as
their sizes allow, and the user is informed before training where it is not.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sceneshift.scenes.scene import Scene

#: A class's share is near the requested one within this factor, or one pixel.
NEAR = 1.5


def describe_shares(
    scene: Scene,
    train: NDArray[np.int64],
    asked: float,
    *,
    classes: Iterable[int] | None = None,
    pixels_per_class: int | None = None,
) -> str:
    """One line on whether each class trains on about the requested share of its pixels.

    Args:
        scene: The scene that was split, with all its labels.
        train: (N,) flat indices of its training pixels.
        asked: The share, 0..1.
        classes: The class indices 0..K-1 to compare; None for all.
        pixels_per_class: The most training pixels that a class may have; None for all.

    Returns:
        The line; it names every class outside the bounds with its share.
    """
    given = np.bincount(scene.labels.ravel()[train], minlength=scene.num_classes + 1)[1:]
    wanted = asked * scene.class_counts
    if pixels_per_class is not None:
        wanted = np.minimum(wanted, pixels_per_class)
    looked_at = sorted(range(scene.num_classes) if classes is None else classes)
    low, high = np.minimum(wanted / NEAR, wanted - 1), np.maximum(wanted * NEAR, wanted + 1)
    outside = [k for k in looked_at if not low[k] <= given[k] <= high[k]]
    asked_text = f"training share of each class: asked for {asked:.3g}"
    if pixels_per_class is not None:
        asked_text += f" or {pixels_per_class} pixels"
    if not outside:
        return f"{asked_text}, got it within a factor of {NEAR:g}"
    shares = (
        f"{scene.class_names[k]} {given[k] / scene.class_counts[k]:.2g} ({given[k]} of {scene.class_counts[k]})"
        for k in outside
    )
    return f"{asked_text}, NOT within a factor of {NEAR:g} for {len(outside)} of {len(looked_at)}: {', '.join(shares)}"
