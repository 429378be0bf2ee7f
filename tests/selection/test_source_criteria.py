"""Criteria that read nothing of the target."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from sceneshift.errors import InvalidInputError
from sceneshift.selection.source_criteria import (
    average_accuracy,
    leave_one_group_out,
    mean_shifted_accuracy,
    source_discrepancy,
    worst_shifted_accuracy,
)

LABELS = np.array([0, 0, 0, 1, 2, 2])


def confident(classes, num_classes=3, scale=40.0):
    """Logits that assign each pixel to a class with certainty."""
    return scale * np.eye(num_classes)[np.asarray(classes)]


def test_average_accuracy_weighs_classes_equally():
    assert average_accuracy(confident(LABELS), LABELS) == 1
    predicted = [0, 0, 1, 1, 1, 2]
    assert average_accuracy(confident(predicted), LABELS) == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert average_accuracy(confident(predicted), LABELS) == pytest.approx(balanced_accuracy_score(LABELS, predicted))


def test_a_class_without_validation_pixels_leaves_the_average():
    assert average_accuracy(confident([0, 0, 1, 3], num_classes=4), np.array([0, 0, 0, 3])) == pytest.approx(5 / 6)


def test_shifted_copies_are_averaged_or_the_worst_counts():
    copies = np.stack([confident(LABELS), confident([0, 0, 0, 0, 2, 2]), confident([0] * 6)])
    assert mean_shifted_accuracy(copies, LABELS) == pytest.approx((1 + 2 / 3 + 1 / 3) / 3)
    assert worst_shifted_accuracy(copies, LABELS) == pytest.approx(1 / 3)


def test_discrepancy_is_zero_if_shifts_change_no_prediction():
    logits = np.random.default_rng(0).normal(size=(6, 3))
    copies = np.stack([logits, logits])
    assert source_discrepancy(logits, copies, LABELS) == pytest.approx(average_accuracy(logits, LABELS) - 1)
    assert source_discrepancy(confident(LABELS), np.stack([confident(LABELS)] * 2), LABELS) == pytest.approx(0)


def test_discrepancy_is_largest_if_every_copy_flips_every_prediction():
    wrong, other = (LABELS + 1) % 3, (LABELS + 2) % 3
    score = source_discrepancy(confident(wrong), confident(other)[np.newaxis], LABELS)
    assert score == pytest.approx(-2)


def test_discrepancy_is_the_mean_over_pairs_of_domains_and_classes():
    # Both copies differ from the validation pixels on class 1 alone, of one pixel, and not from each other.
    copy = confident([0, 0, 0, 2, 2, 2])
    score = source_discrepancy(confident(LABELS), np.stack([copy, copy]), LABELS)
    assert score == pytest.approx(-(1 + 1 + 0) / 3 / 3)


def test_of_equally_accurate_networks_the_one_that_shifts_change_less_is_better():
    rng = np.random.default_rng(1)
    logits = confident(LABELS, scale=3.0)
    near, far = (logits + size * rng.normal(size=(4, 6, 3)) for size in (0.1, 1.0))
    assert source_discrepancy(logits, near, LABELS) > source_discrepancy(logits, far, LABELS)


def test_other_groups_count_equally_however_many_pairs_they_have():
    scores = np.array([[0.9, 0.1, 0.2, 0.6], [0.1, 0.5, 0.7, 0.3]])
    groups = ["here", "a", "a", "b"]
    np.testing.assert_allclose(
        leave_one_group_out(scores, groups, held_out="here"), [(0.15 + 0.6) / 2, (0.6 + 0.3) / 2]
    )


def test_scores_of_the_held_out_group_change_nothing():
    rng = np.random.default_rng(2)
    scores, groups = rng.random((5, 4)), ["here", "a", "here", "b"]
    changed = scores.copy()
    changed[:, [0, 2]] = rng.random((5, 2))
    np.testing.assert_array_equal(
        leave_one_group_out(scores, groups, held_out="here"), leave_one_group_out(changed, groups, held_out="here")
    )
    assert not np.array_equal(
        leave_one_group_out(scores, groups, held_out="a"), leave_one_group_out(changed, groups, held_out="a")
    )


def test_a_configuration_without_a_score_elsewhere_has_none():
    scores = np.array([[0.9, np.nan, 0.2], [np.nan, 0.5, 0.7]])
    result = leave_one_group_out(scores, ["here", "a", "b"], held_out="here")
    np.testing.assert_array_equal(np.isnan(result), [True, False])


@pytest.mark.parametrize(
    ("scores", "groups"),
    [
        (np.zeros((2, 2)), ["here", "here"]),
        (np.zeros((2, 2)), ["a"]),
        (np.zeros(2), ["a", "b"]),
        (np.zeros((0, 1)), ["a"]),
    ],
)
def test_a_table_without_another_group_or_of_another_shape_is_rejected(scores, groups):
    with pytest.raises(InvalidInputError, match="pair"):
        leave_one_group_out(scores, groups, held_out="here")
