"""Mixing models: each one's formula on a pixel, and what is refused."""

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.simulation.mixing import (
    Mixing,
    Variability,
    mixing_basis,
    mixing_coefficients,
    pair_indices,
)

RNG = np.random.default_rng(0)
SPECTRA = RNG.uniform(0.1, 0.9, size=(3, 5)).astype(np.float32)
VARIATIONS = RNG.normal(0, 0.1, size=(3, 2, 5)).astype(np.float32)
ABUNDANCES = RNG.dirichlet(np.ones(3), size=4).astype(np.float32)


def test_a_linear_pixel_is_endmembers_times_abundances() -> None:
    basis = mixing_basis(SPECTRA, None, bilinear=False, white=1)
    np.testing.assert_allclose(mixing_coefficients(ABUNDANCES) @ basis, ABUNDANCES @ SPECTRA, rtol=1e-6)


def test_fan_adds_every_pair_once() -> None:
    basis = mixing_basis(SPECTRA, None, bilinear=True, white=2)
    mixed = mixing_coefficients(ABUNDANCES, interactions=1.0) @ basis
    for pixel, (a, b, c) in zip(mixed, ABUNDANCES, strict=True):
        s, t, u = SPECTRA
        expected = a * s + b * t + c * u + (a * b * s * t + a * c * s * u + b * c * t * u) / 2
        np.testing.assert_allclose(pixel, expected, rtol=1e-5)


def test_gbm_weights_each_pair_of_each_pixel() -> None:
    basis = mixing_basis(SPECTRA, None, bilinear=True, white=1)
    gamma = RNG.random((4, 3), dtype=np.float32)
    mixed = mixing_coefficients(ABUNDANCES, interactions=gamma) @ basis
    expected = ABUNDANCES @ SPECTRA
    for place, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
        weight = gamma[:, place] * ABUNDANCES[:, i] * ABUNDANCES[:, j]
        expected = expected + weight[:, None] * SPECTRA[i] * SPECTRA[j]
    np.testing.assert_allclose(mixed, expected, rtol=1e-5)
    np.testing.assert_array_equal(np.stack(pair_indices(3)), [[0, 0, 1], [1, 2, 2]])


def test_scaling_and_perturbation_change_each_pixel_s_endmembers() -> None:
    scalings = RNG.uniform(0.8, 1.2, size=(4, 3)).astype(np.float32)
    draws = RNG.normal(size=(4, 3, 2)).astype(np.float32)
    basis = mixing_basis(SPECTRA, VARIATIONS, bilinear=True, white=1)
    mixed = mixing_coefficients(ABUNDANCES, scalings=scalings, perturbations=draws, interactions=0.5) @ basis
    own = scalings[:, :, None] * (SPECTRA + np.einsum("nrq,rqc->nrc", draws, VARIATIONS))
    expected = np.einsum("nr,nrc->nc", ABUNDANCES, own)
    scaled = scalings * ABUNDANCES
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        expected = expected + 0.5 * (scaled[:, i] * scaled[:, j])[:, None] * SPECTRA[i] * SPECTRA[j]
    np.testing.assert_allclose(mixed, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixing(model="fann"), r"model = 'fann'.*'fan'"),
        (lambda: Mixing(gamma=1.5), r"gamma = 1.5.*0.*1"),
        (lambda: Variability(scaling=-0.1), r"scaling = -0.1.*0.*1"),
        (lambda: Variability(perturbation=float("nan")), r"perturbation = nan.*0.*10"),
        (lambda: Variability(length="3"), r"length = '3'.*0.*10000"),
    ],
)
def test_wrong_settings_are_refused(make, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make()
