"""Numbers of another kind than the source's: what is refused, and what can't be decided and is taken."""

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.normalization import NORMALIZATIONS, UNITLESS, Normalization, normalize_l2_per_pixel
from sceneshift.scenes.value_summary import (
    FACTOR,
    LEAST_SPECTRA,
    OFFSET,
    OWN_OFFSET,
    ValueDifference,
    ValueSummary,
    compare_values,
    refuse_other_values,
)

SPECTRA = np.random.default_rng(0).uniform(1000, 6000, size=(3, 8))


def counts(seed: int = 0, brightness: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spectra = SPECTRA * rng.uniform(0.97, 1.03, size=(3, 8))
    return (spectra[rng.integers(0, 3, (20, 15))] * rng.uniform(0.8, 1.2, (20, 15, 1)) * brightness).astype(np.float32)


SOURCE = ValueSummary.of(counts())


def refuse(cube: np.ndarray, normalization: str, source: ValueSummary = SOURCE) -> None:
    refuse_other_values(source, ValueSummary.of(cube), normalization=normalization)


def test_figures_by_hand() -> None:
    cube = np.array([[[3, -4], [0, 0], [6, 8]]], dtype=np.int16)
    found = ValueSummary.of(cube)
    assert (found.num_spectra, found.low, found.high, found.negative) == (2, -4, 8, 0.25)
    assert found.median == pytest.approx((5 + 10) / 2 / 2**0.5)
    assert not found.unit_norm
    assert found.magnitude == pytest.approx(np.quantile([3, 4, 6, 8], 0.99))
    floors = (-4 + 0.05 * 7) / (3 + 0.95 * 1), (6 + 0.05 * 2) / (6 + 0.95 * 2)
    assert found.floor == pytest.approx(np.quantile(floors, 0.25))
    assert ValueSummary.from_dict(found.as_dict()) == found


def test_a_summary_does_not_depend_on_how_the_pixels_are() -> None:
    cube = counts()
    as_list, transposed = ValueSummary.of(cube.reshape(-1, 8)), ValueSummary.of(cube.transpose(1, 0, 2))
    assert as_list == ValueSummary.of(cube)
    assert transposed.median == pytest.approx(as_list.median)


def unmeasured_in_part() -> np.ndarray:
    cube = counts()
    cube[:5] = 0
    return cube


@pytest.mark.parametrize(
    "given",
    [counts(), counts(5, brightness=0.4), counts(6, brightness=3), counts()[:1, :1], unmeasured_in_part()],
    ids=["the same", "darker", "brighter", "one spectrum", "unmeasured in part"],
)
def test_scenes_of_the_same_kind_are_taken(given: np.ndarray) -> None:
    difference = compare_values(SOURCE, ValueSummary.of(given))
    assert difference == ValueDifference()
    assert [name for name in NORMALIZATIONS if difference.allows(name)] == list(NORMALIZATIONS)


def test_a_mosaic_of_one_scene_has_its_values() -> None:
    """Every fifth column is water, and an even step of five would meet nothing else."""
    cube = counts()
    cube[:, ::5] *= np.linspace(0.02, 1, 8, dtype=np.float32)
    source, mosaic = ValueSummary.of(cube), ValueSummary.of(np.tile(cube, (46, 48, 1)))
    assert mosaic.num_spectra == 46 * 48 * 300
    assert compare_values(source, mosaic) == ValueDifference()
    assert source.floor is not None
    assert source.magnitude is not None
    assert mosaic.floor == pytest.approx(source.floor, abs=OFFSET / 10)
    assert mosaic.magnitude == pytest.approx(source.magnitude, rel=0.02)


@pytest.mark.parametrize("normalization", ["minmax-per-band", "standardize-per-band", "none"])
@pytest.mark.parametrize("factor", [1e-4, 0.01, 100])
def test_another_unit_is_refused_where_it_matters(normalization: str, factor: float) -> None:
    with pytest.raises(InvalidInputError) as error:
        refuse(counts() * factor, normalization)
    given = counts() * factor
    for words in (
        f" {given.min():g} to {given.max():g}: ",
        f" {FACTOR:g} times",
        f" {counts().min():g} to {counts().max():g}",
        "--scale",
    ):
        assert words in str(error.value)
    for unitless in UNITLESS:
        refuse(counts() * factor, unitless)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("l2-per-pixel", "L2 norm 1"),
        ("minmax-per-band", "band .*0 to 1"),
        ("standardize-per-band", "band .*mean 0"),
    ],
)
def test_what_went_through_a_step_already_is_refused(normalization: str, step: str, words: str) -> None:
    normalized = Normalization.fit(step, counts()).apply(counts())
    if step == "l2-per-pixel" and normalization in UNITLESS:
        refuse(normalized, normalization)  # comes out as it went in
        return
    with pytest.raises(InvalidInputError, match=f"{words}"):
        refuse(normalized, normalization)


