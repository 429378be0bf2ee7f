"""Alignment: what two scenes share, and nothing else; spectra keep their meaning."""

import re
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.alignment import AlignedPair, align
from sceneshift.scenes.scene import Footprint, Georeference, Scene

FINE = np.linspace(400, 1000, 121)  # every 5 nm
COARSE = np.linspace(450, 1200, 26)  # every 30 nm


def spectrum(wavelengths: np.ndarray) -> np.ndarray:
    """A straight line: any average of it around a centre is its value there."""
    return 2 * wavelengths + 7


def build(
    name: str,
    wavelengths: np.ndarray | None,
    *,
    bands: int = 6,
    class_names: tuple[str, ...] = ("soil", "tree", "water"),
    seed: int = 0,
) -> Scene:
    rng = np.random.default_rng(seed)
    brightness = rng.uniform(0.5, 2, size=(7, 5, 1))
    base = rng.random(bands) if wavelengths is None else spectrum(wavelengths)
    return Scene(
        name=name,
        cube=(brightness * base).astype(np.float32),
        labels=rng.integers(0, len(class_names) + 1, size=(7, 5)),
        class_names=class_names,
        wavelengths_nm=wavelengths,
        footprint=Footprint(parent="flight " + name, rows=(10, 17), columns=(20, 25)),
        georeference=Georeference(transform=(1, 0, 0, 0, -1, 0)),
        unit=f"unit of {name}",
    )


def left_out(aligned: AlignedPair) -> list[tuple[str, str]]:
    """By note of classes left out: the scene, and the classes."""
    return [found for note in aligned.notes for found in re.findall(r"left out, (?:of|only in) ([ab])\b.*: (.*)", note)]


def names_of(scene: Scene) -> np.ndarray:
    return np.array(["", *scene.class_names])[scene.labels]


def test_classes_are_the_shared_ones_in_the_source_s_order() -> None:
    source = build("a", FINE, class_names=("tree", "road", "soil", "water"))
    target = build("b", FINE, class_names=("water", "soil", "roof", "tree", "snow"), seed=1)
    aligned = align(source, target)
    assert aligned.source.class_names == aligned.target.class_names == ("tree", "soil", "water")
    for before, after in ((source, aligned.source), (target, aligned.target)):
        kept = np.isin(names_of(before), ("tree", "soil", "water"))
        np.testing.assert_array_equal(names_of(after), np.where(kept, names_of(before), ""))
        assert (after.footprint, after.georeference, after.name) == (before.footprint, before.georeference, before.name)
        assert after.unit == before.unit
    assert left_out(aligned) == [("a", "road"), ("b", "roof, snow")]


def test_a_map_says_which_classes_are_the_same_and_alone_decides() -> None:
    source = build("a", FINE, class_names=("tree", "grass", "water"))
    target = build("b", FINE, class_names=("water", "oak", "beech", "lake"), seed=1)
    aligned = align(source, target, class_matches={"oak": "tree", "beech": "tree", "lake": "water"})
    assert aligned.target.class_names == ("tree", "water")
    expected = np.select(
        [np.isin(names_of(target), ("oak", "beech")), names_of(target) == "lake"], ["tree", "water"], ""
    )
    np.testing.assert_array_equal(names_of(aligned.target), expected)
    assert re.findall(r"\b(?:oak|tree|[ab])\b", aligned.notes[0]) == ["oak", "b", "tree", "a"]
    assert left_out(aligned) == [("a", "grass"), ("b", "water")]
    assert not any("only in" in note for note in aligned.notes)


@pytest.mark.parametrize("named", [("soil", "tree"), ("tree", "water")])
def test_a_class_of_both_sides_that_a_map_leaves_out_is_not_reported_to_be_in_one_alone(named: tuple[str, str]) -> None:
    aligned = align(build("a", FINE), build("b", FINE, seed=1), class_matches={name: name for name in named})
    (unnamed,) = {"soil", "tree", "water"} - set(named)
    assert left_out(aligned) == [("a", unnamed), ("b", unnamed)]
    assert not any("only in" in note for note in aligned.notes)


