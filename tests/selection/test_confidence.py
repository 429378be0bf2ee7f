"""ATC and DoC recover the source's accuracy without a shift, and follow confidence under one."""

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.selection.confidence import as_weights, atc, doc, proportion_weights

CONFIDENCES = ("max-confidence", "negative-entropy")


def two_classes(probability, predicted=0):
    """Logits of pixels predicted as a class with a probability of at least 1/2."""
    probability = np.asarray(probability, dtype=float)
    pair = np.log(np.stack([probability, 1 - probability], axis=1))
    return np.where(np.asarray(predicted).reshape(-1, 1) == 0, pair, pair[:, ::-1])


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    return 2 * np.eye(4)[labels] + 1.5 * rng.normal(size=(200, 4)), labels


def accuracy(logits, labels):
    return np.mean(logits.argmax(axis=1) == labels)


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_without_a_shift_atc_is_the_source_accuracy(source, confidence, dtype):
    logits, labels = source[0].astype(dtype), source[1]
    assert 0.3 < accuracy(*source) < 0.9
    estimate = atc(logits, labels, np.concatenate([logits, logits]), confidence=confidence)
    assert estimate == pytest.approx(accuracy(logits, labels))


def test_without_a_shift_doc_is_the_source_accuracy(source):
    assert doc(*source, source[0]) == pytest.approx(accuracy(*source))


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_atc_counts_target_pixels_above_the_source_s_threshold(confidence):
    # One of four is wrong: the threshold is at the least confident pixel, 0.6.
    logits = two_classes([0.6, 0.7, 0.8, 0.9])
    labels = np.array([0, 0, 1, 0])
    target = two_classes([0.55, 0.58, 0.65, 0.75, 0.95])
    assert atc(logits, labels, target, confidence=confidence) == pytest.approx(3 / 5)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_of_tied_pixels_atc_counts_the_share_that_the_source_asks_for(confidence):
    logits = two_classes(np.full(4, 0.8))
    labels = np.array([0, 0, 1, 0])
    assert atc(logits, labels, logits, confidence=confidence) == pytest.approx(3 / 4)
    assert atc(logits, labels, two_classes([0.7, 0.8, 0.9, 0.9]), confidence=confidence) == pytest.approx(
        (0 + 3 / 4 + 1 + 1) / 4
    )


def test_atc_still_orders_pixels_whose_probability_rounds_to_1():
    logits = np.array([[50.0, 0], [60.0, 0], [70.0, 0], [80.0, 0]])
    labels = np.array([1, 1, 0, 0])
    assert atc(logits, labels, np.array([[55.0, 0], [75.0, 0]]), confidence="max-confidence") == pytest.approx(1 / 2)
    assert atc(logits, labels, np.array([[55.0, 0], [75.0, 0]]), confidence="negative-entropy") == pytest.approx(1 / 2)


def test_of_all_right_and_all_wrong():
    logits = two_classes([0.6, 0.9])
    assert atc(logits, np.array([0, 0]), logits) == 1
    assert atc(logits, np.array([1, 1]), logits) == 0


def test_less_confidence_on_the_target_lowers_both(source):
    logits, labels = source
    assert atc(logits, labels, logits / 3) < atc(logits, labels, logits) < atc(logits, labels, logits * 3)
    assert doc(logits, labels, logits / 3) < doc(logits, labels, logits) < doc(logits, labels, logits * 3)


def test_doc_is_accuracy_minus_the_difference_of_confidences():
    logits, target = two_classes([0.6, 0.8]), two_classes([0.5, 0.6, 0.7])
    assert doc(logits, np.array([0, 1]), target) == pytest.approx(0.5 - (0.7 - 0.6))


@pytest.mark.parametrize("criterion", [atc, doc])
def test_weights_are_as_good_as_repeated_pixels(criterion, source):
    logits, labels = source
    target = logits / 2
    times = np.random.default_rng(1).integers(0, 4, len(labels))
    repeated = criterion(np.repeat(logits, times, axis=0), np.repeat(labels, times), target)
    assert criterion(logits, labels, target, weights=times.astype(float)) == pytest.approx(repeated)


def test_the_target_s_proportions_lower_the_estimate_if_hard_classes_are_frequent(source):
    # Class 0 is always right and confident, class 1 is always wrong and in doubt.
    labels = np.repeat([0, 1], 50)
    logits = two_classes(np.repeat([0.95, 0.55], 50) + np.linspace(0, 0.04, 100))
    weights = proportion_weights(labels, np.array([0.2, 0.8]))
    assert atc(logits, labels, logits) == pytest.approx(0.5)
    assert weights @ (logits.argmax(axis=1) == labels) == pytest.approx(0.2)
    weighted = np.concatenate([logits[:50], np.repeat(logits[50:], 4, axis=0)])
    assert atc(logits, labels, weighted, weights=weights) == pytest.approx(0.2)
    assert doc(logits, labels, weighted, weights=weights) == pytest.approx(0.2)


def test_proportions_become_weights_that_sum_to_1():
    weights = proportion_weights(np.array([0, 0, 0, 2]), np.array([2.0, 0.0, 2.0]))
    np.testing.assert_allclose(weights, [1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_a_class_expected_on_the_target_needs_validation_pixels():
    with pytest.raises(InvalidInputError, match=r"\[1\]"):
        proportion_weights(np.array([0, 0]), np.array([0.5, 0.5]))


@pytest.mark.parametrize("proportions", [[0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0], [], [[1.0, 1.0]]])
def test_what_are_no_proportions_is_rejected(proportions):
    with pytest.raises(InvalidInputError, match="proportions"):
        proportion_weights(np.array([0, 1]), np.array(proportions))


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0], []])
def test_labels_outside_the_proportions_are_rejected(labels):
    with pytest.raises(InvalidInputError, match="labels"):
        proportion_weights(np.array(labels, dtype=int), np.array([0.5, 0.5]))


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [-1.0, 2.0], [np.inf, 1.0]])
def test_what_are_no_weights_is_rejected(weights):
    with pytest.raises(InvalidInputError, match="weights"):
        as_weights(np.array(weights), 2)


def test_an_unknown_confidence_is_answered_with_the_nearest(source):
    with pytest.raises(InvalidInputError, match="max-confidence"):
        atc(*source, source[0], confidence="maxconfidence")
