"""Normalization: what each step computes, what is fitted on a source, and that it survives JSON."""

import json
import tracemalloc

import numpy as np
import pytest
from sklearn import preprocessing
from sklearn.pipeline import make_pipeline

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.normalization import NORMALIZATIONS, UNITLESS, Normalization, normalize_l2_per_pixel

MINMAX, STANDARDIZE = "minmax-per-band", "standardize-per-band"
L2_STANDARDIZE, DERIVATIVE = "l2-then-standardize", "derivative"
PER_BAND = (MINMAX, STANDARDIZE)
FITTED = (*PER_BAND, L2_STANDARDIZE, DERIVATIVE)

#: Two rows of two pixels in three bands, the last of them constant.
SOURCE = np.array([[[10, 1, 7], [20, 3, 7]], [[30, 5, 7], [40, 7, 7]]], dtype=np.int16)


def cube_of(height: int = 40, width: int = 30, bands: int = 8, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((height, width, bands)) * rng.uniform(1, 9000, bands) - 500).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (MINMAX, [[[0, 0, 0], [1 / 3, 1 / 3, 0]], [[2 / 3, 2 / 3, 0], [1, 1, 0]]]),
        # Means 25 and 4, deviations sqrt(125) and sqrt(5): both bands are -3, -1, 1, 3 over sqrt(5).
        (
            STANDARDIZE,
            np.array([[[-3, -3, 0], [-1, -1, 0]], [[1, 1, 0], [3, 3, 0]]]) / 5**0.5,
        ),
        # Differences along the bands: (-9, -1.5, 6), (-17, -6.5, 4), (-25, -11.5, 2), (-33, -16.5, 0), each band of
        # which goes down in even steps.
        (DERIVATIVE, np.array([[[3, 3, 3], [1, 1, 1]], [[-1, -1, -1], [-3, -3, -3]]]) / 5**0.5),
        ("none", SOURCE),
        ("l2-per-pixel", SOURCE / np.sqrt((SOURCE.astype(float) ** 2).sum(axis=2, keepdims=True))),
    ],
)
def test_values_by_hand(name: str, expected: np.ndarray) -> None:
    normalized = Normalization.fit(name, SOURCE).apply(SOURCE)
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        (MINMAX, preprocessing.MinMaxScaler()),
        (STANDARDIZE, preprocessing.StandardScaler()),
        ("l2-per-pixel", preprocessing.Normalizer()),
        (L2_STANDARDIZE, make_pipeline(preprocessing.Normalizer(), preprocessing.StandardScaler())),
        (
            DERIVATIVE,
            make_pipeline(
                preprocessing.FunctionTransformer(lambda spectra: np.gradient(spectra, axis=1)),
                preprocessing.StandardScaler(),
            ),
        ),
    ],
)
def test_source_and_target_are_scikit_learns(name: str, oracle: object) -> None:
    source, target = cube_of(), cube_of(7, 5, seed=1)
    oracle.fit(source.reshape(-1, 8).astype(float))
    for cube in (source, target):
        expected = oracle.transform(cube.reshape(-1, 8).astype(float)).reshape(cube.shape)
        np.testing.assert_allclose(Normalization.fit(name, source).apply(cube), expected, rtol=1e-5, atol=1e-5)


def test_what_is_fitted_is_the_sources() -> None:
    minmax, standardize = (Normalization.fit(name, SOURCE) for name in PER_BAND)
    assert (minmax.offset.tolist(), minmax.scale.tolist()) == ([10, 1, 7], [30, 6, 0])
    assert standardize.offset.tolist() == [25, 4, 7]
    np.testing.assert_allclose(standardize.scale, [125**0.5, 5**0.5, 0])
    assert minmax.offset.dtype == standardize.scale.dtype == np.float64
    for name in ("l2-per-pixel", "none"):
        bare = Normalization.fit(name, SOURCE)
        assert (bare.name, bare.offset, bare.scale) == (name, None, None)


def test_the_source_is_in_0_to_1_exactly_and_a_target_may_go_beyond() -> None:
    source = cube_of(bands=50)
    normalization = Normalization.fit(MINMAX, source)
    normalized = normalization.apply(source)
    assert (normalized.min(axis=(0, 1)) == 0).all()
    assert (normalized.max(axis=(0, 1)) == 1).all()
    target = np.array([[[-5, 13, 7]]])
    np.testing.assert_allclose(Normalization.fit(MINMAX, SOURCE).apply(target), [[[-0.5, 2, 0]]])


