"""An estimate of what a network will reach on the target, with an interval, from unlabelled target pixels.

The rule:

1. Three estimates of overall accuracy: ATC, DoC, and, if there are at least two seeds, their agreement (GDE), each
   clipped to 0..1. The estimate is their median: the mean of the two if there are no seeds.
2. Residuals (true accuracy minus estimate) on other pairs, whose targets are labelled, correct it: their mean over
   groups of scenes is added. A group counts once, because pairs that share scenes are wrong together.
3. The interval is a prediction interval of a random-effects model: the estimate +- t (G - 1 degrees of freedom, G
   groups) times the square root of (variance for a new pair of a new group + variance of sampled pixels).
4. With fewer than two groups nothing is known about how wrong such estimates are, and the interval is 0..1.

Residuals are assumed to be normal and alike across groups, and the target to have the source's classes, in the
proportions of the validation pixels unless others are passed. The median of the three is our own choice; prediction
intervals: Higgins, Thompson and Spiegelhalter, "A re-evaluation of random-effects meta-analysis", JRSS A 172, 2009
(from memory), with G - 1 degrees of freedom for G means whose variance is unknown. Where pairs of a group also differ
from each other, the interval is wider than it need be: their variance is known better than G - 1 degrees of freedom.

Shape letters: N validation pixels of the source, M target pixels, K classes, R seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from sceneshift.errors import InvalidInputError
from sceneshift.selection.agreement import agreeing_pixels
from sceneshift.selection.checked_arrays import as_labels, as_logits, probabilities, same_classes
from sceneshift.selection.confidence import as_weights, ordering, proportion_weights, thresholded_share

#: The probability with which intervals are meant to contain the accuracy.
LEVEL = 0.9

#: Number of bootstrap draws of pixels.
NUM_DRAWS = 500


@dataclass(frozen=True, kw_only=True)
class AccuracyEstimate:
    """An estimated overall accuracy on the target.

    Args:
        value: The estimate, 0..1, corrected by the residuals of other pairs if those are of at least two groups.
        low: Lower end of the interval, 0..1.
        high: Upper end of the interval, 0..1.
        level: The probability with which the interval is meant to contain the accuracy.
        uncorrected: The estimate without residuals; from it residuals are computed.
        parts: The single estimates by name: ``atc``, ``doc``, ``agreement``.
        sampling_deviation: Standard deviation of the uncorrected estimate over bootstrap draws of pixels. Neighbouring
            pixels are drawn as if they were independent, so it is too small rather than too large.
        calibration_deviation: Standard deviation that other pairs' residuals predict for this one; NaN if those are of
            fewer than two groups.
        num_groups: Number of groups of scenes with residuals.
        assumes_source_proportions: Whether no class proportions were passed.
    """

    value: float
    low: float
    high: float
    level: float
    uncorrected: float
    parts: Mapping[str, float]
    sampling_deviation: float
    calibration_deviation: float
    num_groups: int
    assumes_source_proportions: bool

    @property
    def is_calibrated(self) -> bool:
        """Whether residuals of at least two groups show how wrong such estimates are."""
        return math.isfinite(self.calibration_deviation)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What residuals of other pairs say about an estimate for a new pair.

    Args:
        bias: To be added to the estimate.
        deviation: Standard deviation of a new pair's residual around the bias; NaN for fewer than two groups.
        num_groups: G.
    """

    bias: float
    deviation: float
    num_groups: int

    def interval(self, uncorrected: float, *, sampling_deviation: float, level: float) -> tuple[float, float, float]:
        """The corrected estimate, and the ends of its interval, all clipped to 0..1."""
        value = min(max(uncorrected + self.bias, 0.0), 1.0)
        if not math.isfinite(self.deviation):
            return value, 0.0, 1.0
        half = student_t.ppf((1 + level) / 2, self.num_groups - 1) * math.hypot(self.deviation, sampling_deviation)
        center = uncorrected + self.bias
        low, high = np.clip([center - half, center + half], 0.0, 1.0)
        return value, float(low), float(high)


def calibrate(residuals: Mapping[str, Sequence[float]]) -> Calibration:
    """Mean and predictive spread of residuals under a random-effects model.

    bias = mean over groups g of m_g, the mean residual of g; deviation^2 = v_b (1 + 1 / G) + v_w (1 - mean_g 1 / n_g),
    v_b the variance of the m_g, v_w the pooled variance within groups of n_g residuals. v_b already contains v_w / n_g.

    Args:
        residuals: True accuracy minus uncorrected estimate, -1..1, of pairs of each other group of scenes, also of
            several methods and seeds.

    Returns:
        The calibration; without correction for fewer than two groups, as one group's bias need not be another's.

    Raises:
        InvalidInputError: A group has no residual, or one is not within -1..1.
    """
    groups = {name: np.asarray(values, dtype=np.float64) for name, values in residuals.items()}
    for name, values in groups.items():
        if values.ndim != 1 or values.size == 0 or not (np.abs(values) <= 1).all():  # NaN is not <= 1
            raise InvalidInputError(
                f"residuals of {name!r}: got {values.tolist()}; expected at least one number in -1..1, the true "
                "accuracy minus the uncorrected estimate. Leave out groups without any."
            )
    if len(groups) < 2:
        return Calibration(bias=0.0, deviation=math.nan, num_groups=len(groups))
    sizes = np.array([len(values) for values in groups.values()])
    means = np.array([values.mean() for values in groups.values()])
    squares = sum(float(np.sum((values - values.mean()) ** 2)) for values in groups.values())
    within = squares / (sizes.sum() - len(sizes)) if sizes.sum() > len(sizes) else 0.0
    variance = means.var(ddof=1) * (1 + 1 / len(means)) + within * (1 - np.mean(1 / sizes))
    return Calibration(bias=float(means.mean()), deviation=math.sqrt(variance), num_groups=len(means))


