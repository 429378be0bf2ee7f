"""The estimate of accuracy: right without a shift, corrected by other pairs, with intervals that cover."""

import math

import numpy as np
import pytest
from scipy.stats import t as student_t

from sceneshift.errors import InvalidInputError
from sceneshift.selection.accuracy_estimate import Calibration, calibrate, estimate_accuracy
from sceneshift.selection.agreement import target_agreement
from sceneshift.selection.confidence import atc, doc

RESIDUALS = {"a": [-0.05, -0.07], "b": [-0.10], "c": [-0.12, -0.10, -0.08]}


def pixels(num, seed, scale=1.0):
    """Logits and labels of a network that is right on some two thirds of the pixels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, num)
    return scale * (2 * np.eye(4)[labels] + 1.5 * rng.normal(size=(num, 4))), labels


@pytest.fixture
def source():
    return pixels(300, 0)


def test_without_a_shift_it_is_the_source_accuracy(source):
    logits, labels = source
    estimate = estimate_accuracy(logits, labels, logits, residuals={}, num_draws=50)
    accuracy = np.mean(logits.argmax(axis=1) == labels)
    assert estimate.value == estimate.uncorrected == pytest.approx(accuracy)
    assert estimate.parts == pytest.approx({"atc": accuracy, "doc": accuracy})
    assert estimate.assumes_source_proportions


def test_it_is_the_median_of_the_single_estimates(source):
    target = pixels(200, 1, scale=0.5)[0]
    seeds = np.stack([target, pixels(200, 2, scale=0.5)[0], pixels(200, 3)[0]])
    two = estimate_accuracy(*source, target, residuals={}, num_draws=2)
    assert two.parts == pytest.approx({"atc": atc(*source, target), "doc": doc(*source, target)})
    assert two.uncorrected == pytest.approx(np.mean(list(two.parts.values())))
    three = estimate_accuracy(*source, target, residuals={}, seeds_target_logits=seeds, num_draws=2)
    assert three.parts == pytest.approx(two.parts | {"agreement": target_agreement(seeds)})
    assert three.uncorrected == pytest.approx(np.median(list(three.parts.values())))


def test_single_estimates_stay_within_0_to_1():
    logits = np.tile([[3.0, 0.0]], (20, 1))
    wrong = np.ones(20, dtype=int)
    estimate = estimate_accuracy(logits, wrong, logits / 4, residuals={}, num_draws=5)
    assert estimate.parts["doc"] == 0


def test_residuals_of_other_groups_correct_it(source):
    target = pixels(200, 1)[0]
    estimate = estimate_accuracy(*source, target, residuals=RESIDUALS, num_draws=100)
    assert estimate.value == pytest.approx(estimate.uncorrected - (0.06 + 0.10 + 0.10) / 3)
    assert estimate.is_calibrated
    assert estimate.num_groups == 3
    half = student_t.ppf(0.95, 2) * math.hypot(estimate.calibration_deviation, estimate.sampling_deviation)
    assert estimate.high - estimate.value == pytest.approx(half)
    assert estimate.value - estimate.low == pytest.approx(half)


@pytest.mark.parametrize("residuals", [{}, {"a": [-0.1, -0.2, -0.15]}])
def test_with_fewer_than_two_groups_the_interval_is_everything(source, residuals):
    estimate = estimate_accuracy(*source, source[0], residuals=residuals, num_draws=10)
    assert (estimate.low, estimate.high) == (0, 1)
    assert estimate.value == estimate.uncorrected
    assert not estimate.is_calibrated
    assert math.isnan(estimate.calibration_deviation)
    assert estimate.num_groups == len(residuals)


def test_the_interval_widens_with_fewer_groups_of_the_same_spread():
    def width(num_groups):
        residuals = {str(g): [0.05 * (-1) ** g] for g in range(num_groups)}
        _, low, high = calibrate(residuals).interval(0.5, sampling_deviation=0.0, level=0.9)
        return high - low

    assert width(2) > width(4) > width(8) > width(16)
    assert width(2) > 2 * width(4)


def test_the_interval_widens_with_fewer_pixels(source):
    target, _ = pixels(400, 1)
    few, many = (
        estimate_accuracy(source[0][:n], source[1][:n], target[:n], residuals=RESIDUALS, num_draws=200)
        for n in (30, 300)
    )
    assert few.sampling_deviation > 2 * many.sampling_deviation
    assert few.high - few.low > many.high - many.low


def test_more_pairs_of_one_group_are_not_more_groups():
    few, many = calibrate({"a": [0.25], "b": [-0.25]}), calibrate({"a": [0.25] * 50, "b": [-0.25] * 50})
    assert few == many
    assert few.num_groups == 2
    assert few.deviation == pytest.approx(math.sqrt(0.125 * 1.5))


def test_spread_within_groups_counts_for_a_single_new_pair():
    calibration = calibrate({"a": [0.1, -0.1], "b": [0.1, -0.1]})
    assert calibration.bias == pytest.approx(0)
    assert calibration.deviation == pytest.approx(math.sqrt(0.02 * (1 - 1 / 2)))


def coverage(*, num_groups, within, repetitions=1000):
    """How often intervals contain a new pair of a new group, under the model that they assume."""
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(repetitions):
        means = 0.02 + 0.02 * rng.normal(size=num_groups + 1)
        residuals = {str(g): means[g] + within * rng.normal(size=3) for g in range(num_groups)}
        truth = 0.5 + means[-1] + within * rng.normal()
        _, low, high = calibrate(residuals).interval(0.5, sampling_deviation=0.0, level=0.9)
        covered += low <= truth <= high
    return covered / repetitions


@pytest.mark.parametrize("num_groups", [2, 3, 6])
def test_intervals_cover_as_often_as_they_say(num_groups):
    assert coverage(num_groups=num_groups, within=0.0) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("num_groups", [2, 6])
def test_intervals_cover_at_least_as_often_if_pairs_of_a_group_differ(num_groups):
    assert coverage(num_groups=num_groups, within=0.04) > 0.87


def test_an_interval_ends_at_0_and_1():
    value, low, high = Calibration(bias=0.3, deviation=0.1, num_groups=3).interval(
        0.9, sampling_deviation=0.0, level=0.9
    )
    assert (value, high) == (1, 1)
    assert low == pytest.approx(1.2 - 0.1 * student_t.ppf(0.95, 2))


def test_the_sampling_deviation_is_that_of_repeated_samples():
    estimates, reported = [], []
    for seed in range(40):
        logits, labels = pixels(300, 10 + seed)
        target, _ = pixels(400, 1000 + seed)
        estimate = estimate_accuracy(logits, labels, target, residuals={}, num_draws=60)
        estimates.append(estimate.uncorrected)
        reported.append(estimate.sampling_deviation)
    assert np.mean(reported) == pytest.approx(np.std(estimates), rel=0.35)


def test_the_same_seed_gives_the_same_estimate(source):
    target = pixels(100, 1)[0]
    one, again = (estimate_accuracy(*source, target, residuals=RESIDUALS, num_draws=20) for _ in range(2))
    other = estimate_accuracy(*source, target, residuals=RESIDUALS, num_draws=20, seed=1)
    assert one == again
    assert one.value == other.value
    assert one.sampling_deviation != other.sampling_deviation


def test_proportions_of_the_target_can_be_passed(source):
    logits, labels = source
    hits = logits.argmax(axis=1) == labels
    only = np.array([0.0, 0.0, 1.0, 0.0])
    estimate = estimate_accuracy(logits, labels, logits[labels == 2], residuals={}, proportions=only, num_draws=10)
    assert estimate.value == pytest.approx(hits[labels == 2].mean())
    assert not estimate.assumes_source_proportions


@pytest.mark.parametrize(
    "arguments",
    [
        {"target_logits": np.zeros((5, 3))},
        {"target_logits": np.full((5, 4), np.nan)},
        {"seeds_target_logits": np.zeros((2, 4, 4))},
        {"seeds_target_logits": np.zeros((1, 5, 4))},
        {"seeds_target_logits": np.full((2, 5, 4), np.nan)},
        {"proportions": np.ones(3)},
        {"residuals": {"a": []}},
        {"residuals": {"a": [np.nan], "b": [0.1]}},
        {"residuals": {"a": [12.0], "b": [0.1]}},
        {"level": 1.0},
        {"num_draws": 1},
    ],
    ids=str,
)
def test_what_does_not_fit_is_rejected(source, arguments):
    known = {"target_logits": np.zeros((5, 4)), "residuals": {}}
    with pytest.raises(InvalidInputError):
        estimate_accuracy(*source, **known | arguments)