@pytest.mark.parametrize("name", PER_BAND)
def test_a_band_constant_over_the_source_is_0_in_every_scene(name: str) -> None:
    source = cube_of(bands=3).astype(np.float64)
    source[..., 1] = 0.1  # whose mean over 1200 pixels is next to it
    target = cube_of(5, 4, bands=3, seed=1)
    normalization = Normalization.fit(name, source)
    for cube in (source, target):
        normalized = normalization.apply(cube)
        assert (normalized[..., 1] == 0).all()
        assert np.isfinite(normalized).all()
        assert (normalized[..., [0, 2]].std(axis=(0, 1)) > 0.1).all()


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_through_json_nothing_is_lost(name: str) -> None:
    source, target = cube_of(), cube_of(3, 2, seed=1)
    normalization = Normalization.fit(name, source)
    again = Normalization.from_dict(json.loads(json.dumps(normalization.as_dict(), allow_nan=False)))
    assert again.as_dict() == normalization.as_dict()
    assert again.name == name
    np.testing.assert_array_equal(again.apply(target), normalization.apply(target))


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_pixel_comes_to_the_same_digits_in_a_cube_a_part_of_it_and_a_patch(name: str) -> None:
    cube = cube_of(60, 50, 200)  # several blocks
    normalization = Normalization.fit(name, cube)
    whole = normalization.apply(cube)
    assert whole.flags.c_contiguous
    np.testing.assert_array_equal(normalization.apply(cube[11:12, 7:8]), whole[11:12, 7:8])
    np.testing.assert_array_equal(normalization.apply(cube[11, 7]), whole[11, 7])
    np.testing.assert_array_equal(normalization.apply(np.asfortranarray(cube)), whole)
    patches = np.ascontiguousarray(cube[:6, :4].reshape(2, 3, 4, 200).transpose(0, 3, 1, 2))  # (B, C, P, P)
    np.testing.assert_array_equal(
        normalization.apply(patches.transpose(0, 2, 3, 1)), whole[:6, :4].reshape(2, 3, 4, 200)
    )


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_the_result_is_a_new_array_and_the_cube_stays_as_it_was(name: str) -> None:
    cube = cube_of()
    cube.setflags(write=False)
    result = Normalization.fit(name, cube).apply(cube)
    assert not np.shares_memory(result, cube)
    np.testing.assert_array_equal(cube, cube_of())


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_large_cube_is_not_copied_in_float64(name: str) -> None:
    cube = cube_of(500, 100, 200)  # 40 MB
    tracemalloc.start()
    try:
        normalization = Normalization.fit(name, cube)
        fitting = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        result = normalization.apply(cube)
        applying = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert fitting < 0.25 * cube.nbytes
    assert result.nbytes <= applying < 1.25 * cube.nbytes


@pytest.mark.parametrize("name", UNITLESS)
def test_a_factor_on_the_whole_scene_goes_out(name: str) -> None:
    source, target = cube_of(), cube_of(7, 5, seed=1)
    in_another_unit = Normalization.fit(name, source / 1000).apply(target / 1000)
    np.testing.assert_allclose(Normalization.fit(name, source).apply(target), in_another_unit, rtol=1e-4, atol=1e-5)
    # And a target need not be in the source's unit.
    np.testing.assert_allclose(
        Normalization.fit(name, source).apply(target * 50), Normalization.fit(name, source).apply(target), atol=1e-4
    )


def test_what_is_added_to_a_spectrum_goes_out_of_its_derivative() -> None:
    source, target = cube_of().astype(np.float64), cube_of(7, 5, seed=1).astype(np.float64)
    derivative = Normalization.fit(DERIVATIVE, source)
    np.testing.assert_allclose(derivative.apply(target + 300), derivative.apply(target), atol=1e-5)


def test_a_single_band_has_no_derivative() -> None:
    with pytest.raises(InvalidInputError, match=r"'derivative'.*1 band"):
        Normalization.fit(DERIVATIVE, cube_of(bands=1))


def test_a_fitted_step_cannot_be_changed() -> None:
    normalization = Normalization.fit(MINMAX, SOURCE)
    with pytest.raises(ValueError, match="read-only"):
        normalization.offset[0] = 1


@pytest.mark.parametrize("name", FITTED)
def test_another_number_of_bands_is_refused(name: str) -> None:
    normalization = Normalization.fit(name, SOURCE)
    with pytest.raises(InvalidInputError, match=r"\(2, 2, 1\).*3 bands"):
        normalization.apply(SOURCE[..., :1])  # which would be broadcast


