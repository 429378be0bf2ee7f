"""Numbers of another kind than the source's: what is refused, and what can't be decided and is taken."""

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.normalization import NORMALIZATIONS, UNITLESS, Normalization, normalize_l2_per_pixel
from sceneshift.scenes.value_summary import ValueSummary, is_other_brightness, normalized_already, refuse_other_values


def counts(seed: int = 0, brightness: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spectra = rng.uniform(1000, 6000, size=(3, 8))
    return (spectra[rng.integers(0, 3, (20, 15))] * rng.uniform(0.8, 1.2, (20, 15, 1)) * brightness).astype(np.float32)


SOURCE = ValueSummary.of(counts())


def refuse(cube: np.ndarray, normalization: str, source: ValueSummary = SOURCE) -> None:
    refuse_other_values(source, ValueSummary.of(cube), normalization=normalization)


def test_figures_by_hand() -> None:
    cube = np.array([[[3, -4], [0, 0], [6, 8]]], dtype=np.int16)
    told = ValueSummary.of(cube)
    assert (told.num_spectra, told.low, told.high, told.negative) == (2, -4, 8, 0.25)
    assert told.median == pytest.approx((5 + 10) / 2 / 2**0.5)
    assert not told.unit_norm
    assert ValueSummary.from_dict(told.as_dict()) == told


def test_a_summary_does_not_depend_on_how_the_pixels_lie() -> None:
    cube = counts()
    as_list, transposed = ValueSummary.of(cube.reshape(-1, 8)), ValueSummary.of(cube.transpose(1, 0, 2))
    assert as_list == ValueSummary.of(cube)
    assert transposed.median == pytest.approx(as_list.median)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_scenes_of_the_same_kind_are_taken(normalization: str) -> None:
    refuse(counts(), normalization)
    refuse(counts(5, brightness=0.4), normalization)
    refuse(counts(6, brightness=3), normalization)
    refuse(counts()[:1, :1], normalization)
    dark = counts()
    dark[:5] = 0  # not measured
    refuse(dark, normalization)


@pytest.mark.parametrize("normalization", ["minmax-per-band", "standardize-per-band", "none"])
@pytest.mark.parametrize("factor", [1e-4, 0.01, 100])
def test_another_unit_is_refused_where_it_matters(normalization: str, factor: float) -> None:
    with pytest.raises(InvalidInputError, match=r"median spectrum has a brightness.*counts and the other reflectance"):
        refuse(counts() * factor, normalization)
    for unitless in UNITLESS:
        refuse(counts() * factor, unitless)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("l2-per-pixel", "every spectrum has L2 norm 1"),
        ("minmax-per-band", "every band runs exactly from 0 to 1"),
        ("standardize-per-band", "every band has mean 0 and standard deviation 1"),
    ],
)
def test_what_went_through_a_step_already_is_refused(normalization: str, step: str, words: str) -> None:
    normalized = Normalization.fit(step, counts()).apply(counts())
    if step == "l2-per-pixel" and normalization in UNITLESS:
        refuse(normalized, normalization)  # comes out as it went in
        return
    with pytest.raises(InvalidInputError, match=rf"normalized already: {words}\. The model normalizes itself"):
        refuse(normalized, normalization)


def test_the_parts_of_the_check_are_told_apart() -> None:
    scaled = ValueSummary.of(Normalization.fit("minmax-per-band", counts()).apply(counts()))
    assert list(normalized_already(SOURCE, scaled)) == ["unit_range"]
    assert normalized_already(scaled, scaled) == normalized_already(scaled, SOURCE) == {}
    assert [is_other_brightness(SOURCE, ValueSummary.of(counts(brightness=factor))) for factor in (0.01, 1, 100)] == [
        True,
        False,
        True,
    ]


def test_the_source_s_unit_is_told_where_it_is_known() -> None:
    with pytest.raises(InvalidInputError, match="expected reflectance as in the source"):
        refuse_other_values(SOURCE, ValueSummary.of(counts() * 100), normalization="none", unit="reflectance")


def test_a_source_that_was_normalized_in_its_file_takes_scenes_that_are() -> None:
    unit = ValueSummary.of(normalize_l2_per_pixel(counts()))
    assert unit.unit_norm
    refuse(normalize_l2_per_pixel(counts(3)), "none", unit)


def test_many_negative_numbers_are_refused_where_the_source_had_none() -> None:
    shifted = counts() - counts().mean(axis=(0, 1)) * 1.02
    for normalization in NORMALIZATIONS:
        with pytest.raises(InvalidInputError, match=r"% of the input's numbers are negative, of the source's 0%"):
            refuse(shifted, normalization)
    some = counts()
    some[:2] -= 8000  # noise around dark water
    refuse(some, "l2-per-pixel")


@pytest.mark.parametrize(
    ("cube", "message"),
    [
        (np.zeros((3, 4, 5)), "every number of the input is zero"),
        (np.zeros((0, 4, 5)), r"shape \(0, 4, 5\) holds no number"),
        (np.array([[[1.0, np.nan]]]), r"NaN or infinity in the input \(band 1"),
    ],
)
def test_what_has_no_summary(cube: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ValueSummary.of(cube)


def test_what_is_no_summary_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="is no summary"):
        ValueSummary.from_dict({"low": 1})
