"""Unmixing against a reference: least squares, endmembers found in the data, and the matching of both."""

import numpy as np
import pytest

from sceneshift.closing.unmixing_scores import (
    class_means,
    find_endmembers,
    least_squares_abundances,
    render_unmixing,
    score_unmixing,
)
from sceneshift.errors import InvalidInputError

MATERIALS = ("soil", "tree", "water", "road")


@pytest.fixture
def mixture():
    """Endmembers (20, 4) and 300 abundances, the first four pixels pure."""
    rng = np.random.default_rng(0)
    endmembers = rng.uniform(0.1, 1.0, (20, 4))
    abundances = np.vstack([np.eye(4), rng.dirichlet(np.ones(4), 296)])
    return endmembers, abundances


def score(mixture, endmembers=None, abundances=None, materials=MATERIALS):
    true_endmembers, true_abundances = mixture
    return score_unmixing(
        "way",
        endmembers=true_endmembers if endmembers is None else endmembers,
        abundances=true_abundances if abundances is None else abundances,
        reference_endmembers=true_endmembers,
        reference_abundances=true_abundances,
        materials=materials,
    )


@pytest.mark.parametrize("unit", [1.0, 1e4])
def test_least_squares_finds_known_abundances(mixture, unit):
    endmembers, abundances = mixture
    found = least_squares_abundances(unit * abundances @ endmembers.T, unit * endmembers)
    np.testing.assert_allclose(found, abundances, atol=1e-6)


def test_abundances_are_shares_of_noisy_pixels_too(mixture):
    endmembers, abundances = mixture
    spectra = abundances @ endmembers.T + np.random.default_rng(1).normal(0, 0.3, (300, 20))
    found = least_squares_abundances(spectra.astype(np.float32), endmembers)
    assert found.shape == (300, 4)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-4)
    # Constraints that bind: unconstrained least squares leaves the simplex for these pixels.
    free = np.linalg.lstsq(endmembers, spectra.T, rcond=None)[0].T
    assert (free < 0).any(axis=1).mean() > 0.2


def test_least_squares_is_the_best_point_of_the_simplex(mixture):
    endmembers, _ = mixture
    rng = np.random.default_rng(2)
    spectra = rng.uniform(0, 1, (10, 20))
    found = least_squares_abundances(spectra, endmembers)
    fault = np.linalg.norm(spectra - found @ endmembers.T, axis=1)
    for shares in (*rng.dirichlet(np.ones(4), 2000), *np.eye(4)):
        assert (fault <= np.linalg.norm(spectra - shares @ endmembers.T, axis=1) + 1e-6).all()


def test_the_pure_pixels_of_a_mixture_are_found(mixture):
    endmembers, abundances = mixture
    spectra = np.random.default_rng(3).permutation(abundances @ endmembers.T)
    found = find_endmembers(spectra, 4)
    assert found.shape == (20, 4)
    order = np.argsort(found[0])
    np.testing.assert_allclose(found[:, order], endmembers[:, np.argsort(endmembers[0])], rtol=1e-12)


def test_finding_leaves_the_spectra_alone(mixture):
    endmembers, abundances = mixture
    spectra = abundances @ endmembers.T
    before = spectra.copy()
    find_endmembers(spectra, 3)
    np.testing.assert_array_equal(spectra, before)


@pytest.mark.parametrize("number", [0, 4])
def test_more_endmembers_than_pixels_or_bands_are_refused(number):
    with pytest.raises(InvalidInputError, match=rf"{number}.*5 pixels.*3 bands"):
        find_endmembers(np.ones((5, 3)), number)
    with pytest.raises(InvalidInputError, match=rf"{number}.*3 pixels.*5 bands"):
        find_endmembers(np.ones((3, 5)), number)


def test_class_means_are_of_each_class(mixture):
    spectra = np.array([[1, 2], [3, 4], [10, 10]], dtype=np.float32)
    means = class_means(spectra, np.array([1, 1, 0]), 2)
    np.testing.assert_allclose(means, [[10, 2], [10, 3]])


def test_a_perfect_unmixing_has_no_error(mixture):
    scores = score(mixture)
    assert scores.abundance_rmse == 0
    np.testing.assert_allclose(scores.angles, 0, atol=1e-7)


def test_the_order_of_endmembers_is_nothing(mixture):
    endmembers, abundances = mixture
    rng = np.random.default_rng(4)
    shaken = endmembers + rng.normal(0, 0.02, endmembers.shape)
    wrong = rng.dirichlet(np.ones(4), 300)
    expected = score(mixture, shaken, wrong)
    for _ in range(5):
        order = rng.permutation(4)
        scores = score(mixture, shaken[:, order], wrong[:, order])
        assert scores.abundance_rmse == pytest.approx(expected.abundance_rmse)
        np.testing.assert_allclose(scores.rmse_per_material, expected.rmse_per_material)
        np.testing.assert_allclose(scores.angles, expected.angles)
    assert expected.abundance_rmse == pytest.approx(np.sqrt(((wrong - abundances) ** 2).mean()))
    assert expected.abundance_rmse**2 == pytest.approx((expected.rmse_per_material**2).mean())


def test_no_material_is_matched_twice(mixture):
    endmembers, _ = mixture
    # Both of the first are nearest to the first material; one of them has to take the second.
    alike = endmembers.copy()
    alike[:, 1] = endmembers[:, 0] * 2 + 0.001 * endmembers[:, 1]
    scores = score(mixture, alike)
    np.testing.assert_allclose(scores.rmse_per_material, 0)
    assert scores.angles[1] > 0.1
    assert scores.angles[0] == pytest.approx(0, abs=1e-6)


def test_angles_are_those_between_spectra_whatever_their_length():
    reference = np.array([[1.0, 0.0], [0.0, 1.0]])
    scores = score_unmixing(
        "way",
        endmembers=np.array([[0.0, 7.0], [5.0, 7.0]]),
        abundances=np.array([[1.0, 0.0]]),
        reference_endmembers=reference,
        reference_abundances=np.array([[0.0, 1.0]]),
        materials=("a", "b"),
    )
    np.testing.assert_allclose(np.degrees(scores.angles), [45, 0], atol=1e-5)
    assert scores.abundance_rmse == 0


def test_an_endmember_of_zeros_is_no_nan(mixture):
    endmembers, _ = mixture
    dark = endmembers.copy()
    dark[:, 2] = 0
    assert np.isfinite(score(mixture, dark).angles).all()


def test_shapes_that_do_not_fit_are_refused(mixture):
    endmembers, abundances = mixture
    for changes in ({"endmembers": endmembers[:-1]}, {"abundances": abundances[:-1]}, {"abundances": abundances.T}):
        with pytest.raises(InvalidInputError, match=r"\(20, 4\) and \(300, 4\)"):
            score(mixture, **changes)


def test_the_table_has_a_row_a_way(mixture):
    _, abundances = mixture
    half = score(mixture, abundances=np.full_like(abundances, 0.25))
    text = render_unmixing([score(mixture), half])
    header, rule, first, second = text.splitlines()
    assert header.startswith("| unmixing | abundance RMSE | RMSE soil | RMSE tree |")
    assert header.endswith("| angle water (deg) | angle road (deg) |")
    assert len({line.count("|") for line in (header, rule, first, second)}) == 1
    assert first == "| way | 0.000 | 0.000 | 0.000 | 0.000 | 0.000 | 0.0 | 0.0 | 0.0 | 0.0 |"
    assert f"| way | {half.abundance_rmse:.3f} | " in second
    assert half.abundance_rmse > 0.1
