"""The first sentence says what intervals support, and nothing more."""

import pytest

from sceneshift.comparison.contrasts import winner
from sceneshift.comparison.score_grid import make_grids
from sceneshift.comparison.verdict import Outcome, findings, network_verdicts, verdict_sentence

FLOORS = ("svm", "forest")


def grid_of(results):
    (grid,) = make_grids(results)
    return grid


def outcomes(grid, label):
    return next(v.outcomes for v in network_verdicts(grid) if v.label == label)


def test_a_network_is_better_worse_or_neither(simulated):
    accuracies = {"svm": 0.6, "forest": 0.65, "high": 0.9, "same": 0.65, "low": 0.3}
    grid = grid_of(simulated(accuracies, floors=FLOORS, spread=0.02))
    assert set(outcomes(grid, "high").values()) == {Outcome.BETTER}
    assert set(outcomes(grid, "same").values()) == {Outcome.SAME}
    assert set(outcomes(grid, "low").values()) == {Outcome.WORSE}
    assert list(outcomes(grid, "high")) == grid.scored_pairs


def test_intervals_are_wider_the_more_networks_are_compared(simulated):
    few = network_verdicts(grid_of(simulated({"svm": 0.6, "a": 0.7}, floors=FLOORS)))
    many = network_verdicts(grid_of(simulated({"svm": 0.6, **dict.fromkeys("abcde", 0.7)}, floors=FLOORS)))
    assert [verdict.level for verdict in few] == [0.95]
    assert [verdict.level for verdict in many] == pytest.approx([0.99] * 5)


def test_better_means_better_than_every_floor(simulated):
    grid = grid_of(simulated({"svm": 0.5, "forest": 0.7, "net": 0.7}, floors=FLOORS, spread=0.02))
    assert set(outcomes(grid, "net").values()) == {Outcome.SAME}


def test_one_seed_and_failed_pairs_have_no_outcome(simulated):
    grid = grid_of(simulated({"svm": 0.5, "net": 0.9}, floors=FLOORS, seeds=(0,)))
    assert set(outcomes(grid, "net").values()) == {Outcome.UNKNOWN}
    failed = [("net", "sw-se", seed) for seed in range(5)]
    grid = grid_of(simulated({"svm": 0.5, "net": 0.9}, floors=FLOORS, failed=failed))
    assert outcomes(grid, "net") == {
        "west-east": Outcome.BETTER,
        "sw-se": Outcome.UNKNOWN,
        "samson-jasper_ridge": Outcome.BETTER,
    }


def test_without_floors_there_are_no_verdicts(simulated):
    assert network_verdicts(grid_of(simulated({"a": 0.5, "b": 0.6}))) == []
    assert network_verdicts(grid_of(simulated({"svm": 0.5}, floors=FLOORS))) == []


def test_the_sentence_counts_pairs(simulated):
    """Golden: the wording is asserted here alone."""
    grid = grid_of(simulated({"svm": 0.6, "high": 0.9, "low": 0.5}, floors=FLOORS))
    assert verdict_sentence(grid) == (
        "The network with the highest mean AA, high, beats every floor on 3 of 3 pairs (95% intervals over seeds for "
        "all 2 networks at once)."
    )


@pytest.mark.parametrize("accuracy", [0.3, 0.6])
def test_the_sentence_doesn_t_hide_that_no_pair_is_won(simulated, accuracy):
    grid = grid_of(simulated({"svm": 0.6, "net": accuracy}, floors=FLOORS, spread=0.03))
    assert "0 of 3 pairs" in verdict_sentence(grid)


@pytest.mark.parametrize(
    "changes",
    [
        {"floors": ()},
        {"failed": [(label, "sw-se", seed) for label in ("net", "other") for seed in range(5)], "floors": ("svm",)},
        {"failed": [("net", "sw-se", 0), *(("other", "west-east", seed) for seed in range(5))], "floors": ("svm",)},
    ],
)
def test_a_network_is_named_only_with_scores_on_every_pair(simulated, changes):
    grid = grid_of(simulated({"svm": 0.6, "net": 0.9, "other": 0.95}, **changes))
    assert "other, " not in verdict_sentence(grid)


def test_findings_name_a_winner_only_if_there_is_one(simulated):
    groups = {f"p{i}": f"g{i}" for i in range(5)}
    far = grid_of(simulated({"cross_entropy": 0.5, "far": 0.9}, pairs=groups))
    even = grid_of(simulated({"cross_entropy": 0.7, "far": 0.7}, pairs=groups))
    assert winner(far, pair=None) == "far"
    assert winner(even, pair=None) is None
    told, of_even = (" ".join(findings(grid)) for grid in (far, even))
    assert "don't exclude" not in told
    assert "don't exclude" in of_even
    assert "cross_entropy, over 5 groups" in told
