"""Units of a pair: what is declared, what the numbers say, and which normalizations are left."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.catalogue import units
from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.catalogue.units import (
    allowed_normalizations,
    describe_units,
    refuse_normalization,
    stated_units,
    unit_difference,
)
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.normalization import NORMALIZATIONS, UNITLESS, Normalization
from sceneshift.scenes.scene import Footprint, Scene
from sceneshift.scenes.value_summary import FACTOR
from sceneshift.splits.pair import ScenePair

KEEP_THE_UNIT = [name for name in NORMALIZATIONS if name not in UNITLESS]

Pair = Callable[..., ScenePair]


@pytest.fixture
def pair(make_scene: Callable[..., Scene]) -> Pair:
    """A pair whose target's numbers are the source's kind, times a factor; units as they are stated."""

    def build(factor: float = 1.0, *, source: str | None = None, target: str | None = None) -> ScenePair:
        other = make_scene(1, name="other")
        other = replace(other, cube=other.cube * np.float32(factor), unit=target)
        return ScenePair(name="p", sources=(replace(make_scene(), unit=source),), target=other.without_labels())

    return build


def turned(pair: ScenePair) -> ScenePair:
    """The target as the source and the other way round; what the labels are doesn't matter here."""
    shared = ("name", "cube", "wavelengths_nm", "footprint", "normalization", "unit")
    source = replace(pair.source, **{name: getattr(pair.target, name) for name in shared})
    return replace(pair, sources=(source,), target=pair.source.without_labels())


@pytest.mark.parametrize("factor", [1e-4, 0.01, 100, 1e4])
@pytest.mark.parametrize(
    ("source", "target"),
    [(None, None), ("reflectance", None), (None, "counts"), ("reflectance", "reflectance"), ("reflectance", "counts")],
)
def test_units_that_differ_leave_the_steps_in_which_they_cancel_whatever_words_are_declared(
    pair: Pair, factor: float, source: str | None, target: str | None
) -> None:
    one = pair(factor, source=source, target=target)
    for either in (one, turned(one)):
        assert allowed_normalizations(either) == UNITLESS
        for name in UNITLESS:
            refuse_normalization(either, name)
        for name in KEEP_THE_UNIT:
            with pytest.raises(InvalidInputError) as error:
                refuse_normalization(either, name)
            message = str(error.value)
            for scene in (either.source, either.target):
                assert f"{scene.name} runs from {scene.cube.min():g} to {scene.cube.max():g}" in message
            assert all(word in message for word in ("`unit`", "`scale`", "TOML", *UNITLESS))


@pytest.mark.parametrize("target", ["reflectance", "0–1 by its own extremes"])
def test_declared_units_account_for_an_offset_and_own_extremes(pair: Pair, target: str) -> None:
    def build(**units: str) -> ScenePair:
        one = pair(**units)
        cube = one.target.cube + np.float32(1)
        stretched = (cube - cube.min()) / (cube.max() - cube.min())
        return replace(
            one, sources=(replace(one.source, cube=one.source.cube + 1),), target=replace(one.target, cube=stretched)
        )

    declared = build(source="reflectance", target=target)
    assert allowed_normalizations(declared) == NORMALIZATIONS
    for name in NORMALIZATIONS:
        refuse_normalization(declared, name)
    for undeclared in (build(), build(source="reflectance"), build(target=target)):
        assert allowed_normalizations(undeclared) == ()
        for name in NORMALIZATIONS:
            with pytest.raises(InvalidInputError, match=r"in one unit.*from 0 to 1.*Declare"):
                refuse_normalization(undeclared, name)


@pytest.mark.parametrize(("within", "allowed"), [(0.99, NORMALIZATIONS), (1.01, UNITLESS)])
def test_the_factor_allowed_is_the_one_that_is_stated(pair: Pair, within: float, allowed: tuple[str, ...]) -> None:
    one = pair()
    for factor in (within * FACTOR, 1 / (within * FACTOR)):
        scaled = replace(one.source.without_labels(), name="other", footprint=None)
        scaled = replace(scaled, cube=scaled.cube * np.float32(factor), footprint=one.target.footprint)
        assert allowed_normalizations(replace(one, target=scaled)) == allowed