def test_classes_of_the_source_become_one() -> None:
    """Golden: the wording is asserted here alone."""
    source = build("a", FINE, class_names=("oak", "soil", "beech", "water"))
    target = build("b", FINE, class_names=("water", "tree", "soil", "bush"), seed=1)
    aligned = align(
        source,
        target,
        class_matches={"tree": "wood", "bush": "wood", "soil": "soil"},
        merged={"oak": "wood", "beech": "wood"},
    )
    assert aligned.source.class_names == aligned.target.class_names == ("wood", "soil")
    np.testing.assert_array_equal(aligned.source.labels, np.array([0, 1, 2, 1, 0])[source.labels])
    np.testing.assert_array_equal(aligned.target.labels, np.array([0, 0, 1, 2, 1])[target.labels])
    assert aligned.notes[:5] == (
        "classes oak and beech of a are taken as wood",
        "class tree of b is taken as wood",
        "class bush of b is taken as wood",
        "left out, of a, not matched to a class: water",
        "left out, of b, not matched to a class: water",
    )


def test_merged_classes_may_take_the_name_of_one_of_them_but_of_no_other() -> None:
    source = build("a", FINE, class_names=("tree", "bush", "soil", "water"))
    target = build("b", FINE, seed=1)
    aligned = align(source, target, merged={"tree": "tree", "bush": "tree"})
    np.testing.assert_array_equal(aligned.source.labels, np.array([0, 1, 1, 2, 3])[source.labels])
    assert re.findall(r"\b(?:tree|bush|[ab])\b", aligned.notes[0]) == ["tree", "bush", "a", "tree"]
    for merged in ({"tree": "soil", "bush": "soil"}, {"tree": "bush"}):
        with pytest.raises(InvalidInputError, match="another class"):
            align(source, target, merged=merged)
    with pytest.raises(InvalidInputError, match=r"'trees'.*'tree'"):
        align(source, target, merged={"trees": "wood"})


def test_a_swap_of_names_is_carried_out() -> None:
    source, target = build("a", FINE), build("b", FINE, seed=1)
    aligned = align(source, target, class_matches={"soil": "tree", "tree": "soil", "water": "water"})
    np.testing.assert_array_equal(aligned.target.labels, np.array([0, 2, 1, 3])[target.labels])


@pytest.mark.parametrize(
    ("class_matches", "message"),
    [
        ({"soil": "soil"}, "share 1"),
        ({}, "share 0"),
        ({"soils": "soil"}, r"'soils'.*'soil'"),
        ({"soil": "trees"}, r"'trees'.*'tree'"),
    ],
)
def test_a_map_of_no_use_is_reported(class_matches: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        align(build("a", FINE), build("b", FINE), class_matches=class_matches)


@pytest.mark.parametrize("fwhm", [None, 30.0, np.linspace(25, 40, len(COARSE))])
@pytest.mark.parametrize("turned", [False, True])
def test_the_finer_sensor_is_resampled_to_the_coarser_s_centres(fwhm: float | np.ndarray | None, turned: bool) -> None:
    fine, coarse = build("fine", FINE), build("coarse", COARSE, seed=1)
    aligned = align(coarse, fine, fwhm_nm=fwhm) if turned else align(fine, coarse, fwhm_nm=fwhm)
    new_fine, new_coarse = (aligned.target, aligned.source) if turned else (aligned.source, aligned.target)
    centres = new_fine.wavelengths_nm
    np.testing.assert_array_equal(centres, new_coarse.wavelengths_nm)
    assert (new_fine.unit, new_coarse.unit) == (fine.unit, coarse.unit)
    inside = COARSE[(COARSE >= 450) & (COARSE <= 1000)]
    assert len(inside) - 2 <= len(centres) <= len(inside)
    assert set(centres) <= set(inside)
    np.testing.assert_array_equal(new_coarse.cube, coarse.cube[..., np.isin(COARSE, centres)])
    brightness = fine.cube[..., :1] / spectrum(FINE)[0]
    distance = new_fine.cube / (brightness * spectrum(centres)) - 1
    assert np.abs(distance).max() < (1e-6 if fwhm is None else 2e-3)
    assert "121 resampled" in aligned.notes[0]
    assert f"of coarse's 26, {centres[0]:.0f} to {centres[-1]:.0f} nm" in aligned.notes[0]


def test_a_gaussian_response_is_as_wide_as_it_says() -> None:
    # A single bright band: its share in a centre's response is the Gaussian's own value, times the step, over its area.
    cube = np.zeros((7, 5, 121), dtype=np.float32)
    cube[..., 60] = 1  # 700 nm
    fine = replace(build("fine", FINE), cube=cube)
    centres = np.array([600.0, 660.0, 690.0, 700.0, 720.0, 800.0])
    aligned = align(fine, build("coarse", centres), fwhm_nm=40.0)
    sigma = 40 / 2.3548200450309493
    expected = 5 / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((700 - centres) / sigma) ** 2)
    np.testing.assert_allclose(aligned.source.cube[0, 0], expected, rtol=1e-4, atol=1e-9)
    assert aligned.source.cube[0, 0, 3] / 2 == pytest.approx(aligned.source.cube[0, 0, 4], rel=1e-4)  # half of 40 away


