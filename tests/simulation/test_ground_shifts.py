"""Season, class balance and illumination: the formula, none at strength 0, more at more strength."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.simulation.ground_shifts import ClassBalance, Illumination, Season, vegetation


def test_season_moves_materials_toward_others(library) -> None:
    season = Season(strength=0.5, share=0.4, browning=0.0, toward={"leaf": "water"})
    shifted = season.endmembers(library)
    leaf, grass, soil, water = library.spectra
    np.testing.assert_allclose(shifted[0], 0.8 * leaf + 0.2 * water, rtol=1e-6)
    # The others move toward the nearest in angle: soil is nearer to grass than anything.
    np.testing.assert_allclose(shifted[2], 0.8 * soil + 0.2 * grass, rtol=1e-6)


def test_season_dries_what_is_green(library) -> None:
    ndvi = vegetation(library)
    assert ndvi[0] > 0.7 > 0.3 > ndvi[2] > ndvi[3] == 0
    shifted = Season(strength=1.0, share=0.0, browning=0.6).endmembers(library)
    red, plateau = (int(np.abs(library.wavelengths_nm - centre).argmin()) for centre in (670, 1000))
    ratio = shifted / library.spectra
    curve = np.exp(-(((library.wavelengths_nm[red] - 670) / 40) ** 2) / 2)
    assert ratio[0, red] == pytest.approx(1 + 0.6 * ndvi[0] * curve, abs=0.02)
    assert ratio[0, plateau] == pytest.approx(1 - 0.6 * ndvi[0] * 0.3, abs=0.002)
    np.testing.assert_array_equal(shifted[3], library.spectra[3])


def test_without_wavelengths_or_red_nothing_dries(library) -> None:
    blind = replace(library, wavelengths_nm=None)
    assert vegetation(blind).tolist() == [0, 0, 0, 0]
    assert vegetation(replace(library, wavelengths_nm=library.wavelengths_nm + 900)).tolist() == [0, 0, 0, 0]
    np.testing.assert_array_equal(Season(strength=1, share=0).endmembers(blind), library.spectra)


def test_season_s_names_must_be_in_the_library(library) -> None:
    with pytest.raises(InvalidInputError, match=r"'sol'.*'soil'"):
        Season(strength=0, toward={"leaf": "sol"}).endmembers(library)


def test_class_balance_is_a_ladder_of_the_ratio() -> None:
    names, shares = ("a", "b", "c"), np.array([0.2, 0.3, 0.5])
    changed = ClassBalance(strength=0.5, ratio=16).proportions(shares, names, 3)
    assert changed.sum() == pytest.approx(1)
    gains = np.sort(changed / shares)
    np.testing.assert_allclose(gains / gains[0], [1, 2, 4])
    np.testing.assert_array_equal(ClassBalance(strength=0).proportions(shares, names, 3), shares)


def test_a_material_more_leaves_the_others_order() -> None:
    def order(names: tuple[str, ...]) -> list[str]:
        shares = ClassBalance(strength=1).proportions(np.full(len(names), 1 / len(names)), names, 3)
        return [names[place] for place in np.argsort(shares)]

    assert [name for name in order(("a", "b", "c", "d")) if name != "c"] == order(("a", "b", "d"))


def test_illumination_on_flat_and_sloping_ground() -> None:
    light = Illumination(strength=1, zenith_deg=30, added_zenith_deg=30, azimuth_deg=90, diffuse=0.2)
    flat = np.zeros((1, 1), dtype=np.float32)
    cosine = np.cos(np.radians(60)) / np.cos(np.radians(30))
    assert light.factor_of(flat, flat)[0, 0] == pytest.approx(0.2 + 0.8 * cosine)
    # The sun is to the right: ground that falls to the right by 45 degrees is seen at 15 instead of 60.
    facing = 0.2 + 0.8 * np.cos(np.radians(15)) / np.cos(np.radians(30))
    assert light.factor_of(flat, flat - 1)[0, 0] == pytest.approx(facing)
    assert light.factor_of(flat, flat + 1)[0, 0] == pytest.approx(0.2)  # turned away: only the sky
    # From up in the image, clockwise: at 0 the sun is beyond the first row.
    north = replace(light, azimuth_deg=0)
    assert north.factor_of(flat + 1, flat)[0, 0] == pytest.approx(facing)


def test_illumination_s_slopes_have_the_steepness_asked_for() -> None:
    light = Illumination(strength=0.5, slope_deg=30, zenith_deg=0, added_zenith_deg=0, diffuse=0, length=10)
    cosines = np.concatenate([light.factor((200, 200), seed).ravel() for seed in range(4)])
    # Under a sun overhead f = 1 / sqrt(1 + |gradient|²).
    assert np.sqrt((cosines**-2.0 - 1).mean()) == pytest.approx(0.5 * np.tan(np.radians(30)), rel=0.06)
    assert replace(light, strength=0).factor((20, 20), 0) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Season(strength=1.2), r"strength = 1.2.*0.*1"),
        (lambda: Season(strength=True), "strength = True"),
        (lambda: Season(strength=1, share=0.6), r"share = 0.6.*0.*0.5"),
        (lambda: ClassBalance(strength=1, ratio=0.5), r"ratio = 0.5.*1.*1"),
        (lambda: Illumination(strength=1, slope_deg=80), r"slope_deg = 80.*0.*60"),
        (lambda: Illumination(strength=1, zenith_deg=70), r"added_zenith_deg = 20.0.*0.*15"),
    ],
)
def test_wrong_settings_are_refused(make, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make()
