"""Criteria on outputs for unlabelled target pixels, at their extremes and on values computed by hand."""

import math

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.selection.output_criteria import (
    batch_nuclear_norm,
    class_ami,
    info_max,
    matrix_norm,
    negative_entropy,
    soft_neighborhood_density,
)

K = 4
BALANCED = np.tile(np.arange(K), 10)


def confident(classes, num_classes=K):
    return 100.0 * np.eye(num_classes)[np.asarray(classes)]


UNIFORM = np.zeros((40, K))
ONE_CLASS = confident(np.zeros(40, dtype=int))
RANDOM = np.random.default_rng(0).normal(size=(40, K))


def test_entropy_is_highest_if_confident_and_lowest_if_uniform():
    assert negative_entropy(confident(BALANCED)) == pytest.approx(0)
    assert negative_entropy(UNIFORM) == pytest.approx(-math.log(K))
    assert -math.log(K) < negative_entropy(RANDOM) < 0
    assert negative_entropy(np.log([[3.0, 1.0]])) == pytest.approx(0.75 * math.log(0.75) + 0.25 * math.log(0.25))


def test_info_max_wants_confidence_and_balance():
    assert info_max(confident(BALANCED)) == pytest.approx(math.log(K))
    assert info_max(ONE_CLASS) == pytest.approx(0)
    assert info_max(UNIFORM) == pytest.approx(0)
    assert 0 < info_max(RANDOM) < math.log(K)


def test_nuclear_norm_is_1_for_balanced_one_hot_outputs_only():
    assert batch_nuclear_norm(confident(BALANCED)) == pytest.approx(1)
    assert batch_nuclear_norm(ONE_CLASS) == pytest.approx(1 / math.sqrt(K))
    assert batch_nuclear_norm(UNIFORM) == pytest.approx(1 / K)
    assert batch_nuclear_norm(RANDOM) == pytest.approx(
        np.linalg.svd(np.exp(RANDOM) / np.exp(RANDOM).sum(axis=1, keepdims=True), compute_uv=False).sum()
        / math.sqrt(40 * K)
    )


def test_class_ami_is_1_if_classes_are_the_clusters_and_0_by_chance():
    rng = np.random.default_rng(1)
    features = 10 * np.eye(K)[BALANCED] + 0.1 * rng.normal(size=(40, K))
    assert class_ami(confident(BALANCED), features) == pytest.approx(1)
    assert class_ami(confident((BALANCED + 1) % K), features) == pytest.approx(1)  # clusters have no names
    by_chance = [class_ami(confident(rng.permutation(BALANCED)), features) for _ in range(20)]
    assert abs(np.mean(by_chance)) < 0.05


def test_class_ami_of_a_collapsed_network_is_0():
    features = np.random.default_rng(2).normal(size=(40, 3))
    assert class_ami(ONE_CLASS, features) == 0
    assert class_ami(confident(BALANCED), np.ones((40, 3))) == 0
    assert class_ami(ONE_CLASS, np.ones((40, 3))) == 0


def test_class_ami_takes_fewer_clusters_than_classes_if_features_have_fewer_values():
    assert class_ami(confident([0, 0, 1, 1]), np.array([[0.0], [0.0], [1.0], [1.0]])) == pytest.approx(1)


def test_density_is_highest_if_all_outputs_are_alike():
    assert soft_neighborhood_density(ONE_CLASS) == pytest.approx(math.log(39))
    assert soft_neighborhood_density(UNIFORM) == pytest.approx(math.log(39))


def test_density_is_nearly_0_if_each_pixel_has_one_neighbour():
    pairs = confident(np.repeat(np.arange(20), 2), num_classes=20)
    assert soft_neighborhood_density(pairs) == pytest.approx(0, abs=1e-5)


def test_density_of_clusters_is_the_logarithm_of_their_neighbours():
    assert soft_neighborhood_density(confident(BALANCED)) == pytest.approx(math.log(9), abs=1e-5)


def test_density_without_neighbours_is_undefined():
    assert math.isnan(soft_neighborhood_density(RANDOM[:1]))
    assert soft_neighborhood_density(RANDOM[:2]) == pytest.approx(0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_not_positive_is_rejected(temperature):
    with pytest.raises(InvalidInputError, match="temperature"):
        soft_neighborhood_density(RANDOM, temperature=temperature)


def test_matrix_norm_at_its_extremes():
    assert matrix_norm(UNIFORM) == pytest.approx(1 / K)
    assert matrix_norm(confident(BALANCED)) == pytest.approx(K ** (-1 / 4))
    assert matrix_norm(confident(BALANCED), order=2) == pytest.approx(K ** (-1 / 2))


def test_matrix_norm_takes_the_polynomial_below_its_threshold_and_softmax_above():
    logits = np.array([[1.0, 0.0]])
    # Phi = -(log p_1 + log p_2) / 2 = log(e + 1) - 1/2 = 0.81
    polynomial = np.array([2.5, 1.0]) / 3.5
    softmax = np.array([math.e, 1.0]) / (math.e + 1)
    assert matrix_norm(logits) == pytest.approx(np.mean(polynomial**4) ** (1 / 4))
    assert matrix_norm(logits, threshold=0.82) == pytest.approx(np.mean(polynomial**4) ** (1 / 4))
    assert matrix_norm(logits, threshold=0.80) == pytest.approx(np.mean(softmax**4) ** (1 / 4))


def test_matrix_norm_of_an_order_that_is_no_norm_is_rejected():
    with pytest.raises(InvalidInputError, match="order"):
        matrix_norm(RANDOM, order=0.5)
