"""Criteria that read nothing of the target: validation pixels of the source, and physically shifted copies of them.

All scores: higher is better.

Shape letters: N validation pixels, K classes, S shifted copies of the pixels, C configurations, P pairs of scenes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scores import Scores
from sceneshift.selection.checked_arrays import as_labels, as_logits, nan_if_nan, probabilities, same_classes


@nan_if_nan
def average_accuracy(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean recall over the classes that have pixels, 0..1.

    AA = mean over classes k of (pixels of k predicted as k) / (pixels of k). Selection by source validation: Gulrajani
    and Lopez-Paz, "In Search of Lost Domain Generalization", ICLR 2021, section 3.

    Args:
        logits: (N, K).
        labels: (N,) class indices 0..K-1.

    Raises:
        InvalidInputError: The shapes or types don't fit.
    """
    checked = as_logits(logits)
    return _average_accuracy(checked, as_labels(labels, checked))


def _average_accuracy(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return Scores.from_labels(labels, logits.argmax(axis=-1), num_classes=logits.shape[-1]).aa


@nan_if_nan
def mean_shifted_accuracy(shifted_logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean over the shifted copies of their average accuracy, 0..1; the unshifted pixels don't count.

    An augmented validation set as a stand-in for unknown domains; our own combination of AA with physical shifts.

    Args:
        shifted_logits: (S, N, K), one set of logits per copy.
        labels: (N,) class indices 0..K-1; a shift does not change them.

    Raises:
        InvalidInputError: The shapes or types don't fit.
    """
    return float(np.mean(_shifted_accuracies(shifted_logits, labels)))


@nan_if_nan
def worst_shifted_accuracy(shifted_logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The lowest average accuracy among the shifted copies, 0..1.

    The worst case over domains instead of their mean, as in Sagawa et al., "Distributionally Robust Neural Networks",
    ICLR 2020, equation 4 (from memory), with copies as the domains.

    Args:
        shifted_logits: (S, N, K), one set of logits per copy.
        labels: (N,) class indices 0..K-1.

    Raises:
        InvalidInputError: The shapes or types don't fit.
    """
    return float(np.min(_shifted_accuracies(shifted_logits, labels)))


def _shifted_accuracies(shifted_logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    checked = as_logits(shifted_logits, shape="SNK", name="shifted logits")
    truth = as_labels(labels, checked)
    return np.array([_average_accuracy(copy, truth) for copy in checked])


@nan_if_nan
def source_discrepancy(
    logits: NDArray[np.floating], shifted_logits: NDArray[np.floating], labels: NDArray[np.integer]
) -> float:
    """Minus the risk on the source and the discrepancy between synthetic domains, -2..0.

    -(risk + discrepancy), where risk = 1 - AA on the validation pixels, and the discrepancy is a mean over all pairs of
    domains a, b (the validation pixels and each copy), over classes, and over a class's pixels x, of the total
    variation distance 1/2 sum_k |p_a(k | x) - p_b(k | x)| between the predictions for the same pixel.

    The form, risk plus divergence between domains, is that of the bound of Ben-David et al., "A theory of learning from
    different domains", Machine Learning 79, 2010, theorem 2; accuracy minus variation between domains selects models in
    Ye et al., "Towards a Theoretical Framework of Out-of-Distribution Generalization", NeurIPS 2021, section 5 (both
    from memory). The distance is ours: copies show the same pixels, so that their predictions can be compared one by
    one and no density is estimated.

    Args:
        logits: (N, K) of the validation pixels.
        shifted_logits: (S, N, K) of their copies.
        labels: (N,) class indices 0..K-1.

    Raises:
        InvalidInputError: The shapes or types don't fit.
    """
    original = as_logits(logits)
    copies = as_logits(shifted_logits, shape="SNK", name="shifted logits")
    same_classes(original, copies)
    if copies.shape[1] != len(original):
        raise InvalidInputError(
            f"shifted copies of {copies.shape[1]} pixels, but logits of {len(original)}; copies show the same pixels."
        )
    truth = as_labels(labels, original)
    domains = probabilities(np.concatenate([original[np.newaxis], copies]))
    distances = [
        np.abs(domains[a] - domains[b]).sum(axis=-1) / 2
        for a in range(len(domains))
        for b in range(a + 1, len(domains))
    ]
    per_pixel = np.mean(distances, axis=0)
    discrepancy = np.mean([per_pixel[truth == k].mean() for k in np.unique(truth)])
    return float(-(1 - _average_accuracy(original, truth)) - discrepancy)


def leave_one_group_out(scores: NDArray[np.floating], groups: Sequence[str], *, held_out: str) -> NDArray[np.float64]:
    """Score configurations by what they reach on the pairs of all other groups of scenes.

    score(c) = mean over the groups g other than ``held_out`` of the mean over the pairs of g of scores(c, pair). Every
    group counts the same, however many pairs it has. Leave-one-domain-out selection: Gulrajani and Lopez-Paz, ICLR
    2021, section 3, here over pairs that share no scene with the held-out ones. The scores may be accuracies on those
    pairs' targets: their labels are not the held-out target's.

    Args:
        scores: (C, P), higher is better; NaN where a configuration has none.
        groups: P names; pairs that share scenes have the same one.
        held_out: The group whose scores are not read. It may be one that has no pair in the table.

    Returns:
        (C,) scores; NaN for a configuration that lacks a score on one of the other pairs, since a mean over easier
        pairs would not compare.

    Raises:
        InvalidInputError: The shapes don't fit, or no other group is left.
    """
    if scores.ndim != 2 or scores.size == 0 or scores.dtype.kind not in "fiu" or scores.shape[1] != len(groups):
        raise InvalidInputError(
            f"a table of shape {scores.shape} of {scores.dtype} for {len(groups)} pairs; expected numbers (C, P), one "
            "column per pair."
        )
    others = [group for group in dict.fromkeys(groups) if group != held_out]
    if not others:
        raise InvalidInputError(
            f"every pair is of the held-out group {held_out!r}; leave-one-group-out needs another group's pairs."
        )
    of_group = np.array(groups)
    means = [scores[:, of_group == group].astype(np.float64).mean(axis=1) for group in others]
    return np.asarray(np.mean(means, axis=0), dtype=np.float64)
