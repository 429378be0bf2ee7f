"""Accuracy scores, all computed from one confusion matrix.

Shape letters: K classes, N samples. OA overall accuracy, AA average (per-class) accuracy, kappa Cohen's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of one (K, K) confusion matrix; rows are the truth, columns the prediction.

    Raises:
        InvalidInputError: The matrix is not square, negative somewhere, or empty of samples.
    """

    confusion: NDArray[np.int64]

    def __post_init__(self) -> None:
        matrix = np.asarray(self.confusion)
        is_square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and matrix.size > 0
        if not is_square or matrix.dtype.kind not in "iu" or matrix.min() < 0 or matrix.sum() == 0:
            raise InvalidInputError(
                f"expected a square confusion matrix of counts with at least one sample, got shape {matrix.shape} of "
                f"{matrix.dtype} with {matrix.sum()} samples."
            )
        object.__setattr__(self, "confusion", matrix.astype(np.int64))

    @classmethod
    def from_labels(cls, truth: NDArray[np.integer], predicted: NDArray[np.integer], *, num_classes: int) -> "Scores":
        """Count a confusion matrix from two (N,) arrays of class indices 0..K-1.

        Raises:
            InvalidInputError: The arrays differ in length, are empty, or hold an index outside 0..K-1.
        """
        for name, indices in (("truth", truth), ("predicted", predicted)):
            if indices.shape != truth.shape or indices.ndim != 1 or indices.size == 0:
                raise InvalidInputError(
                    f"truth of shape {truth.shape} and predicted of shape {predicted.shape}; expected one (N,), N >= 1."
                )
            if indices.min() < 0 or indices.max() >= num_classes:
                raise InvalidInputError(
                    f"{name}: class indices {indices.min()}..{indices.max()}; expected 0..{num_classes - 1}."
                )
        index = truth.astype(np.int64) * num_classes + predicted.astype(np.int64)
        return cls(np.bincount(index, minlength=num_classes**2).reshape(num_classes, num_classes))

    @property
    def oa(self) -> float:
        """Share of correctly classified samples, 0..1."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def recall(self) -> NDArray[np.float64]:
        """(K,) share of correctly classified samples per class; NaN for a class without samples."""
        totals = self.confusion.sum(axis=1).astype(np.float64)
        hits = np.diag(self.confusion)
        recall: NDArray[np.float64] = np.divide(hits, totals, out=np.full(len(totals), np.nan), where=totals > 0)
        return recall

    @property
    def aa(self) -> float:
        """Mean recall over the classes that have samples, 0..1."""
        return float(np.nanmean(self.recall))

    @property
    def kappa(self) -> float:
        """Cohen's kappa, -1..1; 0 if truth and prediction are the same single class throughout."""
        total = self.confusion.sum()
        chance = float((self.confusion.sum(axis=0) / total) @ (self.confusion.sum(axis=1) / total))
        return 0.0 if chance == 1.0 else (self.oa - chance) / (1.0 - chance)

    def as_dict(self) -> dict[str, float]:
        """``{"oa": …, "aa": …, "kappa": …}``."""
        return {"oa": self.oa, "aa": self.aa, "kappa": self.kappa}
