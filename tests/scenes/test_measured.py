"""Unmeasured pixels: no label, no statistics, and zeros to a network."""

import pickle
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.measured import LeftOut, as_ranges, describe_missing
from sceneshift.scenes.normalization import NORMALIZATIONS, Normalization, constant_bands
from sceneshift.scenes.scene import Scene
from sceneshift.scenes.value_summary import ValueSummary


def with_hole(scene: Scene) -> Scene:
    cube = scene.cube.copy()
    cube[:9] = 0
    return replace(scene, cube=cube)


def test_an_unmeasured_pixel_has_no_label(make_scene: Callable[..., Scene]) -> None:
    whole = make_scene()
    scene = with_hole(whole)
    assert (scene.measured == (np.arange(40) >= 9)[:, None]).all()
    assert not scene.labels[:9].any()
    np.testing.assert_array_equal(scene.labels[9:], whole.labels[9:])
    assert scene.left_out == LeftOut(bands_in_file=8, labels=int((whole.labels[:9] > 0).sum()))
    assert replace(scene, name="again").left_out == scene.left_out
    assert whole.left_out is None
    assert scene.without_labels().left_out == LeftOut(bands_in_file=8)


def test_the_mask_goes_with_a_pickle(make_scene: Callable[..., Scene]) -> None:
    scene = with_hole(make_scene())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(scene)).measured, scene.measured)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_normalization_is_of_measured_pixels(name: str, make_scene: Callable[..., Scene]) -> None:
    scene = with_hole(make_scene())
    fitted = Normalization.fit(name, scene.cube)
    assert fitted.as_dict() == Normalization.fit(name, scene.cube[9:]).as_dict()
    normalized = fitted.apply(scene.cube)
    assert not normalized[:9].any()
    np.testing.assert_array_equal(normalized[9:], fitted.apply(scene.cube[9:]))


def test_a_normalization_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="zero"):
        Normalization.fit("standardize-per-band", np.zeros((3, 4, 5)))


def test_a_band_is_constant_over_measured_pixels(make_scene: Callable[..., Scene]) -> None:
    cube = with_hole(make_scene()).cube.copy()
    cube[9:, :, 3] = 0.5
    assert constant_bands(cube).tolist() == [3]


def test_a_summary_is_of_measured_pixels(make_scene: Callable[..., Scene]) -> None:
    scene = with_hole(make_scene())
    assert ValueSummary.of(scene.cube) == ValueSummary.of(scene.cube[9:])


def test_what_is_missing_is_described(make_scene: Callable[..., Scene]) -> None:
    assert describe_missing(make_scene()) == []
    cube = with_hole(make_scene()).cube
    left_out = LeftOut(bands_in_file=12, empty=(3, 4, 5), bad=(9,))
    found = describe_missing(replace(make_scene(), cube=cube, left_out=left_out))
    assert all(line.startswith("tiny: ") for line in found)
    assert [re.findall(r"\d+", line) for line in found] == [
        ["3", "12", "3", "5"],
        ["1", "12", "9"],
        ["270", "1200", "0", "192"],
    ]
    assert ["empty" in found[0], "bad" in found[1], "unmeasured" in found[2]] == [True] * 3


def test_ranges() -> None:
    assert as_ranges((3, 16, 17, 18, 25)) == "3, 16-18, 25"


@pytest.mark.parametrize(
    "wrong",
    [
        {"bands_in_file": 3, "empty": (3,)},
        {"bands_in_file": 3, "empty": (-1,)},
        {"bands_in_file": 3, "empty": (1,), "bad": (1,)},
        {"bands_in_file": 2, "empty": (0,), "bad": (1,)},
        {"bands_in_file": 2, "labels": -1},
    ],
)
def test_what_was_left_out_fits_the_file(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match="different bands"):
        LeftOut(**wrong)  # type: ignore[arg-type]


def test_what_was_left_out_fits_the_cube(make_scene: Callable[..., Scene]) -> None:
    with pytest.raises(InvalidInputError, match=r"9 bands.*8"):
        replace(make_scene(), left_out=LeftOut(bands_in_file=10, bad=(2,)))
