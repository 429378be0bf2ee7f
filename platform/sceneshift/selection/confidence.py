"""Estimates of accuracy on the target from confidences on both sides: ATC and DoC.

Both are scores of a network, higher is better, and estimates of its overall accuracy on the target. They assume that
confidence means the same on both sides, and that the target has the source's class proportions unless ``weights`` say
otherwise.

Shape letters: N validation pixels of the source, M target pixels, K classes.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.selection.checked_arrays import as_labels, as_logits, entropies, nan_if_nan, probabilities, same_classes

#: What orders pixels in ATC.
Confidence = Literal["max-confidence", "negative-entropy"]

#: Shares of pixels that differ by less are the same; sums of weights round at about 1e-16.
_SAME_SHARE = 1e-12


@nan_if_nan
def atc(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    target_logits: NDArray[np.floating],
    *,
    confidence: Confidence = "negative-entropy",
    weights: NDArray[np.floating] | None = None,
) -> float:
    """Average thresholded confidence: the share of target pixels above a threshold learned on the source, 0..1.

    t such that on the source mean[s(x) < t] = the share of misclassified pixels; the score is mean[s(x) >= t] on the
    target, s the highest probability or the negative entropy of the predictions. Garg et al., "Leveraging Unlabeled
    Data to Predict Out-of-Distribution Performance", ICLR 2022, equations 1 and 2 (from memory); the paper finds
    negative entropy somewhat better. Pixels with s = t count in the proportion that makes the source's equation exact,
    which the paper does not need as its scores have no ties; logits in float16 have. Logits are not temperature-scaled.

    Args:
        logits: (N, K) of the validation pixels.
        labels: (N,) their class indices 0..K-1.
        target_logits: (M, K).
        confidence: s.
        weights: (N,) how much each validation pixel counts, for example from :func:`proportion_weights`.

    Raises:
        InvalidInputError: The shapes or types don't fit, or the confidence is unknown.
    """
    source, truth, target = _both_sides(logits, labels, target_logits)
    return thresholded_share(
        ordering(source, confidence),
        source.argmax(axis=1) == truth,
        ordering(target, confidence),
        weights=as_weights(weights, len(source)),
    )


@nan_if_nan
def doc(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    target_logits: NDArray[np.floating],
    *,
    weights: NDArray[np.floating] | None = None,
) -> float:
    """Accuracy on the source minus the difference of confidences; not clipped to 0..1, so that networks keep an order.

    OA on the source - (mean max_k p(k | x) on the source - the same on the target). Guillory et al., "Predicting with
    Confidence on Unseen Distributions", ICCV 2021, section 3 (DoC, without a regression; from memory).

    Args:
        logits: (N, K) of the validation pixels.
        labels: (N,) their class indices 0..K-1.
        target_logits: (M, K).
        weights: (N,) how much each validation pixel counts, for example from :func:`proportion_weights`.

    Raises:
        InvalidInputError: The shapes or types don't fit.
    """
    source, truth, target = _both_sides(logits, labels, target_logits)
    shares = as_weights(weights, len(source))
    hits = source.argmax(axis=1) == truth
    return float(shares @ (hits - probabilities(source).max(axis=1)) + probabilities(target).max(axis=1).mean())


def ordering(logits: NDArray[np.float64], confidence: Confidence) -> NDArray[np.float64]:
    """A number per pixel that orders pixels by confidence.

    For the highest probability p it is log(p / (1 - p)): the same order, but where p rounds to 1 pixels still differ.

    Args:
        logits: (N, K), checked.
        confidence: Which order.

    Raises:
        InvalidInputError: The confidence is unknown.
    """
    if confidence not in get_args(Confidence):
        known = ", ".join(get_args(Confidence))
        raise InvalidInputError(
            f"no confidence is called {confidence!r}{nearest_name(confidence, get_args(Confidence))}. Known: {known}."
        )
    if confidence == "negative-entropy":
        return -entropies(logits)
    ascending = np.sort(logits, axis=1)
    log_odds: NDArray[np.float64] = ascending[:, -1] - logsumexp(ascending[:, :-1], axis=1)
    return log_odds


def thresholded_share(
    source_order: NDArray[np.float64],
    hits: NDArray[np.bool_],
    target_order: NDArray[np.float64],
    *,
    weights: NDArray[np.float64],
) -> float:
    """ATC's share of target pixels, from numbers that order pixels by confidence.

    Args:
        source_order: (N,).
        hits: (N,) whether the pixel is correctly classified.
        target_order: (M,).
        weights: (N,) that sum to 1.
    """
    values, position = np.unique(source_order, return_inverse=True)
    shares = np.bincount(position, weights=weights)
    error = float(weights @ ~hits)
    up_to = np.cumsum(shares)
    at = min(int(np.searchsorted(up_to, error - _SAME_SHARE)), len(values) - 1)
    threshold, share = values[at], shares[at]
    counted_below = (error - (up_to[at] - share)) / share if share > 0 else 0.0
    below = np.mean(target_order < threshold)
    equal = np.mean(target_order == threshold)
    return float(1 - below - np.clip(counted_below, 0, 1) * equal)


def proportion_weights(labels: NDArray[np.integer], proportions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Weights that give validation pixels the target's expected class proportions.

    w(x) = proportion of x's class on the target / its share among the validation pixels, as under a label shift
    (Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural Computation 14, 2002;
    from memory).

    Args:
        labels: (N,) class indices 0..K-1.
        proportions: (K,) not negative; they are divided by their sum.

    Returns:
        (N,) weights that sum to 1.

    Raises:
        InvalidInputError: The proportions are no (K,) array of numbers from 0 on with a positive sum, or a class that
            is expected has no validation pixel.
    """
    fits = proportions.ndim == 1 and proportions.size > 0 and np.isfinite(proportions).all()
    if not fits or proportions.min() < 0 or proportions.sum() <= 0:
        raise InvalidInputError(
            f"proportions {proportions.tolist()}; expected one number from 0 on per class, and a positive sum."
        )
    if labels.ndim != 1 or labels.size == 0 or labels.min() < 0 or labels.max() >= len(proportions):
        raise InvalidInputError(
            f"labels of shape {labels.shape} for {len(proportions)} proportions; expected (N,) class indices "
            f"0..{len(proportions) - 1}, N >= 1."
        )
    counts = np.bincount(labels, minlength=len(proportions))
    missing = np.flatnonzero((counts == 0) & (proportions > 0))
    if len(missing) > 0:
        raise InvalidInputError(
            f"classes {missing.tolist()} are expected on the target but have no validation pixel, so their accuracy "
            "can't be estimated; set their proportions to 0 and read the estimate as one of the other classes."
        )
    per_class = np.divide(proportions, counts, out=np.zeros(len(counts)), where=counts > 0) / proportions.sum()
    weights: NDArray[np.float64] = per_class[labels]
    return weights


def as_weights(weights: NDArray[np.floating] | None, num_pixels: int) -> NDArray[np.float64]:
    """Weights that sum to 1; equal ones for None.

    Raises:
        InvalidInputError: They are not (N,) finite numbers from 0 on with a positive sum.
    """
    if weights is None:
        return np.full(num_pixels, 1 / num_pixels)
    if weights.shape != (num_pixels,) or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() <= 0:
        raise InvalidInputError(
            f"weights of shape {weights.shape}; expected ({num_pixels},) finite numbers from 0 on with a positive sum."
        )
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _both_sides(
    logits: NDArray[np.floating], labels: NDArray[np.integer], target_logits: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    source = as_logits(logits)
    target = as_logits(target_logits, shape="MK", name="target logits")
    same_classes(source, target)
    return source, as_labels(labels, source), target