def test_an_offset_leaves_differences_of_bands(pair: Pair) -> None:
    one = pair()
    moved = replace(one, target=replace(one.target, cube=one.target.cube + np.float32(0.5)))
    assert allowed_normalizations(moved) == allowed_normalizations(turned(moved)) == ("derivative",)
    refuse_normalization(moved, "derivative")
    with pytest.raises(InvalidInputError, match=r"0\.1 ap"):
        refuse_normalization(moved, "l2-per-pixel")


@pytest.mark.parametrize("factor", [0.3, 1, 3])
def test_numbers_of_one_kind_need_no_declaration(pair: Pair, factor: float) -> None:
    assert unit_difference(pair(factor)) is None
    assert allowed_normalizations(pair(factor)) == allowed_normalizations(turned(pair(factor))) == NORMALIZATIONS


@pytest.mark.parametrize("step", ["l2-per-pixel", "minmax-per-band", "standardize-per-band"])
def test_numbers_normalized_already_are_of_another_unit(pair: Pair, step: str) -> None:
    one = pair()
    normalized = Normalization.fit(step, one.target.cube).apply(one.target.cube)
    one = replace(one, target=replace(one.target, cube=normalized))
    allowed = UNITLESS if step == "l2-per-pixel" else ()
    assert allowed_normalizations(one) == allowed_normalizations(turned(one)) == allowed
    both = replace(one, sources=(replace(one.source, cube=normalized),))
    assert allowed_normalizations(both) == NORMALIZATIONS


def test_regions_of_one_scene_are_in_one_unit_and_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [load_pair(NamedPair(name=name)) for name in ("west-east", "sw-se")]
    monkeypatch.delattr(units, "ValueSummary")
    for one in pairs:
        assert allowed_normalizations(one) == NORMALIZATIONS
        assert describe_units(one) is None


def test_cuts_of_one_acquisition_in_two_units_are_compared(pair: Pair) -> None:
    one = pair(1e4, source="reflectance")
    rows = one.source.shape[0]
    below = Footprint(parent=one.source.name, rows=(rows, 2 * rows), columns=one.source.footprint.columns)
    both = replace(one, target=replace(one.target, footprint=below))
    assert allowed_normalizations(both) == UNITLESS
    assert allowed_normalizations(replace(both, sources=(replace(both.source, unit=None),))) == NORMALIZATIONS


def test_an_unknown_step_is_reported(pair: Pair) -> None:
    with pytest.raises(InvalidInputError, match="'l2-per-pixel'"):
        refuse_normalization(pair(), "l2-per-pixl")


def test_a_scene_of_zeros_is_reported_by_name(pair: Pair) -> None:
    for declared in ({}, {"source": "counts", "target": "counts"}):
        with pytest.raises(InvalidInputError, match="scene 'other': every number"):
            allowed_normalizations(pair(0, **declared))


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (None, None, None),
        ("reflectance", "reflectance", "reflectance"),
        ("reflectance", "counts", "reflectance (tiny), counts (other)"),
        (None, "counts", "not stated (tiny), counts (other)"),
    ],
)
def test_units_are_reported_where_one_is_stated(
    pair: Pair, source: str | None, target: str | None, expected: str | None
) -> None:
    assert describe_units(pair(source=source, target=target)) == expected


def test_only_pairs_that_state_a_unit_are_listed(pair: Pair) -> None:
    silent, stated = replace(pair(), name="silent"), replace(pair(source="counts"), name="stated")
    assert stated_units([silent, stated]) == {"stated": "counts (tiny), not stated (other)"}
    assert stated_units([silent]) == {}


def test_the_check_needs_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, sceneshift.catalogue.units; sys.exit('torch' in sys.modules)"], check=False
    )
    assert done.returncode == 0
