"""Strategies that read unlabelled pixels of the target, and the oracle, which reads its labels.

Each scores one candidate at a time. Their formulas are in :mod:`sceneshift.selection.output_criteria`,
:mod:`sceneshift.selection.importance_weighting` and :mod:`sceneshift.selection.confidence`.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.selection import confidence, importance_weighting
from sceneshift.selection.output_criteria import (
    batch_nuclear_norm,
    class_ami,
    info_max,
    matrix_norm,
    negative_entropy,
    soft_neighborhood_density,
)
from sceneshift.selection.strategy import CandidateStrategy, EpochStrategy
from sceneshift.selection.views import LabelledView, Reads, UnlabelledView

_BOTH_SIDES = ("validation_logits", "target_logits")
_WITH_FEATURES = ("validation_logits", "validation_features", "target_features")


class Entropy(EpochStrategy[UnlabelledView]):
    """Lowest mean entropy of the predictions: :func:`~sceneshift.selection.output_criteria.negative_entropy`."""

    name = "entropy"
    rule = "lowest mean entropy of predictions on unlabelled target pixels, best epoch"
    reads = Reads.PIXELS
    columns = ("target_logits",)

    def score_pair(self, view: UnlabelledView) -> float:
        """Minus the mean entropy."""
        return negative_entropy(view.target_logits)


class InfoMax(EpochStrategy[UnlabelledView]):
    """Highest mutual information of pixels and classes: :func:`~sceneshift.selection.output_criteria.info_max`."""

    name = "infomax"
    rule = "highest mutual information of unlabelled target pixels and predicted classes, best epoch"
    reads = Reads.PIXELS
    columns = ("target_logits",)

    def score_pair(self, view: UnlabelledView) -> float:
        """Entropy of the mean prediction minus the mean entropy."""
        return info_max(view.target_logits)


class BatchNuclearNorm(EpochStrategy[UnlabelledView]):
    """Highest nuclear norm of the predictions: :func:`~sceneshift.selection.output_criteria.batch_nuclear_norm`."""

    name = "bnm"
    rule = "highest nuclear norm of predictions on unlabelled target pixels, best epoch"
    reads = Reads.PIXELS
    columns = ("target_logits",)

    def score_pair(self, view: UnlabelledView) -> float:
        """The norm as a share of the largest possible one."""
        return batch_nuclear_norm(view.target_logits)


class ClassAMI(EpochStrategy[UnlabelledView]):
    """Best agreement of predicted classes and clusters: :func:`~sceneshift.selection.output_criteria.class_ami`."""

    name = "class-ami"
    rule = "highest adjusted mutual information of predicted classes and clusters of target features, best epoch"
    reads = Reads.PIXELS
    columns = ("target_logits", "target_features")

    def score_pair(self, view: UnlabelledView) -> float:
        """Adjusted mutual information."""
        return class_ami(view.target_logits, _features(view.target_features))


class SoftNeighborhoodDensity(EpochStrategy[UnlabelledView]):
    """Highest soft neighborhood density: :func:`~sceneshift.selection.output_criteria.soft_neighborhood_density`."""

    name = "snd"
    rule = "highest soft neighborhood density of predictions on unlabelled target pixels, best epoch"
    reads = Reads.PIXELS
    columns = ("target_logits",)

    def score_pair(self, view: UnlabelledView) -> float:
        """Mean entropy of similarities."""
        return soft_neighborhood_density(view.target_logits)


class MatrixNorm(EpochStrategy[UnlabelledView]):
    """Highest norm of normalized logits (MaNo): :func:`~sceneshift.selection.output_criteria.matrix_norm`."""

    name = "mano"
    rule = "highest matrix norm of normalized logits on unlabelled target pixels, best epoch"
    reads = Reads.PIXELS
    columns = ("target_logits",)

    def score_pair(self, view: UnlabelledView) -> float:
        """The entry-wise norm."""
        return matrix_norm(view.target_logits)


class ATC(EpochStrategy[UnlabelledView]):
    """Highest average thresholded confidence: :func:`~sceneshift.selection.confidence.atc`."""

    name = "atc"
    rule = "highest share of target pixels above a confidence learned on the source, best epoch"
    reads = Reads.PIXELS
    columns = _BOTH_SIDES

    def score_pair(self, view: UnlabelledView) -> float:
        """The estimated accuracy, by the negative entropy."""
        return confidence.atc(view.source.logits, view.source.labels, view.target_logits)


class DoC(EpochStrategy[UnlabelledView]):
    """Highest source accuracy minus the drop of confidence: :func:`~sceneshift.selection.confidence.doc`."""

    name = "doc"
    rule = "highest source accuracy minus the drop of confidence on the target, best epoch"
    reads = Reads.PIXELS
    columns = _BOTH_SIDES

    def score_pair(self, view: UnlabelledView) -> float:
        """The estimated accuracy, not clipped."""
        return confidence.doc(view.source.logits, view.source.labels, view.target_logits)


class IWCV(EpochStrategy[UnlabelledView]):
    """Lowest importance-weighted risk: :func:`~sceneshift.selection.importance_weighting.iwcv`, cross-entropy."""

    name = "iwcv"
    rule = "lowest importance-weighted cross-entropy on source validation pixels, best epoch"
    reads = Reads.PIXELS
    columns = _WITH_FEATURES

    def score_pair(self, view: UnlabelledView) -> float:
        """Minus the risk."""
        source = view.source
        features, target_features = _features(source.features), _features(view.target_features)
        return importance_weighting.iwcv(source.logits, source.labels, features, target_features)


class DEV(EpochStrategy[UnlabelledView]):
    """Lowest deep embedded validation risk: :func:`~sceneshift.selection.importance_weighting.dev`, cross-entropy."""

    name = "dev"
    rule = "lowest deep embedded validation risk on source validation pixels, best epoch"
    reads = Reads.PIXELS
    columns = _WITH_FEATURES

    def score_pair(self, view: UnlabelledView) -> float:
        """Minus the risk."""
        source = view.source
        features, target_features = _features(source.features), _features(view.target_features)
        return importance_weighting.dev(source.logits, source.labels, features, target_features)


class Oracle(CandidateStrategy[LabelledView]):
    """Chooses by the target's labels: what no user can do, and the bound that other strategies are compared with.

    OA = share of the recorded target pixels with a label whose class is predicted, mean over pairs. Labels are read
    after the last trial, so the search itself is steered by ``val/aa``. "Oracle" as a selection by target labels:
    Gulrajani and Lopez-Paz, ICLR 2021, section 3.
    """

    name = "oracle"
    rule = "ORACLE: highest OA on labelled target pixels, best epoch; not available in use"
    reads = Reads.LABELS
    columns = ("target_logits",)

    def score_pair(self, view: LabelledView) -> float:
        """OA, 0..1; NaN if no recorded pixel has a label, or a logit is NaN."""
        known = view.target_labels >= 0
        logits = view.unlabelled.target_logits
        if not known.any() or np.isnan(logits).any():
            return math.nan
        return float(np.mean(logits[known].argmax(axis=1) == view.target_labels[known]))


def _features(features: NDArray[np.float16] | None) -> NDArray[np.float16]:
    if features is None:
        raise InvalidInputError(
            "this selection reads features of the final layer, and the method's classifier has none; choose a strategy "
            "that reads logits alone, such as infomax."
        )
    return features
