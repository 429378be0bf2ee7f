"""Criteria that compare networks' predictions with each other: seeds of one configuration, and all candidates.

All scores: higher is better.

Shape letters: R seeds of one configuration, N or M pixels, K classes, S shifted copies.
"""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scores import Scores
from sceneshift.selection.checked_arrays import as_logits, nan_if_nan, probabilities


@nan_if_nan
def seed_agreement(logits: NDArray[np.floating], shifted_logits: NDArray[np.floating]) -> float:
    """How far seeds agree on the source's validation pixels and on their shifted copies, beyond chance; -1..1.

    Mean over pairs of seeds, and over the 1 + S sets of pixels, of Cohen's kappa between the classes that the two
    seeds predict. Reads no label. Stability as a criterion, corrected for chance: Lange et al., "Stability-Based
    Validation of Clustering Solutions", Neural Computation 16, 2004 (from memory); the domains are ours. Kappa, not the
    share of pixels, because seeds that predict one class everywhere agree fully; their kappa is 0.

    Args:
        logits: (R, N, K) of the validation pixels.
        shifted_logits: (R, S, N, K) of their copies.

    Raises:
        InvalidInputError: The shapes or types don't fit, or there is only one seed.
    """
    original = _of_seeds(logits, shape="RNK", name="logits")
    copies = _of_seeds(shifted_logits, shape="RSNK", name="shifted logits")
    if original.shape != (copies.shape[0], *copies.shape[2:]):
        raise InvalidInputError(
            f"logits of shape {original.shape}, of the shifted copies {copies.shape}; expected (R, N, K) and "
            "(R, S, N, K) of the same seeds, pixels and classes."
        )
    num_classes = original.shape[-1]
    sets = [original.argmax(axis=-1), *np.moveaxis(copies.argmax(axis=-1), 1, 0)]
    kappas = [
        Scores.from_labels(one, other, num_classes=num_classes).kappa
        for classes in sets
        for one, other in itertools.combinations(classes, 2)
    ]
    return float(np.mean(kappas))


@nan_if_nan
def target_agreement(target_logits: NDArray[np.floating]) -> float:
    """The share of target pixels that two seeds assign to the same class, 0..1.

    Mean over pairs of seeds of mean over pixels of [argmax of one = argmax of the other]. It equals the expected
    accuracy if the ensemble of seeds is calibrated by class (generalization disagreement equality, GDE): Jiang et al.,
    "Assessing Generalization of SGD via Disagreement", ICLR 2022, theorem 4.2 (from memory). Under a shift it often
    isn't; seeds that predict one class everywhere score 1.

    Args:
        target_logits: (R, M, K).

    Raises:
        InvalidInputError: The shape or type is another, or there is only one seed.
    """
    return float(np.mean(agreeing_pixels(target_logits)))


def agreeing_pixels(target_logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Per pixel, the share of pairs of seeds that predict the same class.

    Args:
        target_logits: (R, M, K).

    Returns:
        (M,) shares 0..1, whose mean is :func:`target_agreement`.

    Raises:
        InvalidInputError: The shape or type is another, or there is only one seed.
    """
    classes = _of_seeds(target_logits, shape="RMK", name="target logits").argmax(axis=-1)
    pairs = [one == other for one, other in itertools.combinations(classes, 2)]
    return np.asarray(np.mean(pairs, axis=0), dtype=np.float64)


def ensemble_probabilities(candidates: Iterable[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Mean softmax output of all candidates, read one at a time.

    Args:
        candidates: The target logits (M, K) of each configuration and epoch that may be chosen. One with a NaN is left
            out.

    Returns:
        (M, K), rows sum to 1.

    Raises:
        InvalidInputError: There is no candidate without NaN, or their shapes differ.
    """
    total: NDArray[np.float64] | None = None
    count = 0
    for candidate in candidates:
        logits = as_logits(candidate, shape="MK", name="target logits")
        if np.isnan(logits).any():
            continue
        if total is None:
            total = np.zeros_like(logits)
        if total.shape != logits.shape:
            raise InvalidInputError(
                f"target logits of shapes {total.shape} and {logits.shape}; candidates predict the same target pixels."
            )
        total += probabilities(logits)
        count += 1
    if total is None:
        raise InvalidInputError("no candidate has logits without NaN; an ensemble needs at least one.")
    return total / count


@nan_if_nan
def ensemble_agreement(target_logits: NDArray[np.floating], ensemble: NDArray[np.floating]) -> float:
    """The share of target pixels on which a candidate predicts the same class as the mean of all candidates, 0..1.

    mean over pixels of [argmax of the candidate = argmax of the ensemble's probabilities] (EnsV). Hu et al., "Towards
    Reliable Model Selection for Unsupervised Domain Adaptation: An Empirical Study and A Certified Baseline", 2023
    (from memory). 1 if there is only one candidate.

    Args:
        target_logits: (M, K) of one candidate.
        ensemble: (M, K) from :func:`ensemble_probabilities`.

    Raises:
        InvalidInputError: The shapes or types don't fit.
    """
    logits = as_logits(target_logits, shape="MK", name="target logits")
    if ensemble.shape != logits.shape:
        raise InvalidInputError(
            f"target logits of shape {logits.shape}, an ensemble of {ensemble.shape}; expected the same."
        )
    return float(np.mean(logits.argmax(axis=1) == ensemble.argmax(axis=1)))


def _of_seeds(logits: NDArray[np.floating], *, shape: str, name: str) -> NDArray[np.float64]:
    checked = as_logits(logits, shape=shape, name=name)
    if len(checked) < 2:
        raise InvalidInputError(
            f"{name}: one seed, shape {logits.shape}; agreement compares at least two trainings of a configuration. "
            "Train it with another seed, or use another criterion."
        )
    return checked
