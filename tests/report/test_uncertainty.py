import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.report.uncertainty import FieldCounts, bootstrap_difference, bootstrap_fields


def counts(classes, predicted):
    return FieldCounts(classes=np.array(classes), predicted=np.array(predicted))


def test_a_map_is_counted_field_by_field():
    truth = np.zeros((6, 8), dtype=int)
    truth[0:2, 0:2] = 1
    truth[4:6, 0:3] = 1
    truth[0:3, 5:7] = 2
    class_map = np.ones((6, 8), dtype=int)
    class_map[0, 5:7] = 2
    class_map[5, 2] = 3
    found = FieldCounts.of_map(truth, class_map, num_classes=3)
    assert sorted(zip(found.classes.tolist(), found.predicted.tolist(), strict=True)) == [
        (0, [4, 0, 0]),
        (0, [5, 0, 1]),
        (1, [4, 2, 0]),
    ]
    assert found.fields_per_class.tolist() == [2, 1, 0]
    assert found.scores().confusion.tolist() == [[9, 0, 1], [4, 2, 0], [0, 0, 0]]


def test_where_all_fields_are_right_the_interval_is_one_to_one():
    intervals = bootstrap_fields(counts([0, 0, 1, 1], [[5, 0], [9, 0], [0, 3], [0, 8]]))
    for interval in (*intervals.per_class, intervals.oa, intervals.aa, intervals.kappa):
        assert (interval.value, interval.low, interval.high) == (1, 1, 1)


def test_one_big_wrong_field_of_two_leaves_everything_open():
    # Drawn twice, once or never, each in a quarter, half, quarter of the draws: 0, 10/1000, 1.
    (interval, _) = bootstrap_fields(counts([0, 0, 1], [[10, 0], [0, 990], [0, 5]])).per_class
    assert interval.value == pytest.approx(0.01)
    assert (interval.low, interval.high) == (0, 1)


def test_the_interval_is_that_of_fields_and_not_of_pixels():
    many = bootstrap_fields(counts([0] * 40, [[50, 0], [0, 50]] * 20)).per_class[0]
    # Of 40 independent fields, half of them right: 1.96 standard errors are 0.155; of 2000 pixels they would be 0.022.
    assert many.value == 0.5
    assert many.high - many.low == pytest.approx(0.31, abs=0.04)


def test_a_single_field_has_no_interval_and_the_others_have():
    found = bootstrap_fields(counts([0, 1, 1], [[3, 1], [0, 4], [4, 0]]))
    single, pair = found.per_class
    assert (single.value, single.fields, single.is_known) == (0.75, 1, False)
    assert (pair.low, pair.high, pair.fields) == (0, 1, 2)
    assert found.aa.is_known
    assert not bootstrap_fields(counts([0, 1], [[3, 1], [0, 4]])).aa.is_known


def test_a_class_without_fields_has_no_value():
    found = bootstrap_fields(counts([0, 0], [[3, 1, 0], [4, 0, 0]]))
    assert np.isnan(found.per_class[2].value)
    assert found.aa.value == pytest.approx(7 / 8)


def test_a_seed_gives_the_same_draws():
    made = counts([0] * 9, [[i, 9 - i] for i in range(9)])
    one, again, other = (bootstrap_fields(made, seed=seed, num_draws=50).oa for seed in (1, 1, 2))
    assert one == again != other


def test_a_difference_is_drawn_on_the_same_fields_for_both():
    one = counts([0, 0, 0, 1, 1], [[9, 1], [1, 9], [10, 0], [0, 5], [0, 5]])
    other = counts([0, 0, 0, 1, 1], [[8, 2], [0, 10], [9, 1], [0, 5], [0, 5]])
    # Every field of class 0 is a tenth better: however the fields are drawn, so is the difference.
    difference = bootstrap_difference(one, other)["aa"]
    assert (difference.value, difference.low, difference.high) == pytest.approx((0.05, 0.05, 0.05))
    assert bootstrap_difference(one, one)["kappa"].high == 0


def test_maps_of_different_fields_are_refused():
    with pytest.raises(InvalidInputError, match="different fields"):
        bootstrap_difference(counts([0, 1], [[3, 1], [0, 4]]), counts([0, 1], [[3, 1], [0, 5]]))


@pytest.mark.parametrize(
    ("classes", "predicted", "expected"),
    [([0], [[1, 0], [0, 1]], "1,"), ([0, 2], [[1, 0], [0, 1]], "classes 0..2"), ([0, 1], [[1, 0], [0, 0]], "a pixel")],
)
def test_counts_that_are_none_are_refused(classes, predicted, expected):
    with pytest.raises(InvalidInputError, match=expected):
        counts(classes, predicted)