@pytest.mark.parametrize("within", [0.99, 1.01])
@pytest.mark.parametrize("way", [1, -1])
def test_a_factor_is_judged_at_its_threshold(within: float, way: int) -> None:
    factor = (within * FACTOR) ** way
    difference = compare_values(SOURCE, ValueSummary.of(counts() * factor))
    assert (difference.factor, difference.offset, difference.bands) == (within > 1, False, False)
    assert [name for name in NORMALIZATIONS if difference.allows(name)] == list(
        NORMALIZATIONS if within < 1 else UNITLESS
    )


def shifted(share: float) -> np.ndarray:
    """Counts whose floor is higher by a share: (dark + o) / (bright + o) = floor + share."""
    assert SOURCE.floor is not None
    cube = counts().astype(np.float64)
    low, high = 0.0, 1e5
    for _ in range(60):
        middle = (low + high) / 2
        floor = ValueSummary.of(cube + middle).floor
        assert floor is not None
        low, high = (middle, high) if floor < SOURCE.floor + share else (low, middle)
    return cube + low


@pytest.mark.parametrize("within", [0.98, 1.02])
def test_an_offset_is_judged_at_its_threshold(within: float) -> None:
    given = ValueSummary.of(shifted(within * OFFSET))
    for difference in (compare_values(SOURCE, given), compare_values(given, SOURCE)):
        assert (difference.factor, difference.offset, difference.bands) == (False, within > 1, False)
        allowed = [name for name in NORMALIZATIONS if difference.allows(name)]
        assert allowed == (list(NORMALIZATIONS) if within < 1 else ["derivative"])
    assert compare_values(SOURCE, given, declared=True) == ValueDifference()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_a_cube_divided_by_its_own_extremes_is_refused_whatever_the_step(normalization: str) -> None:
    cube = counts()
    own = (cube - cube.min()) / (cube.max() - cube.min())
    with pytest.raises(InvalidInputError, match=r"0 to 1.*normalized"):
        refuse(own, normalization)
    eight_bits = np.round(own * 255).astype(np.uint8)  # without the telling range
    with pytest.raises(InvalidInputError, match="0 to 255"):
        refuse(eight_bits, normalization)


@pytest.mark.parametrize("within", [0.9, 1.1])
def test_an_offset_of_a_cube_divided_by_its_own_extremes_is_judged_more_closely(within: float) -> None:
    """A factor alone would go out; the lowest number of the cube is what was subtracted."""
    cube = counts()
    dead = cube.copy()
    dead[0, 0, 0] = 0
    assert not compare_values(SOURCE, ValueSummary.of(dead / dead.max())).offset  # nothing was subtracted
    assert SOURCE.floor is not None
    source = ValueSummary.of(shifted(within * OWN_OFFSET))
    given = ValueSummary.of(dead / dead.max())
    assert given.own_extremes
    difference = compare_values(source, given)
    assert (difference.factor, difference.offset) == (True, within > 1)
    assert difference.allows("l2-per-pixel") == (within < 1)
    assert compare_values(given, source).offset is False  # the source's own extremes are what a model knows
    assert compare_values(source, given, declared=True).offset is False


def test_a_source_divided_by_its_own_extremes_takes_parts_of_itself() -> None:
    cube = counts()
    own = (cube - cube.min()) / (cube.max() - cube.min())
    source = ValueSummary.of(own)
    assert source.own_extremes
    for part in (own, own[:18], own[2:, 1:]):
        for normalization in NORMALIZATIONS:
            refuse(part, normalization, source)


def test_light_and_shadow_are_no_offset() -> None:
    light = np.random.default_rng(1).uniform(0.05, 1, size=(20, 15, 1))
    assert compare_values(SOURCE, ValueSummary.of(counts() * light)) == ValueDifference()