def estimate_accuracy(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    target_logits: NDArray[np.floating],
    *,
    residuals: Mapping[str, Sequence[float]],
    seeds_target_logits: NDArray[np.floating] | None = None,
    proportions: NDArray[np.floating] | None = None,
    level: float = LEVEL,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> AccuracyEstimate:
    """Estimate a network's overall accuracy on the target by the rule of this module.

    Args:
        logits: (N, K) of the source's validation pixels.
        labels: (N,) their class indices 0..K-1.
        target_logits: (M, K) of unlabelled target pixels, drawn at random from the target.
        residuals: True accuracy minus uncorrected estimate by group of scenes; see :func:`calibrate`. It must not hold
            pairs that share scenes with this one.
        seeds_target_logits: (R, M, K) of this network and of the same configuration with other seeds; None if there are
            no others.
        proportions: (K,) the target's expected class proportions; None for those of the validation pixels. They change
            ATC and DoC, not the agreement.
        level: The probability with which the interval is meant to contain the accuracy.
        num_draws: Number of bootstrap draws of source and target pixels.
        seed: Seed of the draws.

    Raises:
        InvalidInputError: The shapes or types don't fit, a logit is NaN, or a residual, a proportion, the level or the
            number of draws is out of range.
    """
    if not 0 < level < 1 or num_draws < 2:
        raise InvalidInputError(
            f"level {level} and {num_draws} draws; expected a level within 0..1 and at least 2 draws."
        )
    calibration = calibrate(residuals)
    pixels = _Pixels.of(logits, labels, target_logits, seeds_target_logits, proportions)
    parts = pixels.parts()
    uncorrected = _combined(parts)
    rng = np.random.default_rng(seed)
    drawn = [_combined(pixels.drawn(rng).parts()) for _ in range(num_draws)]
    sampling = float(np.std(drawn, ddof=1))
    value, low, high = calibration.interval(uncorrected, sampling_deviation=sampling, level=level)
    return AccuracyEstimate(
        value=value,
        low=low,
        high=high,
        level=level,
        uncorrected=uncorrected,
        parts=parts,
        sampling_deviation=sampling,
        calibration_deviation=calibration.deviation,
        num_groups=calibration.num_groups,
        assumes_source_proportions=proportions is None,
    )


def _combined(parts: Mapping[str, float]) -> float:
    return float(np.median(list(parts.values())))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pixels:
    """What the estimates read of each pixel, so that pixels can be drawn without computing it again."""

    source_order: NDArray[np.float64]
    source_confidence: NDArray[np.float64]
    hits: NDArray[np.bool_]
    weights: NDArray[np.float64]
    target_order: NDArray[np.float64]
    target_confidence: NDArray[np.float64]
    agreeing: NDArray[np.float64] | None

    @classmethod
    def of(
        cls,
        logits: NDArray[np.floating],
        labels: NDArray[np.integer],
        target_logits: NDArray[np.floating],
        seeds_target_logits: NDArray[np.floating] | None,
        proportions: NDArray[np.floating] | None,
    ) -> "_Pixels":
        source = as_logits(logits)
        truth = as_labels(labels, source)
        target = as_logits(target_logits, shape="MK", name="target logits")
        same_classes(source, target)
        agreeing = None
        if seeds_target_logits is not None:
            agreeing = agreeing_pixels(seeds_target_logits)
            if seeds_target_logits.shape[1:] != target.shape:
                raise InvalidInputError(
                    f"target logits of shape {target.shape}, those of the seeds {seeds_target_logits.shape}; expected "
                    f"(R, {target.shape[0]}, {target.shape[1]})."
                )
        for name, values in (("logits", source), ("target logits", target), ("seeds' logits", seeds_target_logits)):
            if values is not None and np.isnan(values).any():
                raise InvalidInputError(
                    f"{name}: {np.isnan(values).sum()} are NaN; the network diverged, choose another."
                )
        if proportions is not None and proportions.shape != source.shape[1:]:
            raise InvalidInputError(
                f"proportions of shape {proportions.shape}; expected ({source.shape[1]},), per class."
            )
        return cls(
            source_order=ordering(source, "negative-entropy"),
            source_confidence=probabilities(source).max(axis=1),
            hits=source.argmax(axis=1) == truth,
            weights=as_weights(None if proportions is None else proportion_weights(truth, proportions), len(truth)),
            target_order=ordering(target, "negative-entropy"),
            target_confidence=probabilities(target).max(axis=1),
            agreeing=agreeing,
        )

    def parts(self) -> dict[str, float]:
        atc = thresholded_share(self.source_order, self.hits, self.target_order, weights=self.weights)
        doc = float(self.weights @ (self.hits - self.source_confidence) + self.target_confidence.mean())
        parts = {"atc": atc, "doc": min(max(doc, 0.0), 1.0)}
        return parts if self.agreeing is None else parts | {"agreement": float(self.agreeing.mean())}

    def drawn(self, rng: np.random.Generator) -> "_Pixels":
        """Source and target pixels drawn with replacement, each side by itself."""
        of_source = rng.choice(len(self.hits), size=len(self.hits), p=self.weights)
        of_target = rng.integers(len(self.target_order), size=len(self.target_order))
        return _Pixels(
            source_order=self.source_order[of_source],
            source_confidence=self.source_confidence[of_source],
            hits=self.hits[of_source],
            weights=as_weights(None, len(of_source)),
            target_order=self.target_order[of_target],
            target_confidence=self.target_confidence[of_target],
            agreeing=None if self.agreeing is None else self.agreeing[of_target],
        )