def test_an_unknown_step_is_answered_with_the_nearest() -> None:
    message = "normalization = 'min-max-per-band'.*did you mean 'minmax-per-band'"
    for refused in (lambda name: Normalization.fit(name, SOURCE), lambda name: Normalization(name=name)):
        with pytest.raises(InvalidInputError, match=message) as error:
            refused("min-max-per-band")
        assert all(name in str(error.value) for name in NORMALIZATIONS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", FITTED)
def test_nothing_is_fitted_on_a_cube_that_is_not_finite(name: str, value: float) -> None:
    cube = cube_of()
    cube[3, 4, 5] = value
    with pytest.raises(InvalidInputError, match="NaN"):
        Normalization.fit(name, cube)


@pytest.mark.parametrize("name", FITTED)
def test_nothing_is_fitted_on_nothing(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"\(0, 4, 3\)"):
        Normalization.fit(name, np.zeros((0, 4, 3)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["l2-per-pixel"], r"\['l2-per-pixel'\]"),
        ({"name": "none"}, "name, offset, scale"),
        ({"name": "none", "offset": [1.0], "scale": None}, "'none'"),
        ({"name": MINMAX, "offset": None, "scale": None}, "offset .*scale >= 0"),
        ({"name": MINMAX, "offset": [1.0, 2.0], "scale": [1.0]}, r"\(2,\).*\(1,\)"),
        ({"name": MINMAX, "offset": [1.0], "scale": [-1.0]}, "scale >= 0"),
        ({"name": MINMAX, "offset": [np.nan], "scale": [1.0]}, "offset"),
        ({"name": MINMAX, "offset": [], "scale": []}, "band"),
    ],
)
def test_what_is_no_step_is_refused(values: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Normalization.from_dict(values)


def test_unit_spectra_and_zeros_that_stay() -> None:
    cube = np.array([[[3, 4], [0, 0]], [[0, 9], [60000, 0]]], dtype=np.uint16)
    normalized = normalize_l2_per_pixel(cube)
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized, [[[0.6, 0.8], [0, 0]], [[0, 1], [1, 0]]], rtol=1e-6)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalizing_does_not_hide_a_nan(name: str) -> None:
    cube = cube_of()
    normalization = Normalization.fit(name, cube)
    cube[0, 0, 1] = np.nan
    normalized = normalization.apply(cube)
    assert np.isnan(normalized[0, 0]).any()
    assert np.isfinite(normalized[1, 1]).all()


@pytest.mark.parametrize("name", PER_BAND)
def test_what_was_fitted_is_undone_band_by_band(name: str) -> None:
    source, target = cube_of(), cube_of(7, 5, seed=1)
    normalization = Normalization.fit(name, source)
    for cube in (source, target):
        back = normalization.undo(normalization.apply(cube))
        assert back.dtype == np.float64
        assert back.shape == cube.shape
        # float32 is between; a band's own scale is what its rounding is measured by.
        np.testing.assert_allclose(back / normalization.scale, cube / normalization.scale, atol=1e-6)
    np.testing.assert_allclose(normalization.undo(np.zeros(8)), normalization.offset)
    np.testing.assert_allclose(normalization.undo(np.ones(8)) - normalization.offset, normalization.scale)


@pytest.mark.parametrize("name", PER_BAND)
def test_a_constant_band_comes_back_as_the_constant(name: str) -> None:
    normalization = Normalization.fit(name, SOURCE)
    np.testing.assert_allclose(normalization.undo(normalization.apply(SOURCE)), SOURCE, rtol=1e-6)
    np.testing.assert_allclose(normalization.undo(np.array([0.5, 0.5, 123.0]))[2], 7)


def test_a_unit_spectrum_keeps_its_angles_and_not_its_brightness() -> None:
    cube = cube_of().astype(np.float64) + 600
    normalization = Normalization.fit("l2-per-pixel", cube)
    back = normalization.undo(normalization.apply(cube))
    np.testing.assert_allclose(np.linalg.norm(back, axis=2), 1, rtol=1e-6)
    cosines = (back * cube).sum(axis=2) / np.linalg.norm(cube, axis=2)
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_undoing_leaves_what_it_is_given_alone(name: str) -> None:
    normalization = Normalization.fit(name, cube_of())
    spectra = np.full((3, 8), 0.5)
    result = normalization.undo(spectra)
    result += 1
    np.testing.assert_array_equal(spectra, np.full((3, 8), 0.5))
    if name == "none":
        np.testing.assert_array_equal(result, np.full((3, 8), 1.5))


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_several_cubes_are_fitted_as_one(name: str) -> None:
    rng = np.random.default_rng(1)
    one, other = (rng.uniform(0.5, 2, size=shape).astype(np.float32) for shape in ((4, 5, 3), (2, 6, 3)))
    pooled = Normalization.fit(name, np.concatenate([one.reshape(-1, 3), other.reshape(-1, 3)]))
    np.testing.assert_allclose(Normalization.fit(name, one, other).apply(one), pooled.apply(one), rtol=1e-5, atol=1e-6)


def test_cubes_of_other_bands_are_rejected() -> None:
    with pytest.raises(InvalidInputError, match="3 and 2 bands"):
        Normalization.fit("minmax-per-band", np.ones((2, 2, 3), np.float32), np.ones((2, 2, 2), np.float32))
