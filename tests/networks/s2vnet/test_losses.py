"""S2VNet's loss terms against the same formulas in numpy loops."""

import math

import numpy as np
import pytest
import torch

from sceneshift.networks.s2vnet.losses import band_variation, gaussian_divergence, spatial_variation, spectral_angle


def test_the_spectral_angle_is_the_mean_over_pixels() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 7, 5))
    angles = [math.acos(x @ y / (math.sqrt(x @ x) * math.sqrt(y @ y))) for x, y in zip(one, other, strict=True)]
    angle = spectral_angle(torch.from_numpy(one), torch.from_numpy(other))
    assert angle.item() == pytest.approx(sum(angles) / 7, rel=1e-10)


def test_it_feels_directions_and_not_lengths() -> None:
    one, other = torch.rand(2, 7, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(spectral_angle(100 * one, 0.01 * other), spectral_angle(one, other))
    assert spectral_angle(one, -one).item() == pytest.approx(math.pi, abs=2e-3)
    assert spectral_angle(torch.eye(4), torch.eye(4).roll(1, 0)).item() == pytest.approx(math.pi / 2)
    assert 0 <= spectral_angle(one, one).item() < 2e-3


def test_like_spectra_and_spectra_of_zeros_have_finite_gradients() -> None:
    spectra = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    pairs = [(spectra, spectra), (spectra, -spectra), (0 * spectra, spectra), (0 * spectra, 0 * spectra)]
    pairs += [(torch.eye(5), torch.eye(5)), (torch.eye(5), -torch.eye(5))]  # cosines of 1 and -1, not rounded
    for x, y in pairs:
        reconstruction = y.clone().requires_grad_()
        angle = spectral_angle(x, reconstruction)
        angle.backward()
        assert torch.isfinite(angle)
        assert torch.isfinite(reconstruction.grad).all()
    assert spectral_angle(0 * spectra, spectra).item() == pytest.approx(math.pi / 2)


def test_the_divergence_sums_over_dimensions_and_averages_over_rows() -> None:
    mean, log_variance = np.random.default_rng(1).normal(size=(2, 6, 4))
    total = 0.0
    for m_row, l_row in zip(mean, log_variance, strict=True):
        for m, lv in zip(m_row, l_row, strict=True):
            total += -0.5 * (1 + lv - m**2 - math.exp(lv))
    divergence = gaussian_divergence(torch.from_numpy(mean), torch.from_numpy(log_variance))
    assert divergence.item() == pytest.approx(total / 6, rel=1e-10)


def test_the_divergence_is_torchs_own_and_zero_for_the_standard_normal() -> None:
    mean, log_variance = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_divergence(mean, log_variance), expected.sum(dim=1).mean())
    assert gaussian_divergence(torch.zeros(6, 4), torch.zeros(6, 4)) == 0


def test_the_variation_along_bands_stays_within_each_layer() -> None:
    delta = np.random.default_rng(2).normal(size=(10, 3))
    steps = [abs(delta[i + 1, r] - delta[i, r]) for i in range(9) if i != 4 for r in range(3)]
    assert band_variation(torch.from_numpy(delta)).item() == pytest.approx(sum(steps) / len(steps), rel=1e-12)
    jump = torch.cat([torch.zeros(5, 3), torch.full((5, 3), 100.0)])
    assert band_variation(jump) == 0


def test_the_variation_of_maps_runs_along_both_axes() -> None:
    maps = np.random.default_rng(3).normal(size=(2, 3, 4, 5))
    total = 0.0
    for one in maps.reshape(-1, 4, 5):
        for i in range(4):
            for j in range(5):
                total += (one[i + 1, j] - one[i, j]) ** 2 if i + 1 < 4 else 0
                total += (one[i, j + 1] - one[i, j]) ** 2 if j + 1 < 5 else 0
    variation = spatial_variation(torch.from_numpy(maps))
    assert variation.item() == pytest.approx(total / (2 * 2 * 4 * 5), rel=1e-12)
    assert spatial_variation(torch.ones(2, 3, 1, 1)) == 0


def test_all_terms_are_float32_under_autocast_and_of_bfloat16() -> None:
    a, b = torch.randn(2, 64, 30, generator=torch.Generator().manual_seed(0))
    maps = a.reshape(4, 16, 5, 6)
    rounded, rounded_b, rounded_maps = a.bfloat16(), b.bfloat16(), maps.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = [
            spectral_angle(rounded, rounded_b),
            gaussian_divergence(rounded, rounded_b),
            band_variation(rounded),
            spatial_variation(rounded_maps),
        ]
    a, b, maps = rounded.float(), rounded_b.float(), rounded_maps.float()
    outside = [spectral_angle(a, b), gaussian_divergence(a, b), band_variation(a), spatial_variation(maps)]
    for got, expected in zip(inside, outside, strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=0)
