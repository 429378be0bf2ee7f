"""Importance weighting: without a shift it is the source's risk."""

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.selection.importance_weighting import (
    deep_embedded_risk,
    density_ratio,
    dev,
    importance_weighted_risk,
    iwcv,
)


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 3)), rng.integers(0, 3, 300), rng.normal(size=(300, 4))


def cross_entropy(logits, labels):
    outputs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(outputs[np.arange(len(labels)), labels])


@pytest.mark.parametrize("criterion", [iwcv, dev])
def test_with_equal_densities_it_is_the_source_risk(criterion, source):
    logits, labels, features = source
    twice = np.concatenate([features, features])
    risk = cross_entropy(logits, labels).mean()
    assert criterion(logits, labels, features, twice) == pytest.approx(-risk, rel=1e-3)
    error = np.mean(logits.argmax(axis=1) != labels)
    assert criterion(logits, labels, features, twice, loss="zero-one") == pytest.approx(-error, rel=1e-3)


@pytest.mark.parametrize("criterion", [iwcv, dev])
def test_constant_features_weigh_all_pixels_alike(criterion, source):
    logits, labels, features = source
    constant = np.full_like(features, 0.1)
    assert criterion(logits, labels, constant, constant[:7]) == pytest.approx(-cross_entropy(logits, labels).mean())


def test_the_ratio_is_that_of_the_densities():
    # N(1, 1) over N(0, 1) is exp(x - 1/2).
    rng = np.random.default_rng(1)
    features, target = rng.normal(size=(20_000, 1)), rng.normal(size=(40_000, 1)) + 1
    ratio = density_ratio(features, target)
    assert ratio.shape == (20_000,)
    assert ratio.min() > 0
    np.testing.assert_allclose(np.log(ratio), features[:, 0] - 0.5, atol=0.1)
    assert ratio.mean() == pytest.approx(1, abs=0.05)


def test_pixels_like_the_target_count_more(source):
    _, labels, features = source
    right = 10.0 * np.eye(3)[labels]
    target = features[features[:, 0] > 0] + [2.0, 0, 0, 0]
    wrong_where_target_is = np.where(features[:, :1] > 0, -right, right)
    wrong_elsewhere = np.where(features[:, :1] > 0, right, -right)
    for criterion in (iwcv, dev):
        assert criterion(wrong_elsewhere, labels, features, target) > criterion(
            wrong_where_target_is, labels, features, target
        )


def test_scale_and_offset_of_a_feature_change_nothing(source):
    logits, labels, features = source
    target = features[:80] + 0.5
    scaled = iwcv(logits, labels, 100 * features + 7, 100 * target + 7)
    assert scaled == pytest.approx(iwcv(logits, labels, features, target), rel=1e-6)


def test_the_control_variate_keeps_the_mean_and_lowers_the_variance():
    rng = np.random.default_rng(2)
    weighted, embedded = [], []
    for _ in range(400):
        features = rng.normal(size=200)
        weights = np.exp(features - 0.5)  # exact, for a target N(1, 1); the target's mean loss is 2
        losses = 1 + features**2 / 2 - features / 2 + 0.5
        weighted.append(importance_weighted_risk(losses, weights))
        embedded.append(deep_embedded_risk(losses, weights))
    assert np.mean(weighted) == pytest.approx(2, abs=0.1)
    assert np.mean(embedded) == pytest.approx(2, abs=0.15)
    assert np.var(embedded) < np.var(weighted) / 2


def test_of_constant_losses_the_control_variate_removes_all_variance():
    weights = np.random.default_rng(3).exponential(size=50)
    assert deep_embedded_risk(np.full(50, 0.7), weights) == pytest.approx(0.7)
    assert importance_weighted_risk(np.full(50, 0.7), weights) != pytest.approx(0.7)


def test_of_equal_weights_it_is_the_mean():
    losses = np.array([0.2, 0.4])
    assert deep_embedded_risk(losses, np.ones(2)) == pytest.approx(0.3)
    # Weights that a solver has left a little off: -Cov / Var would be of rounding alone.
    assert deep_embedded_risk(losses, np.array([1.0, 1 + 4e-12])) == pytest.approx(0.3)
    assert importance_weighted_risk(losses, np.ones(2)) == pytest.approx(0.3)


@pytest.mark.parametrize("risk", [deep_embedded_risk, importance_weighted_risk])
def test_losses_and_weights_of_different_pixels_are_rejected(risk):
    with pytest.raises(InvalidInputError, match="weights"):
        risk(np.ones(3), np.ones(2))
    with pytest.raises(InvalidInputError, match="weights"):
        risk(np.ones(0), np.ones(0))


def test_an_unknown_loss_is_answered_with_the_nearest(source):
    with pytest.raises(InvalidInputError, match="cross-entropy"):
        iwcv(*source, source[2], loss="crossentropy")


def test_features_that_are_nan_have_no_ratio():
    with pytest.raises(InvalidInputError, match="NaN"):
        density_ratio(np.full((2, 1), np.nan), np.zeros((2, 1)))
