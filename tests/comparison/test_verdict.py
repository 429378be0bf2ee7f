"""The first sentence says what intervals support, and nothing more."""

import pytest

from sceneshift.comparison.contrasts import Reference, differences_to, winner
from sceneshift.comparison.difference_tables import floors_table
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


def clashing(simulated):
    """Two pairs on which ``net`` is worse than the floor at 95 %, and not at the level for four networks."""
    accuracies = {"svm": 0.65, "net": 0.63, **dict.fromkeys("abc", 0.5)}
    return grid_of(simulated(accuracies, floors=("svm",), seeds=range(3), spread=0.012))


def test_what_single_intervals_decide_otherwise_is_said_beside_the_verdict(simulated):
    grid = clashing(simulated)
    verdict = next(each for each in network_verdicts(grid) if each.label == "net")
    assert verdict.differing() == {Outcome.WORSE: ["west-east", "sw-se"]}
    assert {verdict.outcomes[pair] for pair in ("west-east", "sw-se")} == {Outcome.SAME}
    pictured = {each.label: each.estimate.interval() for each in differences_to(grid, Reference.FLOOR, pair="sw-se")}
    assert pictured["net"].high < 0
    for text in (verdict_sentence(grid), floors_table(grid).caption):
        assert "worse than the best floor on west-east, sw-se" in text
    assert "4 networks are judged at once" in verdict_sentence(grid)


def test_nothing_more_is_said_where_single_intervals_decide_the_same(simulated):
    grid = grid_of(simulated({"svm": 0.6, "high": 0.9, "low": 0.5}, floors=FLOORS))
    assert [verdict.differing() for verdict in network_verdicts(grid)] == [{}, {}]
    assert "Taken alone" not in verdict_sentence(grid) + floors_table(grid).caption


def test_with_one_group_of_scenes_the_pairs_are_told_on_which_a_method_is_best(simulated):
    one_group = {"a-b": "flight", "a-c": "flight"}
    far = findings(grid_of(simulated({"cross_entropy": 0.5, "far": 0.9}, pairs=one_group)))
    even = findings(grid_of(simulated({"cross_entropy": 0.7, "far": 0.7}, pairs=one_group)))
    assert "no interval over pairs; on a-b and a-c far is shown to be best" in far[0]
    assert "no interval over pairs; on no pair is a method shown to be best" in even[0]
    alone = findings(grid_of(simulated({"cross_entropy": 0.5, "far": 0.9}, pairs={"a-b": "flight"})))
    assert "on a-b far is shown to be best" in alone[0]
    assert "over all pairs" not in alone[0].lower()
    single = findings(grid_of(simulated({"cross_entropy": 0.5, "far": 0.9}, pairs=one_group, seeds=(0,))))
    assert "shown to be best" not in single[0]


@pytest.mark.parametrize(
    ("pairs", "has_interval"), [({"a-b": "f", "a-c": "f"}, False), ({"a-b": "f", "c-d": "g"}, True)]
)
def test_a_level_is_named_only_beside_an_interval(simulated, pairs, has_interval):
    items = findings(grid_of(simulated({"cross_entropy": 0.5, "far": 0.9}, pairs=pairs)))
    (against_erm,) = [item for item in items if "other than ERM" in item]
    assert ("95% interval" in against_erm) == has_interval
    assert ("[no interval]" in against_erm) != has_interval
    seed = grid_of(simulated({"svm": 0.5, "net": 0.9}, floors=FLOORS, pairs=pairs, seeds=(0,)))
    assert "95%" not in verdict_sentence(seed) + findings(seed)[0]
