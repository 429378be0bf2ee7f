"""Atmosphere, band response, noise and pixel size: the formula, and none at strength 0."""

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.simulation.sensor_shifts import (
    AddedNoise,
    Atmosphere,
    Noise,
    Resolution,
    SensorResponse,
    block_mean,
)

WAVELENGTHS = np.linspace(400, 900, 51)  # 10 nm apart


def test_atmosphere_s_laws() -> None:
    haze = Atmosphere(strength=0.5, depth=0.8, path=0.2, exponent=2)
    wavelengths = np.array([550.0, 1100.0])
    np.testing.assert_allclose(haze.transmittance(wavelengths), [np.exp(-0.4), np.exp(-0.1)])
    np.testing.assert_allclose(haze.path_radiance(wavelengths, 1000), [100, 25])
    none = Atmosphere(strength=0)
    assert none.transmittance(WAVELENGTHS).tolist() == [1] * 51
    assert none.path_radiance(WAVELENGTHS, 1).tolist() == [0] * 51


def test_moved_bands_read_the_spectrum_where_they_have_moved() -> None:
    matrix = SensorResponse(strength=0.5, shift_nm=25, fwhm_nm=0).matrix(WAVELENGTHS)  # by 12.5 nm
    seen = matrix @ WAVELENGTHS
    np.testing.assert_allclose(seen[:-2], WAVELENGTHS[:-2] + 12.5)
    np.testing.assert_allclose(seen[-2:], 900)
    down = SensorResponse(strength=1, shift_nm=-10, fwhm_nm=0).matrix(WAVELENGTHS)
    np.testing.assert_allclose(down @ WAVELENGTHS, [400, *WAVELENGTHS[:-1]])


def test_wider_bands_blur_a_line_to_a_gaussian() -> None:
    matrix = SensorResponse(strength=1, shift_nm=0, fwhm_nm=40).matrix(WAVELENGTHS)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    line = np.zeros(51)
    line[25] = 1
    seen = matrix @ line
    assert seen[23] == pytest.approx(seen[25] / 2, rel=1e-6)  # 20 nm away: half the maximum
    assert seen[27] == pytest.approx(seen[25] / 2, rel=1e-6)


def test_uneven_bands_count_by_their_spacing() -> None:
    wavelengths = np.array([500.0, 510, 520, 560, 600, 640])
    matrix = SensorResponse(strength=1, shift_nm=0, fwhm_nm=60).matrix(wavelengths)
    gap = matrix[2, 3] / matrix[2, 1]
    sigma = 60 / (2 * np.sqrt(2 * np.log(2)))
    assert gap == pytest.approx(4 * np.exp(-(40**2 - 10**2) / (2 * sigma**2)))


def test_response_at_strength_0_is_the_identity_and_near_it_nearly() -> None:
    np.testing.assert_array_equal(SensorResponse(strength=0).matrix(WAVELENGTHS), np.eye(51))
    np.testing.assert_allclose(SensorResponse(strength=1e-6).matrix(WAVELENGTHS), np.eye(51), atol=1e-5)
    assert SensorResponse(strength=1).matrix(np.array([500.0])).tolist() == [[1]]


def test_noise_has_a_part_that_is_always_there_and_one_that_grows() -> None:
    constant, slope = Noise(snr=50, read=0.25).variance(200)
    assert constant == pytest.approx(0.25 * 16)
    assert constant + slope * 200 == pytest.approx(16)  # at white: (200 / 50)²
    assert Noise(snr=None).variance(200) == (0, 0)
    half = AddedNoise(strength=0.5, snr=50, read=0.25).variance(200)
    assert half == pytest.approx((constant / 4, slope / 4))
    assert AddedNoise(strength=0).variance(200) == (0, 0)


def test_blocks_are_averaged_and_leftovers_cut() -> None:
    values = np.arange(5 * 7 * 2, dtype=np.float32).reshape(5, 7, 2)
    means = block_mean(values, 2)
    assert means.shape == (2, 3, 2)
    assert means[1, 2, 0] == values[2:4, 4:6, 0].mean()
    assert block_mean(values, 1) is values


def test_resolution_goes_in_whole_steps() -> None:
    assert [Resolution(strength=s, factor=5).block for s in (0, 0.1, 0.25, 0.5, 1)] == [1, 1, 2, 3, 5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Atmosphere(strength=-1), r"strength = -1.*0.*1"),
        (lambda: Atmosphere(strength=1, exponent=5), r"exponent = 5.*0.*4"),
        (lambda: SensorResponse(strength=1, fwhm_nm=-1), r"fwhm_nm = -1.*0.*500"),
        (lambda: Noise(snr=0), r"snr = 0.*0"),
        (lambda: AddedNoise(strength=1, read=2), r"read = 2.*0.*1"),
        (lambda: Resolution(strength=1, factor=0), r"factor = 0.*1"),
        (lambda: Resolution(strength=1, factor=2.5), r"factor = 2.5.*1"),
    ],
)
def test_wrong_settings_are_refused(make, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make()
