"""Intervals over resampled configurations and seeds."""

import math

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.selection.regret import Pool, configuration_correlation, epoch_correlation, regret, worst_regret
from sceneshift.selection.resampling import bootstrap, resampled_regrets


def pool(seed=0, *, informative=1.0, shape=(20, 2, 4)):
    """Scores that are accuracy plus noise."""
    rng = np.random.default_rng(seed)
    accuracy = rng.random(shape)
    return Pool(scores=informative * accuracy + 0.3 * rng.normal(size=shape), accuracy=accuracy)


def constant(accuracy=0.4):
    return Pool(scores=np.zeros((5, 2, 3)), accuracy=np.full((5, 2, 3), accuracy))


def test_resampled_pools_of_equal_candidates_lose_nothing():
    assert resampled_regrets(constant()).tolist() == [0.0] * 200


def test_resampled_regrets_are_between_none_and_the_worst():
    regrets = resampled_regrets(pool(), num_pools=50)
    assert regrets.shape == (50,)
    assert regrets.min() >= 0
    assert regrets.max() <= worst_regret(pool()) + 1e-9
    assert len(np.unique(regrets)) > 5


def test_resampled_pools_follow_the_seed():
    one, again, other = (resampled_regrets(pool(), num_pools=20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_oracle_s_scores_never_lose_in_any_pool():
    accuracy = np.random.default_rng(3).random((10, 2, 4))
    assert resampled_regrets(Pool(scores=accuracy, accuracy=accuracy)).max() == 0


def test_a_figure_is_the_mean_over_pools_within_its_interval():
    pools = [pool(seed) for seed in range(3)]
    interval = bootstrap(pools, regret, num_draws=200)
    assert interval.value == pytest.approx(np.mean([regret(each) for each in pools]))
    assert 0 <= interval.low <= interval.high
    correlation = bootstrap(pools, configuration_correlation, num_draws=200)
    assert correlation.low < correlation.value < correlation.high


def test_a_wider_level_gives_a_wider_interval():
    narrow, wide = (bootstrap([pool()], configuration_correlation, level=level, num_draws=200) for level in (0.5, 0.95))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_scores_that_show_nothing_have_a_correlation_interval_around_0():
    interval = bootstrap([pool(seed, informative=0.0) for seed in range(4)], configuration_correlation, num_draws=300)
    assert interval.low < 0 < interval.high
    informed = bootstrap([pool(seed) for seed in range(4)], configuration_correlation, num_draws=300)
    assert informed.low > 0


def test_a_difference_to_itself_is_0_and_to_a_worse_criterion_below_0():
    pools = [pool(seed) for seed in range(4)]
    itself = bootstrap(pools, regret, baseline=pools, num_draws=50)
    assert (itself.value, itself.low, itself.high) == (0, 0, 0)
    opposite = [Pool(scores=-each.scores, accuracy=each.accuracy) for each in pools]
    difference = bootstrap(pools, regret, baseline=opposite, num_draws=200)
    assert difference.value == pytest.approx(np.mean([*map(regret, pools)]) - np.mean([*map(regret, opposite)]))
    assert difference.high < 0


def test_the_same_draws_make_a_difference_narrower():
    pools = [pool(seed) for seed in range(4)]
    noise = np.random.default_rng(9).normal(size=pools[0].scores.shape)
    near = [Pool(scores=each.scores + 0.05 * noise, accuracy=each.accuracy) for each in pools]
    of = {"baseline": near, "num_draws": 100}
    paired = bootstrap(pools, configuration_correlation, **of)
    alone = [bootstrap(each, configuration_correlation, num_draws=100) for each in (pools, near)]
    assert paired.high - paired.low < min(one.high - one.low for one in alone) / 1.5


def test_a_pool_without_the_figure_leaves_the_mean():
    one_epoch = pool(1, shape=(20, 2, 1))
    assert math.isnan(epoch_correlation(one_epoch))
    both = bootstrap([pool(), one_epoch], epoch_correlation, num_draws=20)
    assert both.value == pytest.approx(epoch_correlation(pool()))
    neither = bootstrap([one_epoch], epoch_correlation, num_draws=20)
    assert math.isnan(neither.value)
    assert math.isnan(neither.low)
    assert math.isnan(neither.high)


def test_draws_without_any_score_are_repeated():
    scores = np.full((6, 1, 2), np.nan)
    scores[2] = 1.0
    accuracy = np.random.default_rng(0).random((6, 1, 2))
    regrets = resampled_regrets(Pool(scores=scores, accuracy=accuracy), num_pools=30)
    assert np.isfinite(regrets).all()


def test_what_cannot_be_drawn_is_rejected():
    with pytest.raises(InvalidInputError, match="at least 1"):
        resampled_regrets(pool(), num_pools=0)
    with pytest.raises(InvalidInputError, match="pool"):
        bootstrap([], regret)
    with pytest.raises(InvalidInputError, match="level"):
        bootstrap([pool()], regret, level=1.0)
    with pytest.raises(InvalidInputError, match="draw"):
        bootstrap([pool()], regret, num_draws=0)
    for baseline in ([pool(1)], [pool(), pool()]):
        with pytest.raises(InvalidInputError, match="baseline"):
            bootstrap([pool()], regret, baseline=baseline)