def test_a_band_on_a_centre_is_taken_to_the_bit() -> None:
    fine = build("fine", FINE)
    aligned = align(fine, build("coarse", FINE[10:100:6], seed=1))
    np.testing.assert_array_equal(aligned.source.cube, fine.cube[..., 10:100:6])


def test_centres_in_a_gap_of_the_finer_sensor_are_left_out() -> None:
    gap = (FINE > 700) & (FINE < 800)
    fine = build("fine", FINE[~gap])
    for fwhm in (None, 30.0):
        aligned = align(fine, build("coarse", COARSE, seed=1), fwhm_nm=fwhm)
        centres = aligned.source.wavelengths_nm
        assert not ((centres > 701) & (centres < 799)).any()
        assert (centres < 700).any()
        assert (centres > 800).any()
        assert "fine has none" in aligned.notes[0]


@pytest.mark.parametrize("order", ["backwards", "overlapping"])
def test_bands_in_any_order_come_out_from_short_to_long(order: str) -> None:
    shuffled = {"backwards": FINE[::-1], "overlapping": np.r_[FINE[:60], FINE[55:]]}[order]
    aligned = align(build("fine", shuffled), build("coarse", COARSE[::-1], seed=1))
    centres = aligned.source.wavelengths_nm
    assert (np.diff(centres) > 0).all()
    straight = align(build("fine", FINE), build("coarse", COARSE, seed=1))
    np.testing.assert_allclose(aligned.source.cube, straight.source.cube, rtol=1e-6)
    np.testing.assert_array_equal(aligned.target.cube, straight.target.cube)


def test_the_same_centres_and_unknown_ones_are_taken_as_they_are() -> None:
    source, target = build("a", FINE), build("b", FINE, seed=1)
    aligned = align(source, target)
    assert aligned.source.cube is source.cube
    (note,) = aligned.notes
    assert "121 bands" in note
    bare, other = build("a", None), build("b", None, seed=1)
    aligned = align(bare, other)
    assert (aligned.source, aligned.target) == (bare, other)
    (note,) = aligned.notes
    assert "of a and b " in note
    assert "6 bands" in note
    aligned = align(bare, build("b", FINE[:6]))
    (note,) = aligned.notes
    assert "of a are" in note
    assert "6 bands" in note


def test_what_cannot_be_aligned_is_reported() -> None:
    with pytest.raises(InvalidInputError, match=r"'a'.*6 bands.*'b'.*5"):
        align(build("a", None), build("b", None, bands=5))
    with pytest.raises(InvalidInputError, match=r"'a'.*400.*1000 nm.*'b'.*2000.*2100 nm"):
        align(build("a", FINE), build("b", np.linspace(2000, 2100, 6)))
    with pytest.raises(InvalidInputError, match=r"'b'.*-1.*1000 nm"):
        align(build("a", FINE), build("b", np.array([-1.0, 500, 1000])))
    with pytest.raises(InvalidInputError, match="fwhm_nm"):
        align(build("a", None), build("b", None), fwhm_nm=10)
    for fwhm in (-1.0, np.ones(3), np.nan):
        with pytest.raises(InvalidInputError, match=r"26 bands.*'coarse'"):
            align(build("a", FINE), build("coarse", COARSE), fwhm_nm=fwhm)
    with pytest.raises(InvalidInputError, match=r"0.*'coarse'.*'a'"):
        align(build("a", FINE), build("coarse", COARSE), fwhm_nm=0.5)
