"""Criteria on what a network outputs for unlabelled target pixels. No label is read.

All scores: higher is better. Each prefers outputs that look like those of an accurate network, and a network that is
confidently wrong can look so too.

Shape letters: M target pixels, K classes, D features.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, xlogy

from sceneshift.errors import InvalidInputError
from sceneshift.selection.checked_arrays import (
    as_features,
    as_logits,
    entropies,
    in_canonical_order,
    nan_if_nan,
    probabilities,
)


@nan_if_nan
def negative_entropy(target_logits: NDArray[np.floating]) -> float:
    """Minus the mean entropy of the predictions, -log K (uniform) to 0 (confident).

    mean over pixels x of sum_k p(k | x) log p(k | x). Morerio et al., "Minimal-Entropy Correlation Alignment for
    Unsupervised Deep Domain Adaptation", ICLR 2018, section 3.3 (from memory).

    Args:
        target_logits: (M, K).

    Raises:
        InvalidInputError: The shape or type is another.
    """
    return float(-np.mean(entropies(as_logits(target_logits, shape="MK"))))


@nan_if_nan
def info_max(target_logits: NDArray[np.floating]) -> float:
    """Mutual information of pixels and predicted classes, 0 (all predictions alike) to log K (confident and balanced).

    H(mean over pixels of p) - mean over pixels of H(p), H the entropy. Bridle, Heading and MacKay, "Unsupervised
    Classifiers, Mutual Information and 'Phantom Targets'", NIPS 1991, section 2; as a validator: Musgrave et al.,
    "Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation", 2022 (both from
    memory).

    Args:
        target_logits: (M, K).

    Raises:
        InvalidInputError: The shape or type is another.
    """
    logits = as_logits(target_logits, shape="MK")
    marginal = probabilities(logits).mean(axis=0)
    return float(-xlogy(marginal, marginal).sum() - np.mean(entropies(logits)))


@nan_if_nan
def batch_nuclear_norm(target_logits: NDArray[np.floating]) -> float:
    """Nuclear norm of the predictions as a share of the largest possible one, 0..1.

    (sum of the singular values of P) / sqrt(M min(M, K)), P the (M, K) softmax outputs: 1 if predictions are one-hot
    with all classes equally frequent; lower if they are uncertain or leave classes out. Cui et al., "Towards
    Discriminability and Diversity: Batch Nuclear-norm Maximization under Label Insufficient Situations", CVPR 2020,
    section 3.2 (from memory). The paper divides by M; with the bound instead, numbers of pixels and classes compare.

    Args:
        target_logits: (M, K).

    Raises:
        InvalidInputError: The shape or type is another.
    """
    outputs = probabilities(as_logits(target_logits, shape="MK"))
    return float(np.linalg.norm(outputs, ord="nuc") / np.sqrt(len(outputs) * min(outputs.shape)))


@nan_if_nan
def class_ami(target_logits: NDArray[np.floating], target_features: NDArray[np.floating]) -> float:
    """Adjusted mutual information of predicted classes and clusters of features; 0 by chance, 1 if they are the same.

    AMI(argmax of the logits, k-means clusters of the features), as many clusters as classes. ClassAMI in Musgrave et
    al., "Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation", 2022 (from
    memory); AMI: Vinh et al., JMLR 11, 2010. 0 if all pixels are predicted as one class or have the same features,
    where AMI itself would call one cluster and one class identical: a network that collapsed must not score best.

    Args:
        target_logits: (M, K).
        target_features: (M, D).

    Raises:
        InvalidInputError: The shapes or types don't fit.
    """
    logits = as_logits(target_logits, shape="MK")
    features = as_features(target_features, num_pixels=len(logits), name="target features")
    order = in_canonical_order(features, logits)
    features, classes = features[order], logits[order].argmax(axis=1)
    num_clusters = min(logits.shape[1], len(np.unique(features, axis=0)))
    if num_clusters == 1 or len(np.unique(classes)) == 1:
        return 0.0
    from sklearn.cluster import KMeans  # not by every worker: half a second
    from sklearn.metrics import adjusted_mutual_info_score

    clusters = KMeans(num_clusters, n_init=1, random_state=0).fit_predict(features)
    return float(adjusted_mutual_info_score(classes, clusters))


@nan_if_nan
def soft_neighborhood_density(target_logits: NDArray[np.floating], *, temperature: float = 0.05) -> float:
    """Mean entropy of each pixel's similarities to all others, 0 (a single neighbour) to log(M - 1) (all alike).

    mean over i of -sum_{j != i} P_ij log P_ij, where P_ij = exp(s_ij / T) / sum_{l != i} exp(s_il / T) and s_ij is the
    cosine of the softmax outputs of pixels i and j. Saito et al., "Tune it the Right Way: Unsupervised Validation of
    Domain Adaptation via Soft Neighborhood Density", ICCV 2021, equations 1 to 3 (from memory). A network that
    predicts one class everywhere scores best of all.

    Args:
        target_logits: (M, K).
        temperature: T; 0.05 in the paper.

    Returns:
        The density; NaN for a single pixel, which has no neighbours.

    Raises:
        InvalidInputError: The shape or type is another, or the temperature isn't positive.
    """
    if not temperature > 0:
        raise InvalidInputError(f"temperature {temperature}; expected a positive number.")
    outputs = probabilities(as_logits(target_logits, shape="MK"))
    num_pixels = len(outputs)
    if num_pixels == 1:
        return float("nan")
    units = outputs / np.linalg.norm(outputs, axis=1, keepdims=True)
    scaled = units @ units.T / temperature
    np.fill_diagonal(scaled, -np.inf)
    scaled -= scaled.max(axis=1, keepdims=True)
    similarities = np.exp(scaled)
    np.fill_diagonal(scaled, 0.0)  # times a similarity of 0; infinity would not be 0
    total = similarities.sum(axis=1)
    # With P = similarity / total, -sum P log P = log total - sum P scaled, which needs no logarithm of a zero.
    return float(np.mean(np.log(total) - np.einsum("ij,ij->i", similarities, scaled) / total))


@nan_if_nan
def matrix_norm(target_logits: NDArray[np.floating], *, order: float = 4, threshold: float = 5) -> float:
    """Entry-wise norm of normalized logits (MaNo), K^-1 (uniform) to K^(-1/order) (one-hot).

    (1 / (M K) sum over pixels and classes of s^order)^(1 / order), where s = v / (sum over classes of v), and v depends
    on Phi = -1 / (M K) sum of log softmax(q), q the logits ("softrun"): v = exp(q), which is softmax, if Phi >
    threshold; v = 1 + q + q^2 / 2, its second-order Taylor polynomial, which is always positive, otherwise. Xie et al.,
    "MaNo: Exploiting Matrix Norm for Unsupervised Accuracy Estimation Under Distribution Shifts", NeurIPS 2024,
    section 4, equation 6 (from memory). Phi jumps the score between two scales, so compare epochs with care.

    Args:
        target_logits: (M, K).
        order: Order of the norm; 4 in the paper.
        threshold: Between the two normalizations; 5 in the paper. 0 always takes softmax.

    Raises:
        InvalidInputError: The shape or type is another, or the order is below 1.
    """
    if not order >= 1:
        raise InvalidInputError(f"order {order}; expected a number from 1 on.")
    logits = as_logits(target_logits, shape="MK")
    evidence = np.mean(logsumexp(logits, axis=1)) - np.mean(logits)  # Phi
    if evidence > threshold:
        normalized = probabilities(logits)
    else:
        values = 1 + logits + logits**2 / 2
        normalized = values / values.sum(axis=1, keepdims=True)
    return float(np.mean(normalized**order) ** (1 / order))