def test_few_dead_and_burnt_out_pixels_do_not_count() -> None:
    cube = counts()
    cube[0, 0], cube[1, 1] = 1e6, -1e6
    assert compare_values(SOURCE, ValueSummary.of(cube)) == ValueDifference()


def test_both_ways_look_for_a_normalized_source() -> None:
    scaled = ValueSummary.of(Normalization.fit("minmax-per-band", counts()).apply(counts()))
    assert compare_values(scaled, scaled) == ValueDifference()
    assert not compare_values(scaled, SOURCE).bands
    difference = compare_values(scaled, SOURCE, both_ways=True, names=("a", "b"))
    assert difference.bands
    assert difference.reasons[0].startswith("a was normalized already")
    assert not any(difference.allows(name) for name in NORMALIZATIONS)


def test_patches_and_few_pixels_may_be_of_water_alone() -> None:
    """They are judged by the range of the source's spectra, and a scene by its brightest numbers."""
    water = np.random.default_rng(0).uniform(0.01, 0.03, size=(40, 40, 8))
    land = np.random.default_rng(1).uniform(0.05, 0.6, size=(40, 40, 8))
    source = ValueSummary.of(np.concatenate([water, land]))
    side = int(LEAST_SPECTRA**0.5)
    assert compare_values(source, ValueSummary.of(water[:side, : side - 1])) == ValueDifference()
    assert compare_values(source, ValueSummary.of(water), is_part=True) == ValueDifference()
    assert compare_values(source, ValueSummary.of(water[:side, :side])).factor
    difference = compare_values(source, ValueSummary.of(1000 * water), is_part=True)
    assert (difference.factor, difference.offset) == (True, False)
    assert "brightness" in difference.reasons[0]


def test_other_bands_are_summarized_as_they_will_be_used() -> None:
    cube = counts()
    wide = np.concatenate([cube, np.full((20, 15, 30), 1.0, dtype=np.float32)], axis=2)
    assert compare_values(SOURCE, ValueSummary.of(wide)).offset
    found = ValueSummary.of(wide, prepare=lambda block: block[..., :8])
    assert found == SOURCE
    assert compare_values(SOURCE, found) == ValueDifference()


def test_summaries_of_earlier_versions_are_compared_by_what_they_have() -> None:
    values = {name: value for name, value in SOURCE.as_dict().items() if name not in ("magnitude", "floor")}
    old = ValueSummary.from_dict(values)
    assert (old.magnitude, old.floor) == (None, None)
    for factor in (0.1, 10):
        assert compare_values(old, ValueSummary.of(counts() * factor)).factor
    assert compare_values(old, ValueSummary.of(counts(3))) == ValueDifference()
    assert compare_values(old, ValueSummary.of(shifted(2 * OFFSET))).offset is False  # it shows nothing
    own = (counts() - counts().min()) / (counts().max() - counts().min())
    assert compare_values(old, ValueSummary.of(own)).offset  # its lowest number shows it


def test_the_source_s_unit_is_reported_where_it_is_known() -> None:
    with pytest.raises(InvalidInputError, match="reflectance"):
        refuse_other_values(SOURCE, ValueSummary.of(counts() * 100), normalization="none", unit="reflectance")


def test_a_source_that_was_normalized_in_its_file_takes_scenes_that_are() -> None:
    unit = ValueSummary.of(normalize_l2_per_pixel(counts()))
    assert unit.unit_norm
    refuse(normalize_l2_per_pixel(counts(3)), "none", unit)


def test_many_negative_numbers_are_refused_where_the_source_had_none() -> None:
    shifted = counts() - counts().mean(axis=(0, 1)) * 1.02
    for normalization in NORMALIZATIONS:
        with pytest.raises(InvalidInputError, match=r"negative.* 0%"):
            refuse(shifted, normalization)
    some = counts()
    some[:2] -= 8000  # noise around dark water
    refuse(some, "l2-per-pixel")


@pytest.mark.parametrize(
    ("cube", "message"),
    [
        (np.zeros((3, 4, 5)), "zero"),
        (np.zeros((0, 4, 5)), r"\(0, 4, 5\)"),
        (np.array([[[1.0, np.nan]]]), r"NaN.*band 1"),
    ],
)
def test_what_has_no_summary(cube: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ValueSummary.of(cube)


def test_what_is_no_summary_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="summary"):
        ValueSummary.from_dict({"low": 1})
