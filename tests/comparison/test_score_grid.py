"""Cells as arrays; what contradicts itself is refused."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.comparison.score_grid import Setting, make_grids
from sceneshift.errors import StudyError


def changed(results, index, **changes):
    cells = list(results.cells)
    cells[index] = replace(cells[index], **changes)
    return replace(results, cells=tuple(cells))


def test_cells_are_placed_by_label_pair_and_seed(simulated):
    results = simulated({"svm": 0.6, "net": 0.8}, floors=("svm",))
    shuffled = replace(results, cells=tuple(np.random.default_rng(0).permutation(np.array(results.cells))))
    for given in (results, shuffled):
        (grid,) = make_grids(given)
        assert grid.values["aa"].shape == (2, 3, 5)
        assert list(grid.seeds) == [0, 1, 2, 3, 4]
        for cell in results.cells:
            place = grid.labels.index(cell.label), grid.pairs.index(cell.pair), cell.seed
            assert grid.values["aa"][place] == cell.aa
            assert grid.values["kappa"][place] == cell.kappa
            assert grid.values["seconds"][place] == cell.seconds
            assert grid.group_of(cell.pair) == cell.group
    assert grid.networks == ["net"]
    assert (grid.title("svm"), grid.title("net")) == ("svm (floor)", "net")
    assert grid.num_groups == 2


def test_every_setting_has_a_grid_of_its_own_in_order(simulated):
    settings = [("tune-once", "60 s", "source-blocks"), ("tune-anew", "60 s", "source-blocks")]
    grids = make_grids(simulated({"a": 0.5}, settings=settings))
    assert [grid.setting for grid in grids] == [Setting(protocol=p, budget=b, strategy=s) for p, b, s in settings]
    assert grids[0].setting.slug == "tune-once-60-s-source-blocks"
    assert not np.array_equal(grids[0].values["aa"], grids[1].values["aa"])


def test_failed_cells_are_missing_and_listed(simulated):
    failed = [("a", "sw-se", 2), *(("b", "sw-se", seed) for seed in range(5))]
    (grid,) = make_grids(simulated({"a": 0.5, "b": 0.6}, failed=failed))
    assert np.isnan(grid.on("a", "sw-se")).tolist() == [False, False, True, False, False]
    assert {(cell.label, cell.pair, cell.seed) for cell in grid.failed} == set(failed)
    assert grid.recalls("a", "sw-se").shape == (4, 3)
    assert grid.has_all("a")
    assert not grid.has_all("b")
    assert grid.mean("a") == pytest.approx(0.5, abs=0.02)
    assert np.isnan(grid.mean("b"))


def test_a_cell_that_failed_has_no_score_whatever_its_figures_say(simulated):
    results = changed(simulated({"a": 0.5}), 0, failed="stopped", aa=0.9)
    (grid,) = make_grids(results)
    assert np.isnan(grid.values["aa"][0, 0, 0])
    infinite = changed(results, 1, kappa=np.inf)
    assert len(make_grids(infinite)[0].failed) == 2


def test_a_pair_that_no_method_has_scores_on_is_left_out_of_means(simulated):
    failed = [(label, "west-east", seed) for label in ("a", "b") for seed in range(5)]
    (grid,) = make_grids(simulated({"a": 0.5, "b": 0.6}, failed=failed))
    assert grid.scored_pairs == ["sw-se", "samson-jasper_ridge"]
    assert grid.mean("a") == pytest.approx(0.5, abs=0.02)


def test_erm_is_the_first_of_its_method_or_the_label_given(simulated):
    methods = {"plain": "cross_entropy", "augmented": "cross_entropy"}
    results = simulated({"a": 0.5, "plain": 0.5, "augmented": 0.5}, methods=methods)
    assert make_grids(results)[0].erm == "plain"
    assert make_grids(results, erm="augmented")[0].erm == "augmented"
    assert make_grids(simulated({"a": 0.5}))[0].erm is None
    with pytest.raises(StudyError):
        make_grids(results, erm="augmentd")


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},  # twice
        {"group": "another"},
        {"is_floor": True},
        {"class_names": ("x", "y", "z")},
        {"aa": 65.0},  # per cent
        {"kappa": -1.5},
    ],
)
def test_contradictions_are_refused(simulated, changes):
    with pytest.raises(StudyError):
        make_grids(changed(simulated({"a": 0.5}), 0, **changes))


def test_a_comparison_without_cells_is_refused(simulated):
    with pytest.raises(StudyError):
        make_grids(replace(simulated({"a": 0.5}), cells=()))
