"""Regrets and rank correlations of small pools, computed by hand and by scipy."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from sceneshift.errors import InvalidInputError
from sceneshift.selection.regret import (
    Pool,
    chosen_accuracy,
    condensed,
    configuration_correlation,
    epoch_correlation,
    last_epoch_regret,
    oracle_accuracy,
    random_regret,
    rank_correlations,
    regret,
    worst_regret,
)

#: Two configurations, two seeds, three epochs.
ACCURACY = np.array([[[0.1, 0.5, 0.3], [0.2, 0.2, 0.4]], [[0.6, 0.4, 0.2], [0.5, 0.3, 0.1]]])


def pool(scores, accuracy=ACCURACY):
    return Pool(scores=np.asarray(scores, dtype=float), accuracy=accuracy)


def test_the_oracle_itself_has_no_regret():
    assert oracle_accuracy(pool(ACCURACY)).tolist() == [0.6, 0.5]
    assert chosen_accuracy(pool(ACCURACY)).tolist() == [0.6, 0.5]
    assert regret(pool(ACCURACY)) == 0


def test_regret_is_points_lost_per_seed():
    worst = pool(-ACCURACY)
    assert chosen_accuracy(worst).tolist() == [0.1, 0.1]
    assert regret(worst) == pytest.approx((50 + 40) / 2)
    assert worst_regret(worst) == pytest.approx(regret(worst))


def test_baselines_do_not_depend_on_scores():
    for scores in (ACCURACY, -ACCURACY, np.zeros_like(ACCURACY)):
        each = pool(scores)
        assert random_regret(each) == pytest.approx(100 * ((0.6 - 2.1 / 6) + (0.5 - 1.7 / 6)) / 2)
        assert last_epoch_regret(each) == pytest.approx(100 * ((0.6 - 0.25) + (0.5 - 0.25)) / 2)
        assert worst_regret(each) == pytest.approx(100 * ((0.6 - 0.1) + (0.5 - 0.1)) / 2)


def test_the_expected_regret_of_random_scores_is_that_of_random_choice():
    rng = np.random.default_rng(0)
    regrets = [regret(pool(rng.random(ACCURACY.shape))) for _ in range(4000)]
    assert np.mean(regrets) == pytest.approx(random_regret(pool(ACCURACY)), abs=1)


def test_a_criterion_of_the_last_epoch_is_compared_with_all_epochs():
    scores = np.full(ACCURACY.shape, np.nan)
    scores[:, :, -1] = [[0.9, 0.9], [0.1, 0.1]]
    assert chosen_accuracy(pool(scores)).tolist() == [0.3, 0.4]
    assert regret(pool(scores)) == pytest.approx((30 + 10) / 2)


def test_of_equal_scores_the_earlier_is_chosen():
    assert chosen_accuracy(pool(np.zeros_like(ACCURACY))).tolist() == [0.1, 0.2]


def test_scores_that_are_not_finite_are_never_chosen():
    scores = ACCURACY.copy()
    scores[1, 0, 0], scores[1, 1, 0] = np.inf, np.nan
    assert chosen_accuracy(pool(scores)).tolist() == [0.5, 0.4]


def test_epochs_without_recorded_accuracy_stay_out():
    accuracy, scores = ACCURACY.copy(), ACCURACY.copy()
    accuracy[1, :, 0] = scores[1, :, 0] = np.nan
    assert oracle_accuracy(pool(scores, accuracy)).tolist() == [0.5, 0.4]
    accuracy[:, 0, -1] = scores[:, 0, -1] = np.nan
    assert math.isnan(last_epoch_regret(pool(scores, accuracy)))


def test_correlation_over_configurations_takes_each_at_its_chosen_epoch():
    accuracy = np.array([[[0.1, 0.9]], [[0.5, 0.2]], [[0.3, 0.8]], [[0.7, 0.4]]])
    scores = np.array([[[1.0, 0.0]], [[0.0, 2.0]], [[3.0, np.nan]], [[4.0, 0.0]]])
    assert configuration_correlation(pool(scores, accuracy)) == pytest.approx(
        spearmanr([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.7]).statistic
    )
    assert configuration_correlation(pool(-scores, accuracy)) == pytest.approx(
        spearmanr([0, 0, -3, 0], [0.9, 0.5, 0.3, 0.4]).statistic
    )


def test_correlation_over_configurations_leaves_out_those_without_a_score():
    scores = np.array([[[1.0]], [[np.nan]], [[3.0]], [[2.0]]])
    accuracy = np.array([[[0.1]], [[0.9]], [[0.3]], [[0.2]]])
    assert configuration_correlation(pool(scores, accuracy)) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(20))
def test_a_condensed_pool_has_the_same_figures_to_the_last_bit(seed):
    rng = np.random.default_rng(seed)
    scores, accuracy = rng.integers(5, size=(6, 3, 4)).astype(float), rng.random((6, 3, 4))  # scores with ties
    scores[rng.random(scores.shape) < 0.3] = np.nan
    scores[0, :, 0] = 0.0  # every seed has one
    scores[5] = np.nan
    accuracy[np.isnan(scores) & (rng.random(scores.shape) < 0.3)] = np.nan
    whole = pool(scores, accuracy)
    small = condensed(whole)
    assert small.scores.shape == (6, 3, 2)
    for figure in (regret, configuration_correlation):
        assert figure(small) == figure(whole) or np.isnan([figure(small), figure(whole)]).all()


def test_correlation_over_epochs_is_the_mean_over_trainings():
    rng = np.random.default_rng(1)
    accuracy, scores = rng.random((3, 2, 8)), rng.random((3, 2, 8))
    scores[2, 1] = 0.5  # constant: no correlation
    expected = [spearmanr(scores[c, r], accuracy[c, r]).statistic for c, r in np.ndindex(3, 2) if (c, r) != (2, 1)]
    assert epoch_correlation(pool(scores, accuracy)) == pytest.approx(np.mean(expected))


def test_a_criterion_of_one_epoch_has_no_correlation_over_epochs():
    scores = np.full(ACCURACY.shape, np.nan)
    scores[:, :, -1] = 1
    assert math.isnan(epoch_correlation(pool(scores)))
    assert math.isnan(configuration_correlation(pool(scores)))


def test_rank_correlations_are_scipy_s_with_ties_and_gaps():
    rng = np.random.default_rng(2)
    scores, accuracy = rng.integers(0, 5, (2, 3, 30)).astype(float), rng.integers(0, 5, (2, 3, 30)).astype(float)
    scores[0, :, :3], accuracy[1, :, 2:6] = np.nan, np.nan
    result = rank_correlations(scores, accuracy)
    assert result.shape == (2, 3)
    for index in np.ndindex(2, 3):
        expected = spearmanr(scores[index], accuracy[index], nan_policy="omit").statistic
        assert result[index] == pytest.approx(expected)


@pytest.mark.parametrize("scores", [[1.0], [1.0, np.nan], [2.0, 2.0], []])
def test_rank_correlation_of_too_few_or_constant_figures_is_undefined(scores):
    assert math.isnan(rank_correlations(np.array(scores), np.arange(len(scores)) + 1.0))


@pytest.mark.parametrize(
    ("scores", "accuracy"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2))),
        (np.zeros((2, 1, 2)), np.zeros((2, 1, 3))),
        (np.zeros((0, 1, 2)), np.zeros((0, 1, 2))),
        (np.zeros((2, 1, 2)), np.full((2, 1, 2), 55.0)),
        (np.zeros((2, 1, 2)), np.full((2, 1, 2), np.nan)),
        (np.full((2, 1, 2), np.nan), np.zeros((2, 1, 2))),
    ],
)
def test_what_is_no_pool_is_rejected(scores, accuracy):
    with pytest.raises(InvalidInputError, match=r"expected|record|leave"):
        Pool(scores=scores, accuracy=accuracy)
