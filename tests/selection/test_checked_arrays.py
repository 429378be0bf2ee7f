"""Checks of recorded arrays."""

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.selection.checked_arrays import (
    LARGEST_LOGIT,
    as_features,
    as_labels,
    as_logits,
    entropies,
    in_canonical_order,
    probabilities,
)


def test_logits_are_widened_and_infinite_ones_bounded():
    logits = as_logits(np.array([[np.inf, 1.5, -np.inf]], dtype=np.float16))
    assert logits.dtype == np.float64
    assert logits.tolist() == [[LARGEST_LOGIT, 1.5, -LARGEST_LOGIT]]
    assert LARGEST_LOGIT == 65504


def test_the_message_about_a_shape_names_the_array_and_its_axes():
    with pytest.raises(InvalidInputError, match=r"\(3, 2\).*\(R, M, K\)"):
        as_logits(np.zeros((3, 2)), shape="RMK", name="target logits")


@pytest.mark.parametrize(
    "labels", [np.array([0, 1]), np.array([0.0, 1.0, 2.0]), np.array([0, 1, 3]), np.array([0, -1, 2])]
)
def test_labels_that_do_not_fit_are_rejected(labels):
    with pytest.raises(InvalidInputError, match="labels"):
        as_labels(labels, np.zeros((3, 3)))


@pytest.mark.parametrize("features", [np.zeros(3), np.zeros((0, 2)), np.array([[np.inf]]), np.zeros((2, 2))])
def test_features_that_do_not_fit_are_rejected(features):
    with pytest.raises(InvalidInputError, match="features"):
        as_features(features, num_pixels=1)


def test_probabilities_and_entropies_of_extreme_logits():
    logits = np.array([[LARGEST_LOGIT, -LARGEST_LOGIT], [0.0, 0.0], [np.log(3), 0.0]])
    np.testing.assert_allclose(probabilities(logits), [[1, 0], [0.5, 0.5], [0.75, 0.25]])
    expected = [0, np.log(2), -0.75 * np.log(0.75) - 0.25 * np.log(0.25)]
    np.testing.assert_allclose(entropies(logits), expected, atol=1e-15)


def test_the_canonical_order_depends_on_values_alone():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2, (30, 2)).astype(float), rng.normal(size=(30, 1))
    order = in_canonical_order(first, second)
    shuffle = rng.permutation(30)
    again = in_canonical_order(first[shuffle], second[shuffle])
    np.testing.assert_array_equal(second[order], second[shuffle][again])
    rows = np.concatenate([first, second], axis=1)[order]
    assert rows.tolist() == sorted(rows.tolist())
