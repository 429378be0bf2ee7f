"""Recorded logits, labels and features, checked before a criterion reads them.

All criteria agree on three points. An array of the wrong shape or type is an error. A NaN is not an error but the mark
of a network that diverged: such an epoch has no score, NaN, and is never chosen. Logits beyond the range of float16,
recorded as infinite, count as its largest numbers.

Shape letters: N pixels, K classes, D features.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from sceneshift.errors import InvalidInputError

#: The largest logit that float16 can hold.
LARGEST_LOGIT = float(np.finfo(np.float16).max)

P = ParamSpec("P")


def nan_if_nan(criterion: Callable[P, float]) -> Callable[P, float]:
    """Let a criterion return NaN if one of its arrays holds a NaN, without computing anything."""

    @functools.wraps(criterion)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> float:
        if any(_has_nan(value) for value in (*args, *kwargs.values())):
            return float("nan")
        return criterion(*args, **kwargs)

    return guarded


def _has_nan(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and bool(np.isnan(value).any())


def as_logits(logits: NDArray[np.floating], *, shape: str = "NK", name: str = "logits") -> NDArray[np.float64]:
    """Logits in float64, infinite ones replaced by the largest of float16.

    Args:
        logits: (..., N, K).
        shape: One letter per axis, as the message names them.
        name: What they are called in the message.

    Raises:
        InvalidInputError: Another number of axes, fewer than two classes, an empty axis, or no real numbers.
    """
    expected = f"({', '.join(shape)})"
    if logits.ndim != len(shape) or logits.size == 0 or logits.dtype.kind not in "fiu":
        raise InvalidInputError(
            f"{name}: got shape {logits.shape} of {logits.dtype}; expected real numbers {expected}, no axis empty."
        )
    if logits.shape[-1] < 2:
        raise InvalidInputError(
            f"{name}: one class, shape {logits.shape}; expected {expected} of at least two classes."
        )
    wide = logits.astype(np.float64)
    return np.clip(wide, -LARGEST_LOGIT, LARGEST_LOGIT) if np.isinf(wide).any() else wide


def as_labels(labels: NDArray[np.integer], logits: NDArray[np.float64]) -> NDArray[np.int64]:
    """Labels that fit logits.

    Args:
        labels: (N,) class indices 0..K-1.
        logits: (..., N, K).

    Raises:
        InvalidInputError: Another shape, another type, or an index outside 0..K-1.
    """
    num_pixels, num_classes = logits.shape[-2:]
    if labels.shape != (num_pixels,) or labels.dtype.kind not in "iu":
        raise InvalidInputError(
            f"labels: got shape {labels.shape} of {labels.dtype}; expected ({num_pixels},) integers, one per pixel of "
            "the logits."
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise InvalidInputError(
            f"labels: class indices {labels.min()}..{labels.max()}; expected 0..{num_classes - 1}, as the logits have "
            f"{num_classes} columns."
        )
    return labels.astype(np.int64)


def as_features(
    features: NDArray[np.floating], *, num_pixels: int | None = None, name: str = "features"
) -> NDArray[np.float64]:
    """Features in float64.

    Args:
        features: (N, D).
        num_pixels: N; None accepts any.
        name: What they are called in the message.

    Raises:
        InvalidInputError: Another shape, no real numbers, or an infinite one, which has no distance to others.
    """
    rows = "N" if num_pixels is None else str(num_pixels)
    fits = features.ndim == 2 and features.size > 0 and features.dtype.kind in "fiu"
    if not fits or num_pixels not in (None, len(features)):
        raise InvalidInputError(
            f"{name}: got shape {features.shape} of {features.dtype}; expected real numbers ({rows}, D)."
        )
    if np.isinf(features).any():
        raise InvalidInputError(
            f"{name}: {np.isinf(features).sum()} infinite values in shape {features.shape}; record them in float32, "
            "or scale them before they are stored as float16."
        )
    return features.astype(np.float64)


def same_classes(logits: NDArray[np.float64], others: NDArray[np.float64]) -> None:
    """Check that two arrays of logits have the same classes.

    Raises:
        InvalidInputError: They don't.
    """
    if logits.shape[-1] != others.shape[-1]:
        raise InvalidInputError(
            f"logits of {logits.shape[-1]} and of {others.shape[-1]} classes, shapes {logits.shape} and "
            f"{others.shape}; pass both from the same network."
        )


def probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    outputs: NDArray[np.float64] = softmax(logits, axis=-1)
    return outputs


def entropies(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy of each pixel's softmax in nats, (..., N) of (..., N, K): 0 if confident, log K if uniform."""
    logs = log_softmax(logits, axis=-1)
    per_pixel: NDArray[np.float64] = -np.sum(np.exp(logs) * logs, axis=-1)
    return per_pixel


def in_canonical_order(*columns: NDArray[np.float64]) -> NDArray[np.intp]:
    """The order of pixels by their values, in which a result does not depend on the order they came in.

    K-means draws its first centres by position, and solvers add up in order.

    Args:
        columns: (N, any) each.
    """
    return np.lexsort(np.concatenate(columns, axis=1).T[::-1])
