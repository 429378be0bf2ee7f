"""Pairs of two files of one sensor that lack different bands."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.alignment import align
from sceneshift.scenes.common_bands import choose_bands
from sceneshift.scenes.measured import LeftOut
from sceneshift.scenes.scene import Scene

CENTRES = np.linspace(400, 2300, 20)


def scene_of(name: str, *, empty: tuple[int, ...] = (), wavelengths: bool = True, seed: int = 0) -> Scene:
    cube = np.random.default_rng(seed).uniform(1, 2, size=(6, 5, 20)).astype(np.float32)
    kept = np.setdiff1d(np.arange(20), empty)
    return Scene(
        name=name,
        cube=cube[..., kept],
        labels=np.arange(30).reshape(6, 5) % 3,
        class_names=("soil", "tree"),
        wavelengths_nm=CENTRES[kept] if wavelengths else None,
        left_out=LeftOut(bands_in_file=20, empty=empty) if empty else None,
    )


@pytest.mark.parametrize("wavelengths", [True, False])
@pytest.mark.parametrize(
    ("of_source", "of_target"),
    [((), (7, 8, 9)), ((7, 8, 9), ()), ((3,), (12,)), ((3, 4, 5), (5, 6)), ((2,), (2,))],
)
def test_a_pair_keeps_the_bands_that_both_files_have(
    of_source: tuple[int, ...], of_target: tuple[int, ...], wavelengths: bool
) -> None:
    source = scene_of("a", empty=of_source, wavelengths=wavelengths)
    target = scene_of("b", empty=of_target, wavelengths=wavelengths, seed=1)
    aligned = align(source, target)
    common = np.setdiff1d(np.arange(20), (*of_source, *of_target))
    for scene, seed in ((aligned.source, 0), (aligned.target, 1)):
        np.testing.assert_array_equal(scene.cube, scene_of("x", seed=seed).cube[..., common])
        if wavelengths:
            np.testing.assert_array_equal(scene.wavelengths_nm, CENTRES[common])
        assert scene.left_out is not None
        np.testing.assert_array_equal(scene.left_out.kept, common)


def test_a_finer_sensor_s_empty_bands_are_not_interpolated_over() -> None:
    fine_centres = np.linspace(400, 2300, 96)  # every 20 nm
    empty = tuple(range(40, 60))
    kept = np.setdiff1d(np.arange(96), empty)
    rng = np.random.default_rng(2)
    fine = Scene(
        name="fine",
        cube=rng.uniform(1, 2, size=(6, 5, 76)).astype(np.float32),
        labels=np.arange(30).reshape(6, 5) % 3,
        class_names=("soil", "tree"),
        wavelengths_nm=fine_centres[kept],
        left_out=LeftOut(bands_in_file=96, empty=empty),
    )
    coarse = replace(scene_of("coarse"), wavelengths_nm=CENTRES + 3)
    aligned = align(fine, coarse)
    assert aligned.source.wavelengths_nm is not None
    lost = (aligned.source.wavelengths_nm > fine_centres[39]) & (aligned.source.wavelengths_nm < fine_centres[60])
    assert not lost.any()
    assert aligned.source.left_out == LeftOut(bands_in_file=None, empty=empty)


def test_too_few_common_bands_are_refused() -> None:
    source = scene_of("a", empty=tuple(range(1, 20)), wavelengths=False)
    target = scene_of("b", empty=(0, 1), wavelengths=False)
    with pytest.raises(InvalidInputError, match="0 bands"):
        align(source, target)


def test_a_model_finds_its_bands_in_a_file_that_has_them_all() -> None:
    of_model = LeftOut(bands_in_file=6, empty=(1, 4))
    choice = choose_bands(of_model, bands_in_file=6, kept=None)
    assert choice is not None
    np.testing.assert_array_equal(choice.apply(np.arange(12).reshape(2, 6)), [[0, 2, 3, 5], [6, 8, 9, 11]])
    choice = choose_bands(of_model, bands_in_file=6, kept=np.array([0, 2, 3, 4, 5]))
    assert choice is not None
    assert choice.places.tolist() == [0, 1, 2, 4]


def test_a_model_takes_its_own_bands_as_they_are() -> None:
    of_model = LeftOut(bands_in_file=6, empty=(1, 4))
    assert choose_bands(of_model, bands_in_file=6, kept=np.array([0, 2, 3, 5])) is None
    assert choose_bands(of_model, bands_in_file=4, kept=None) is None
    assert choose_bands(None, bands_in_file=6, kept=None) is None


def test_a_file_that_lacks_a_model_s_bands_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"2 bands.*\(2-3\)"):
        choose_bands(LeftOut(bands_in_file=6, empty=(1,)), bands_in_file=6, kept=np.array([0, 1, 4, 5]))
