"""The outputs of a candidate that a strategy is given: one type per regime, so that it reads no more than declared.

The types contain each other but are not subclasses: neither mypy nor :class:`~sceneshift.selection.strategy.Strategy`
accepts one in place of another.

Shape letters: N validation pixels of the source, M target pixels, K classes, S shifts, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Reads(StrEnum):
    """What a strategy reads of the target."""

    NOTHING = "nothing of the target"
    PIXELS = "the target's unlabelled pixels"
    LABELS = "the target's labels"


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceView:
    """Outputs of one pair's classifier on the source; nothing of the target.

    Arrays that a strategy does not list in its ``columns`` are not read, and empty or None.

    Args:
        labels: (N,) int64 class indices 0..K-1 of the validation pixels.
        logits: (N, K) float16.
        features: (N, F) float16, input of the final layer; None where the classifier has no such layer.
        shifted: (S, N, K) float16, logits on the validation pixels under each shift; None where nothing was shifted.
    """

    labels: NDArray[np.int64]
    logits: NDArray[np.float16]
    features: NDArray[np.float16] | None
    shifted: NDArray[np.float16] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class UnlabelledView:
    """Outputs on the source, and on unlabelled pixels of the target.

    Args:
        source: The source's.
        target_logits: (M, K) float16.
        target_features: (M, F) float16; None where the classifier has no final layer.
    """

    source: SourceView
    target_logits: NDArray[np.float16]
    target_features: NDArray[np.float16] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledView:
    """Outputs on the source and the target, and the target's labels: for the oracle alone.

    Args:
        unlabelled: The outputs.
        target_labels: (M,) int64 class indices 0..K-1; -1 for pixels without a label.
    """

    unlabelled: UnlabelledView
    target_labels: NDArray[np.int64]


View = SourceView | UnlabelledView | LabelledView

#: The view that each regime is given.
VIEWS: Mapping[Reads, type[View]] = {
    Reads.NOTHING: SourceView,
    Reads.PIXELS: UnlabelledView,
    Reads.LABELS: LabelledView,
}
