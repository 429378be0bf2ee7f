"""Paired differences, and which winners intervals carry."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.comparison.contrasts import (
    Reference,
    best_of,
    difference,
    differences_to,
    reference_label,
    simultaneous_level,
    winner,
)
from sceneshift.comparison.score_grid import make_grids

ONE_PAIR = {"west-east": "indian_pines"}
FIVE_GROUPS = {f"p{i}": f"g{i}" for i in range(5)}


def grid_of(results):
    (grid,) = make_grids(results)
    return grid


def test_a_difference_is_of_the_same_pair_and_seed(simulated):
    results = simulated({"a": 0.6, "b": 0.5}, failed=[("a", "sw-se", 1), ("b", "sw-se", 3)])
    grid = grid_of(results)
    found = difference(grid, "a", "b", pair="sw-se")
    by_seed = {(cell.label, cell.seed): cell.aa for cell in results.cells if cell.pair == "sw-se"}
    assert found.seeds == 3
    assert found.value == pytest.approx(np.mean([by_seed["a", s] - by_seed["b", s] for s in (0, 2, 4)]))
    everywhere = difference(grid, "a", "b", pair=None)
    assert (everywhere.groups, everywhere.pairs, everywhere.seeds) == (2, 3, 3)


def test_references_are_the_best_method_the_best_floor_and_erm(simulated):
    accuracies = {"svm": 0.6, "forest": 0.65, "cross_entropy": 0.5, "net": 0.8}
    grid = grid_of(simulated(accuracies, floors=("svm", "forest")))
    assert [reference_label(grid, each, pair=None) for each in Reference] == ["net", "cross_entropy", "forest"]
    found = differences_to(grid, Reference.FLOOR, pair="sw-se")
    assert [each.label for each in found] == ["svm", "cross_entropy", "net"]
    assert found[2].estimate.value == pytest.approx(0.15, abs=0.02)
    assert all(each.reference == "forest" for each in found)


def test_without_floors_or_erm_there_is_nothing_to_compare_with(simulated):
    grid = grid_of(simulated({"a": 0.5, "b": 0.6}))
    assert differences_to(grid, Reference.FLOOR, pair=None) == []
    assert differences_to(grid, Reference.ERM, pair="sw-se") == []


def test_a_method_that_is_better_by_far_wins(simulated):
    grid = grid_of(simulated({"a": 0.5, "b": 0.55, "far": 0.9}, pairs=FIVE_GROUPS))
    assert [winner(grid, pair=pair) for pair in (*FIVE_GROUPS, None)] == ["far"] * 6
    assert winner(grid, pair=None, figure="kappa") == "far"


def test_one_method_under_two_labels_does_not_win(simulated):
    results = simulated({"a": 0.5, "b": 0.9}, pairs=FIVE_GROUPS)
    twice = tuple(replace(cell, label="b again") for cell in results.cells if cell.label == "b")
    grid = grid_of(replace(results, cells=results.cells + twice))
    assert {winner(grid, pair=pair) for pair in (*FIVE_GROUPS, None)} == {None}


def test_labels_of_one_distribution_rarely_win(simulated):
    wins = {"one pair": 0, "groups": 0}
    repetitions = 120
    for draw in range(repetitions):
        results = simulated({"a": 0.7, "b": 0.7}, pairs={"p0": "g0", "p1": "g1", "p2": "g2"}, draw=draw)
        grid = grid_of(results)
        wins["one pair"] += winner(grid, pair="p0") is not None
        wins["groups"] += winner(grid, pair=None) is not None
    assert wins["one pair"] <= 0.1 * repetitions
    assert wins["groups"] <= 0.1 * repetitions


@pytest.mark.parametrize("pairs", [ONE_PAIR, FIVE_GROUPS])
def test_one_seed_never_wins(simulated, pairs):
    grid = grid_of(simulated({"a": 0.3, "far": 0.9}, pairs=pairs, seeds=(0,)))
    assert best_of(grid, grid.labels, pair=None) == "far"
    assert {winner(grid, pair=pair) for pair in (*pairs, None)} == {None}


def test_one_seed_left_by_failures_never_wins(simulated):
    failed = [("far", "p0", seed) for seed in (1, 2, 3, 4)]
    grid = grid_of(simulated({"a": 0.3, "far": 0.9}, pairs=FIVE_GROUPS, failed=failed))
    assert winner(grid, pair="p0") is None
    assert winner(grid, pair="p1") == "far"
    assert winner(grid, pair=None) is None


def test_one_group_never_wins_over_all_pairs(simulated):
    pairs = {"west-east": "indian_pines", "sw-se": "indian_pines"}
    grid = grid_of(simulated({"a": 0.3, "far": 0.9}, pairs=pairs))
    assert winner(grid, pair="sw-se") == "far"
    assert winner(grid, pair=None) is None


def test_a_method_without_a_pair_can_t_be_the_best_over_all(simulated):
    failed = [("far", "p0", seed) for seed in range(5)]
    grid = grid_of(simulated({"a": 0.3, "b": 0.4, "far": 0.9}, pairs=FIVE_GROUPS, failed=failed))
    assert best_of(grid, grid.labels, pair=None) == "b"
    assert winner(grid, pair=None) is None  # far is better where both have scores
    assert winner(grid, pair="p0") == "b"


def test_figures_that_don_t_vary_carry_no_winner(simulated):
    grid = grid_of(simulated({"svm": 0.6, "forest": 0.7}, floors=("svm", "forest"), pairs=ONE_PAIR))
    assert best_of(grid, grid.labels, pair="west-east") == "forest"
    assert winner(grid, pair="west-east") is None


def test_p_values_need_five_groups(simulated):
    accuracies = {"cross_entropy": 0.5, "a": 0.7, "b": 0.5}
    few = differences_to(grid_of(simulated(accuracies)), Reference.ERM, pair=None)
    assert all(math.isnan(each.p_value) for each in few)
    grid = grid_of(simulated(accuracies, pairs=FIVE_GROUPS))
    better, _ = differences_to(grid, Reference.ERM, pair=None)
    assert better.p_value == pytest.approx(2 / 32)
    assert better.adjusted_p_value == pytest.approx(2 * 2 / 32)
    assert all(math.isnan(each.p_value) for each in differences_to(grid, Reference.ERM, pair="p0"))


def test_several_intervals_at_once_are_wider():
    assert simultaneous_level(1) == pytest.approx(0.95)
    assert simultaneous_level(10) == pytest.approx(0.995)
