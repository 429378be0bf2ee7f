"""The configurations that are trained: the published one first, the same on all pairs, within fixed settings."""

from dataclasses import asdict

import pytest

from sceneshift.comparison.configurations import TunedMethod, draw_seed
from sceneshift.comparison.spec import MethodEntry
from sceneshift.errors import InvalidInputError
from sceneshift.methods.registry import find_method
from sceneshift.training.data import DataSpec


@pytest.fixture
def tuned(spaces):
    def make(method, *, settings=None, profile="smoke-test"):
        space = None if method in ("logistic_regression", "rbf_svm", "random_forest") else spaces / f"{method}.py"
        entry = MethodEntry(method=method, label=method, space=space, settings=settings or {})
        return TunedMethod.load(entry, profile=profile)

    return make


@pytest.fixture
def pairs_of(unit_catalogue):
    def load(**catalogue):
        return DataSpec(pairs=("one-two",), catalogue=unit_catalogue(**catalogue), patch_size=5).load().pairs

    return load


def test_the_published_configuration_comes_first_within_the_profile(tuned, pairs_of):
    method = tuned("cross_entropy")
    assert method.largest_patch == 7
    found = method.configurations(num=4, seed=1, pairs=pairs_of())
    assert len(found) == len(set(found)) == 4
    assert (found[0].patch_size, found[0].lr, found[0].width) == (7, 1e-3, 32)
    assert all(config.patch_size in (5, 7) and config.width == 32 for config in found)
    assert found == method.configurations(num=4, seed=1, pairs=pairs_of())
    assert found[:3] == method.configurations(num=3, seed=1, pairs=pairs_of())
    assert found[1:] != method.configurations(num=4, seed=2, pairs=pairs_of())[1:]


def test_fixed_settings_are_in_every_configuration_and_change_no_draw(tuned, pairs_of):
    plain = tuned("cross_entropy").configurations(num=3, seed=0, pairs=pairs_of())
    method = tuned("cross_entropy", settings={"patch_size": 5, "width": 8})
    fixed = method.configurations(num=3, seed=0, pairs=pairs_of())
    assert method.largest_patch == 5
    assert {(config.patch_size, config.width) for config in fixed} == {(5, 8)}
    assert [config.lr for config in fixed] == [config.lr for config in plain]


@pytest.mark.parametrize("settings", [{"widht": 8}, {"width": -1}, {"width": "8"}, {"normalization": "l3"}])
def test_wrong_settings_are_refused(tuned, pairs_of, settings):
    with pytest.raises(InvalidInputError):
        tuned("cross_entropy", settings=settings).configurations(num=2, seed=0, pairs=pairs_of())


def test_a_floor_is_tuned_over_its_grid_with_the_default_first(tuned, pairs_of):
    method, default = tuned("rbf_svm"), find_method("rbf_svm").config_type()
    found = method.configurations(num=100, seed=0, pairs=pairs_of())
    assert len(found) == len({tuple(asdict(config).values()) for config in found}) == 9
    assert found[0] == default
    assert {config.C for config in found} == {1.0, 10.0, 100.0}
    few = method.configurations(num=4, seed=0, pairs=pairs_of())
    assert few == found[:4]
    assert few != method.configurations(num=4, seed=1, pairs=pairs_of())
    fixed = tuned("rbf_svm", settings={"C": 5.0}).configurations(num=100, seed=0, pairs=pairs_of())
    assert [config.C for config in fixed] == [5.0] * 3


def test_normalizations_that_the_units_don_t_allow_are_left_out(tuned, pairs_of):
    pairs = pairs_of(factor=1000.0)  # a factor leaves what begins with the L2 norm
    found = tuned("cross_entropy").configurations(num=8, seed=0, pairs=pairs)
    assert {config.normalization for config in found} <= {"l2-per-pixel", "l2-then-standardize", "derivative"}
    with pytest.raises(InvalidInputError):
        tuned("cross_entropy", settings={"normalization": "minmax-per-band"}).configurations(num=2, seed=0, pairs=pairs)


def test_a_profile_that_a_space_lacks_is_refused(tuned):
    with pytest.raises(InvalidInputError):
        tuned("cross_entropy", profile="laptopp")


def test_methods_of_one_name_share_draws_and_repeats_don_t():
    assert draw_seed(0, "cross_entropy", 0) == draw_seed(0, "cross_entropy", 0)
    assert len({draw_seed(0, "cross_entropy", 0), draw_seed(0, "cross_entropy", 1), draw_seed(0, "s2vnet", 0)}) == 3
