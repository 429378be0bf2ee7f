"""Criteria that weight source pixels by how much they resemble the target's unlabelled pixels.

They assume a covariate shift: p(label | features) is the same on both sides, and the target's features also occur on
the source. Where they don't, no source pixel has a large weight, and the weighted risk is small whatever the network
does on the target.

Shape letters: N validation pixels of the source, M target pixels, K classes, D features.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.selection.checked_arrays import as_features, as_labels, as_logits, in_canonical_order, nan_if_nan

#: What a pixel's risk is: minus the log probability of its class in nats, or whether it is misclassified.
Loss = Literal["cross-entropy", "zero-one"]


@nan_if_nan
def iwcv(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    features: NDArray[np.floating],
    target_features: NDArray[np.floating],
    *,
    loss: Loss = "cross-entropy",
) -> float:
    """Minus the importance-weighted risk on validation pixels; higher is better, at most 0.

    -mean over source pixels of w(x) loss(x), w the density ratio of :func:`density_ratio`. Sugiyama, Krauledat and
    Müller, "Covariate Shift Adaptation by Importance Weighted Cross Validation", JMLR 8, 2007, section 3 (from memory).

    Args:
        logits: (N, K) of the validation pixels.
        labels: (N,) their class indices 0..K-1.
        features: (N, D).
        target_features: (M, D) by the same network.
        loss: What a pixel's risk is.

    Raises:
        InvalidInputError: The shapes or types don't fit, or the loss is unknown.
    """
    losses = _losses(logits, labels, loss)
    return -importance_weighted_risk(losses, density_ratio(_features_of(losses, features), target_features))


@nan_if_nan
def dev(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    features: NDArray[np.floating],
    target_features: NDArray[np.floating],
    *,
    loss: Loss = "cross-entropy",
) -> float:
    """Minus the deep embedded validation risk; higher is better.

    :func:`iwcv` with the control variate of :func:`deep_embedded_risk`. You et al., "Towards Accurate Model Selection
    in Deep Unsupervised Domain Adaptation", ICML 2019, section 4 and algorithm 1 (from memory). The paper fits the
    density ratio on features of training pixels; only those of validation pixels are recorded, so it is fitted on the
    pixels it weights.

    Args:
        logits: (N, K) of the validation pixels.
        labels: (N,) their class indices 0..K-1.
        features: (N, D).
        target_features: (M, D) by the same network.
        loss: What a pixel's risk is.

    Raises:
        InvalidInputError: The shapes or types don't fit, or the loss is unknown.
    """
    losses = _losses(logits, labels, loss)
    return -deep_embedded_risk(losses, density_ratio(_features_of(losses, features), target_features))


def density_ratio(features: NDArray[np.floating], target_features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Density of the target's features over the source's, at the source's pixels.

    w(x) = (N / M) p(target | x) / p(source | x), by a logistic regression (L2 penalty, C = 1) that distinguishes source
    from target pixels, on features standardized with both sides' mean and standard deviation. Bickel et al.,
    "Discriminative Learning Under Covariate Shift", JMLR 10, 2009, and You et al., ICML 2019, section 4.2 (both from
    memory).

    Args:
        features: (N, D).
        target_features: (M, D).

    Returns:
        (N,) weights above 0; all 1 where the two sides look alike.

    Raises:
        InvalidInputError: The shapes or types don't fit, or a feature is infinite or NaN.
    """
    source = as_features(features)
    target = as_features(target_features, name="target features")
    if source.shape[1] != target.shape[1]:
        raise InvalidInputError(
            f"features of {source.shape[1]} and target features of {target.shape[1]} numbers per pixel; record both by "
            "the same projection."
        )
    both = np.concatenate([source, target])
    if np.isnan(both).any():
        raise InvalidInputError(f"{np.isnan(both).sum()} features are NaN; leave out the epochs that diverged.")
    spread = both.std(axis=0)
    # Features that don't vary can't distinguish the sides; rounding leaves their deviation at about 1e-16 of the mean.
    varies = spread > 1e-9 * np.abs(both).max(axis=0)
    if not varies.any():
        return np.ones(len(source))
    standardized = (both[:, varies] - both[:, varies].mean(axis=0)) / spread[varies]
    is_target = np.repeat([0, 1], [len(source), len(target)])
    order = in_canonical_order(standardized, is_target[:, np.newaxis])
    from sklearn.linear_model import LogisticRegression  # not by every worker: half a second

    model = LogisticRegression(C=1.0, max_iter=1000).fit(standardized[order], is_target[order])
    log_odds = model.decision_function(standardized[: len(source)])
    ratio: NDArray[np.float64] = len(source) / len(target) * np.exp(log_odds)
    return ratio


def importance_weighted_risk(losses: NDArray[np.floating], weights: NDArray[np.floating]) -> float:
    """Mean of weight times loss; lower is better. Sugiyama et al., JMLR 8, 2007, section 3 (from memory).

    Args:
        losses: (N,).
        weights: (N,).

    Raises:
        InvalidInputError: The shapes differ or are empty.
    """
    _check_weights(losses, weights)
    return float(np.mean(weights * losses))


def deep_embedded_risk(losses: NDArray[np.floating], weights: NDArray[np.floating]) -> float:
    """The weighted risk with the weights as control variate; lower is better.

    mean(w l) + eta mean(w) - eta, eta = -Cov(w l, w) / Var(w). Weights have expectation 1, so that the correction has
    expectation 0 and takes out the part of the variance that comes from the weights. eta = 0 where weights vary by
    rounding alone: a millionth of their mean.
    You et al., ICML 2019, section 4.3 and algorithm 1 (from memory).

    Args:
        losses: (N,).
        weights: (N,).

    Raises:
        InvalidInputError: The shapes differ or are empty.
    """
    _check_weights(losses, weights)
    weighted = weights * losses
    varies = np.std(weights) > 1e-6 * np.abs(weights).mean()
    covariance = np.mean((weighted - weighted.mean()) * (weights - weights.mean()))
    eta = -covariance / np.var(weights) if varies else 0.0
    return float(weighted.mean() + eta * (weights.mean() - 1))


def _check_weights(losses: NDArray[np.floating], weights: NDArray[np.floating]) -> None:
    if losses.shape != weights.shape or losses.ndim != 1 or losses.size == 0:
        raise InvalidInputError(
            f"losses of shape {losses.shape} and weights of {weights.shape}; expected one (N,), N >= 1."
        )


def _losses(logits: NDArray[np.floating], labels: NDArray[np.integer], loss: Loss) -> NDArray[np.float64]:
    if loss not in get_args(Loss):
        known = ", ".join(get_args(Loss))
        raise InvalidInputError(f"no loss is called {loss!r}{nearest_name(loss, get_args(Loss))}. Known: {known}.")
    checked = as_logits(logits)
    truth = as_labels(labels, checked)
    if loss == "zero-one":
        return np.asarray(checked.argmax(axis=1) != truth, dtype=np.float64)
    losses: NDArray[np.float64] = -log_softmax(checked, axis=1)[np.arange(len(truth)), truth]
    return losses


def _features_of(losses: NDArray[np.float64], features: NDArray[np.floating]) -> NDArray[np.float64]:
    return as_features(features, num_pixels=len(losses))
