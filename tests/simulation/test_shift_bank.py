"""The bank of shifts: what each does to a spectrum, and that it is the same every time."""

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.simulation.ground_shifts import ClassBalance, Illumination, Season
from sceneshift.simulation.sensor_shifts import Resolution
from sceneshift.simulation.shift_bank import BANK_KINDS, SHIFT_NAMES, ShiftBank
from sceneshift.simulation.spec import SHIFTS

WAVELENGTHS = np.linspace(450, 2350, 20)
BANK = ShiftBank(wavelengths_nm=WAVELENGTHS, white=1000.0)
FLAT = np.full((400, 20), 500, np.float32)


@pytest.mark.parametrize("name", SHIFT_NAMES)
def test_each_changes_spectra_and_is_the_same_every_time(name):
    shifted = BANK.apply(name, FLAT * np.linspace(0.5, 1, 20, dtype=np.float32))
    assert shifted.dtype == np.float32
    assert shifted.shape == FLAT.shape
    assert np.abs(shifted - FLAT * np.linspace(0.5, 1, 20)).max() > 0.5
    np.testing.assert_array_equal(shifted, BANK.apply(name, FLAT * np.linspace(0.5, 1, 20, dtype=np.float32)))
    assert (FLAT == 500).all()


def test_haze_takes_light_away_and_adds_path_radiance():
    law = (WAVELENGTHS / 550) ** -1.5
    np.testing.assert_allclose(BANK.apply("haze", FLAT)[0], 500 * np.exp(-0.2 * law) + 30 * law, rtol=1e-5)


def test_light_is_tilted_by_wavelength():
    np.testing.assert_allclose(BANK.apply("red light", FLAT)[0], np.linspace(400, 600, 20), rtol=1e-5)


def test_band_gains_are_one_factor_a_band():
    gains = BANK.apply("band gains", FLAT) / FLAT
    np.testing.assert_allclose(gains, np.broadcast_to(gains[0], gains.shape), rtol=1e-6)
    assert 0.02 < gains[0].std() < 0.1


def test_noise_has_a_ratio_of_25_at_white():
    noise = BANK.apply("noise", FLAT * 2) - FLAT * 2
    assert noise.std() == pytest.approx(1000 / 25, rel=0.05)


def test_bands_out_of_order_are_answered_like_bands_in_order():
    order = np.random.default_rng(0).permutation(20)
    spectra = np.random.default_rng(1).uniform(100, 900, (5, 20)).astype(np.float32)
    shuffled = ShiftBank(wavelengths_nm=WAVELENGTHS[order], white=1000.0)
    for name in ("haze", "red light", "band response"):
        expected = BANK.apply(name, spectra)[:, order]
        np.testing.assert_allclose(shuffled.apply(name, spectra[:, order]), expected, rtol=1e-5)


def test_a_scene_gives_its_white_and_nominal_wavelengths_where_it_has_none():
    cube = np.ones((10, 10, 4), np.float32)
    cube[0] = 50
    bank = ShiftBank.of_scene(UnlabelledScene(name="a", cube=cube))
    np.testing.assert_allclose(bank.wavelengths_nm, [400, 1100, 1800, 2500])
    assert bank.white == 50
    assert ShiftBank.of_scene(UnlabelledScene(name="a", cube=0 * cube)).white == 1


def test_simulated_pairs_have_kinds_of_shifts_of_their_own():
    assert set(SHIFTS) - set(BANK_KINDS) == {Season, ClassBalance, Illumination, Resolution}


def test_what_it_does_not_have_is_refused():
    with pytest.raises(InvalidInputError, match=r"'nois'.*'noise'"):
        BANK.apply("nois", FLAT)
    with pytest.raises(InvalidInputError, match=r"expected \(N, 20\)"):
        BANK.apply("noise", FLAT[:, :3])
