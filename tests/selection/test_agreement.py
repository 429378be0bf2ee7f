"""Agreement of seeds, and of a candidate with the ensemble of all."""

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from sceneshift.errors import InvalidInputError
from sceneshift.selection.agreement import (
    agreeing_pixels,
    ensemble_agreement,
    ensemble_probabilities,
    seed_agreement,
    target_agreement,
)


def confident(classes, num_classes=3):
    return 20.0 * np.eye(num_classes)[np.asarray(classes)]


def test_seeds_that_predict_alike_agree_fully():
    classes = np.array([[0, 1, 2, 0]] * 3)
    assert target_agreement(confident(classes)) == 1
    assert seed_agreement(confident(classes), confident(np.stack([classes, classes], axis=1))) == 1


def test_agreement_on_the_target_is_the_mean_share_over_pairs_of_seeds():
    logits = confident([[0, 1, 2, 0], [0, 1, 1, 0], [0, 2, 1, 1]])
    np.testing.assert_allclose(agreeing_pixels(logits), [1, 1 / 3, 1 / 3, 1 / 3])
    assert target_agreement(logits) == pytest.approx((3 / 4 + 1 / 4 + 2 / 4) / 3)


def test_agreement_on_the_source_is_the_mean_kappa_over_pairs_and_copies():
    rng = np.random.default_rng(0)
    classes, shifted = rng.integers(0, 3, (3, 50)), rng.integers(0, 3, (3, 2, 50))
    shifted[1] = shifted[0]
    sets = [classes, shifted[:, 0], shifted[:, 1]]
    kappas = [cohen_kappa_score(of[a], of[b]) for of in sets for a, b in ((0, 1), (0, 2), (1, 2))]
    assert seed_agreement(confident(classes), confident(shifted)) == pytest.approx(np.mean(kappas))


def test_seeds_that_predict_one_class_everywhere_agree_on_nothing():
    classes = np.zeros((2, 5), dtype=int)
    assert seed_agreement(confident(classes), confident(classes[:, np.newaxis])) == 0
    assert target_agreement(confident(classes)) == 1  # as published


def test_one_seed_has_nobody_to_agree_with():
    one = confident([[0, 1, 2]])
    with pytest.raises(InvalidInputError, match="another seed"):
        target_agreement(one)
    with pytest.raises(InvalidInputError, match="another seed"):
        seed_agreement(one, one[:, np.newaxis])


def test_the_ensemble_is_the_mean_of_probabilities():
    ensemble = ensemble_probabilities(iter([np.log([[3.0, 1.0]]), np.array([[0.0, 0.0]], dtype=np.float16)]))
    np.testing.assert_allclose(ensemble, [[(0.75 + 0.5) / 2, (0.25 + 0.5) / 2]])


def test_a_single_candidate_agrees_with_itself():
    logits = np.random.default_rng(1).normal(size=(30, 4))
    assert ensemble_agreement(logits, ensemble_probabilities([logits])) == 1


def test_the_candidate_nearest_to_the_others_agrees_most():
    candidates = [confident(classes) for classes in ([0, 1, 2, 0], [0, 1, 2, 1], [2, 0, 2, 1])]
    ensemble = ensemble_probabilities(candidates)
    assert [ensemble_agreement(candidate, ensemble) for candidate in candidates] == [3 / 4, 1, 2 / 4]


def test_the_order_of_candidates_changes_nothing():
    candidates = np.random.default_rng(2).normal(size=(5, 30, 4))
    np.testing.assert_allclose(ensemble_probabilities(candidates), ensemble_probabilities(candidates[::-1]))


def test_a_candidate_that_diverged_is_left_out():
    logits = np.random.default_rng(3).normal(size=(5, 4))
    np.testing.assert_array_equal(
        ensemble_probabilities([np.full((5, 4), np.nan), logits]), ensemble_probabilities([logits])
    )
    assert math.isnan(ensemble_agreement(np.full((5, 4), np.nan), ensemble_probabilities([logits])))


@pytest.mark.parametrize("candidates", [[], [np.full((2, 3), np.nan)], [np.zeros((2, 3)), np.zeros((3, 3))]])
def test_an_ensemble_of_nobody_or_of_different_pixels_is_rejected(candidates):
    with pytest.raises(InvalidInputError, match="candidate"):
        ensemble_probabilities(candidates)
