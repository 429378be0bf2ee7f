"""Intervals and p-values: against formulas, and how often they contain the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from sceneshift.comparison.statistics import (
    group_means,
    holm,
    mean_and_deviation,
    over_groups,
    over_seeds,
    sign_flip_p_value,
)
from sceneshift.errors import InvalidInputError

NOTHING = math.nan


def coverage(estimates, truth):
    intervals = [estimate.interval() for estimate in estimates]
    return np.mean([interval.low <= truth <= interval.high for interval in intervals])


def test_mean_and_deviation_leave_out_what_is_missing():
    mean, deviation, num = mean_and_deviation(np.array([0.5, NOTHING, 0.7]))
    assert mean == pytest.approx(0.6)
    assert deviation == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert num == 2


def test_one_value_has_no_deviation_and_none_no_mean():
    mean, deviation, num = mean_and_deviation(np.array([0.5, NOTHING]))
    assert (mean, num) == (0.5, 1)
    assert math.isnan(deviation)
    mean, deviation, num = mean_and_deviation(np.array([NOTHING]))
    assert math.isnan(mean)
    assert num == 0


def test_an_interval_over_seeds_is_student_s_up_to_the_draws():
    values = np.array([0.3, -0.1, 0.4, 0.2, 0.7])
    found = over_seeds(values, num_draws=100_000)
    low, high = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.interval().low, found.interval().high) == pytest.approx((low, high), abs=0.01)
    assert (found.seeds, found.freedom, found.pairs, found.groups) == (5, 4, 1, 1)
    wider = found.interval(0.99)
    assert wider.low < found.interval().low < found.interval().high < wider.high


def test_a_missing_seed_reduces_the_number_and_is_no_zero():
    values = np.array([0.3, NOTHING, 0.4, 0.2])
    assert over_seeds(values) == over_seeds(values[~np.isnan(values)])
    assert over_seeds(values).value == pytest.approx(0.3)
    assert over_seeds(values).seeds == 3


@pytest.mark.parametrize("values", [[0.3], [0.3, NOTHING], [NOTHING, NOTHING], [0.2, 0.2, 0.2], [0.1 + 0.2, 0.3]])
def test_without_two_values_that_differ_there_is_no_interval(values):
    interval = over_seeds(np.array(values)).interval()
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_intervals_over_seeds_contain_the_truth_as_often_as_they_say(num_seeds):
    rng = np.random.default_rng(num_seeds)
    estimates = [over_seeds(rng.normal(0.5, 1, num_seeds), num_draws=400) for _ in range(1000)]
    assert 0.93 <= coverage(estimates, 0.5) <= 0.97


def test_percentiles_of_five_values_would_be_too_narrow():
    rng = np.random.default_rng(0)
    contained = 0
    for _ in range(1000):
        values = rng.normal(0.5, 1, 5)
        low, high = np.quantile(values[rng.integers(5, size=(400, 5))].mean(axis=1), (0.025, 0.975))
        contained += low <= 0.5 <= high
    assert contained / 1000 < 0.88


@pytest.mark.parametrize(
    ("num_groups", "pairs_per_group", "between", "seeds"), [(5, 1, 1.0, 1.0), (3, 2, 2.0, 1.0), (2, 1, 1.0, 0.1)]
)
def test_intervals_over_groups_contain_the_truth_at_least_as_often_as_they_say(
    num_groups, pairs_per_group, between, seeds
):
    rng = np.random.default_rng(7)
    groups = [f"g{g}" for g in range(num_groups) for _ in range(pairs_per_group)]
    estimates = []
    for _ in range(300):
        of_groups = np.repeat(rng.normal(0, between, num_groups), pairs_per_group)
        values = 0.5 + of_groups[:, None] + rng.normal(0, seeds, (len(groups), 4))
        estimates.append(over_groups(values, groups, num_draws=300))
    assert coverage(estimates, 0.5) >= 0.92


def width(values, groups):
    interval = over_groups(np.array(values), groups).interval()
    return interval.high - interval.low


def test_two_pairs_of_one_group_don_t_narrow_the_interval_as_two_groups_do():
    rng = np.random.default_rng(3)
    first, second, third = (mean + rng.normal(0, 0.01, 5) for mean in (0.1, 0.2, 0.3))
    again = first + rng.normal(0, 0.01, 5)
    two = width([first, third], ["a", "b"])
    same_group = width([first, again, third], ["a", "a", "b"])
    another_group = width([first, second, third], ["a", "c", "b"])
    assert another_group < 0.5 * two
    assert same_group > 0.9 * two


def test_groups_count_alike_whatever_their_number_of_pairs():
    values = np.array([[0.1, 0.1], [0.3, 0.3], [0.8, 0.8]])
    assert over_groups(values, ["a", "a", "b"]).value == pytest.approx(0.5)
    assert group_means(values, ["a", "a", "b"]) == pytest.approx({"a": 0.2, "b": 0.8})


def test_a_pair_without_values_is_left_out_of_groups():
    values = np.array([[0.1, 0.2], [NOTHING, NOTHING], [0.5, NOTHING]])
    found = over_groups(values, ["a", "b", "c"])
    assert (found.groups, found.pairs, found.seeds) == (2, 2, 1)
    assert found.value == pytest.approx((0.15 + 0.5) / 2)


def test_one_group_has_no_interval_over_groups():
    rng = np.random.default_rng(0)
    found = over_groups(rng.normal(size=(3, 5)), ["a", "a", "a"])
    assert found.groups == 1
    assert math.isnan(found.interval().low)
    nothing = over_groups(np.full((2, 3), NOTHING), ["a", "b"])
    assert math.isnan(nothing.value)
    assert nothing.groups == 0


def test_groups_must_fit_the_values():
    with pytest.raises(InvalidInputError):
        over_groups(np.zeros((2, 3)), ["a"])
    with pytest.raises(InvalidInputError):
        group_means(np.zeros(2), ["a", "b"])


def test_the_same_values_give_the_same_interval():
    values = np.random.default_rng(1).normal(size=(3, 4))
    assert over_groups(values, "abc") == over_groups(values, "abc")


def test_a_p_value_needs_five_groups_and_counts_flips():
    assert math.isnan(sign_flip_p_value([0.1, 0.2, 0.3, 0.4]))
    assert sign_flip_p_value([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(2 / 32)
    assert sign_flip_p_value([-0.1, -0.2, -0.3, -0.4, -0.5, -0.6]) == pytest.approx(2 / 64)
    assert sign_flip_p_value([0.0] * 5) == 1
    # Flips that are at least as far from 0: none, only the smallest, and their mirror images.
    assert sign_flip_p_value([0.1, 1.0, 1.0, 1.0, -0.05]) == pytest.approx(4 / 32)


def test_holm_multiplies_the_smallest_by_the_number_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    adjusted = holm([NOTHING, 0.02])
    assert math.isnan(adjusted[0])
    assert adjusted[1] == 0.02
