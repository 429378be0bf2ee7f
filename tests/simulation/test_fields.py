"""Random fields: their statistics, and the abundances made from them."""

import numpy as np
import pytest

from sceneshift.simulation.fields import abundances_from_fields, gaussian_field


def test_a_field_has_the_covariance_it_should() -> None:
    fields = np.stack([gaussian_field((90, 90), 5, seed) for seed in range(40)])
    assert fields.dtype == np.float32
    assert fields.mean() == pytest.approx(0, abs=0.03)
    assert fields.var() == pytest.approx(1, abs=0.05)
    for distance in (3, 6):
        expected = np.exp(-(distance**2) / (2 * 5**2))
        assert (fields[:, distance:] * fields[:, :-distance]).mean() == pytest.approx(expected, abs=0.05)
        assert (fields[:, :, distance:] * fields[:, :, :-distance]).mean() == pytest.approx(expected, abs=0.05)
    assert (fields[:, 0] * fields[:, -1]).mean() == pytest.approx(0, abs=0.15)  # some 400 independent values


def test_no_length_is_white_noise() -> None:
    field = gaussian_field((60, 50), 0, 1)
    assert field.shape == (60, 50)
    assert (field[1:] * field[:-1]).mean() == pytest.approx(0, abs=0.05)


def test_a_seed_is_a_field() -> None:
    np.testing.assert_array_equal(gaussian_field((9, 8), 2, 5), gaussian_field((9, 8), 2, 5))
    assert not np.array_equal(gaussian_field((9, 8), 2, 5), gaussian_field((9, 8), 2, 6))


def test_abundances_sum_to_one_and_have_the_shares_asked_for() -> None:
    fields = np.stack([gaussian_field((120, 100), 8, seed) for seed in range(4)])
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    abundances = abundances_from_fields(fields, shares, 0.1)
    assert abundances.shape == (120, 100, 4)
    assert abundances.min() >= 0
    np.testing.assert_allclose(abundances.sum(axis=2), 1, atol=1e-6)
    dominant = np.bincount(abundances.argmax(axis=2).ravel()) / 12_000
    np.testing.assert_allclose(dominant, shares, atol=0.005)


def test_softer_borders_mix_more_and_stay_smooth() -> None:
    fields = np.stack([gaussian_field((80, 80), 10, seed) for seed in range(3)])
    hard, soft = (abundances_from_fields(fields, np.full(3, 1 / 3), softness) for softness in (0.05, 0.5))
    assert hard.max(axis=2).mean() > 0.95 > soft.max(axis=2).mean()
    np.testing.assert_array_equal(hard.argmax(axis=2), soft.argmax(axis=2))
    assert np.abs(np.diff(soft, axis=0)).max() < 0.25
