"""What tables of a comparison hold: values, numbers of seeds, bold winners, failures."""

import csv
import io

import numpy as np
import pytest

from sceneshift.comparison.contrasts import Reference
from sceneshift.comparison.difference_tables import ALL_PAIRS, against_table, differences_table, floors_table
from sceneshift.comparison.score_grid import make_grids
from sceneshift.comparison.tables import (
    accuracy_table,
    failed_table,
    per_class_table,
    scores_table,
    spread_table,
    strategies_table,
)
from sceneshift.report.tables import NOTHING

ACCURACIES = {"svm": 0.5, "cross_entropy": 0.6, "far": 0.9}
FAILED = [("far", "sw-se", 2), *(("cross_entropy", "west-east", seed) for seed in range(5))]


@pytest.fixture
def grid(simulated):
    (found,) = make_grids(simulated(ACCURACIES, floors=("svm",)))
    return found


@pytest.fixture
def with_failures(simulated):
    (found,) = make_grids(simulated(ACCURACIES, floors=("svm",), failed=FAILED))
    return found


def rows(table):
    return list(csv.DictReader(io.StringIO(table.csv())))


def cell(table, row, column):
    return table.shown[row][list(table.columns).index(column)]


def bold(table, column):
    return [strong[list(table.columns).index(column)] for strong in table.strong]


def test_accuracies_are_means_with_deviations_and_the_winner_is_bold(grid):
    table = accuracy_table(grid)
    assert list(table.columns) == ["method", *grid.pairs, "mean", "worst pair"]
    values = grid.on("far", "sw-se")
    assert float(rows(table)[2]["sw-se"]) == pytest.approx(100 * values.mean())
    assert cell(table, 2, "sw-se") == f"{100 * values.mean():.1f} ± {100 * values.std(ddof=1):.1f}"
    assert bold(table, "sw-se") == [False, False, True]
    assert "**" in table.markdown()
    assert "\\textbf{" in table.latex()
    worst = min(grid.pairs, key=lambda pair: grid.on("far", pair).mean())
    assert cell(table, 2, "worst pair").endswith(f"({worst})")
    by_group = [(grid.on("far", "west-east").mean() + values.mean()) / 2, grid.on("far", grid.pairs[2]).mean()]
    assert float(rows(table)[2]["mean"]) == pytest.approx(100 * np.mean(by_group))


def test_failures_reduce_the_number_of_seeds_and_are_no_zeros(with_failures):
    table = accuracy_table(with_failures)
    assert cell(table, 2, "sw-se").endswith(" (4)")
    assert float(rows(table)[2]["sw-se"]) == pytest.approx(90, abs=2)
    assert cell(table, 1, "west-east") == NOTHING
    assert cell(table, 1, "mean") == NOTHING
    assert rows(table)[1]["mean"] == ""
    scores = {(row["method"], row["pair"]): row for row in rows(scores_table([with_failures]))}
    assert (scores["far", "sw-se"]["n"], scores["far", "sw-se"]["failed"]) == ("4", "1")
    assert (scores["cross_entropy", "west-east"]["n"], scores["cross_entropy", "west-east"]["AA"]) == ("0", "")
    assert (scores["svm (floor)", "sw-se"]["n"], scores["svm (floor)", "sw-se"]["AA std"]) == ("5", "0.0")


def test_one_seed_has_no_deviation_and_no_bold(simulated):
    (grid,) = make_grids(simulated(ACCURACIES, seeds=(3,)))
    table = accuracy_table(grid)
    assert "±" not in table.markdown()
    assert "one seed" in table.caption
    assert not any(map(any, table.strong))


def test_failed_networks_are_listed_with_their_reasons(grid, with_failures):
    assert failed_table([grid]) is None
    listed = rows(failed_table([with_failures]))
    assert {(row["method"], row["pair"], int(row["seed"])) for row in listed} == set(FAILED)
    assert {row["reason"] for row in listed} == {"the loss became infinite"}


def test_differences_have_every_reference_pair_and_interval(grid):
    found = rows(differences_table([grid]))
    assert len(found) == 3 * 4 * 2  # references, pairs and all, methods but the reference
    (row,) = [
        row for row in found if (row["against"], row["pair"], row["method"]) == ("ERM", "sw-se", "far")
    ]  # fmt: skip
    paired = grid.on("far", "sw-se") - grid.on("cross_entropy", "sw-se")
    assert float(row["AA"]) == pytest.approx(100 * paired.mean())
    assert float(row["AA low"]) < float(row["AA"]) < float(row["AA high"])
    assert float(row["kappa"]) < 1
    assert row["seeds"] == "5"
    assert {row["p"] for row in found} == {""}
    assert {row["groups"] for row in found if row["pair"] == ALL_PAIRS} == {"2"}


def test_narrow_differences_mark_the_reference(grid):
    table = against_table(grid, Reference.ERM)
    assert [row[-1] == "reference" for row in table.shown] == [False, True, False]
    assert table.shown[2][1].startswith("+")
    assert against_table(grid, Reference.FLOOR) is not None


def test_the_floors_that_networks_beat_are_counted(grid, simulated):
    table = floors_table(grid)
    assert [row[0] for row in table.rows] == ["cross_entropy", "far"]
    assert table.rows[1][1:] == [3, "better", "better", "better"]
    assert floors_table(make_grids(simulated({"a": 0.5}))[0]) is None


def test_classes_have_their_accuracy_and_pixels(simulated):
    results = simulated({"a": 0.5})
    (grid,) = make_grids(results)
    table = per_class_table(grid, "sw-se")
    cells = [cell for cell in results.cells if cell.pair == "sw-se"]
    recalls = [np.diag(cell.confusion) / cell.confusion.sum(axis=1) for cell in cells]
    assert [row[0] for row in table.rows] == list(cells[0].class_names)
    assert [row[1] for row in table.rows] == [4000, 2000, 1000]
    for k, row in enumerate(rows(table)):
        assert float(row["a"]) == pytest.approx(100 * np.mean(recalls, axis=0)[k])


def test_a_class_without_pixels_has_no_accuracy(simulated):
    (grid,) = make_grids(simulated({"a": 0.5}))
    for confusion in grid.confusions["a", "sw-se"]:
        confusion[2] = 0
    assert per_class_table(grid, "sw-se").shown[2][1:] == ["0", NOTHING]


def test_both_kinds_of_spread_are_apart(simulated):
    settings = [(protocol, "40 epochs", "source-blocks") for protocol in ("tune-once", "tune-anew")]
    once, anew = make_grids(simulated({"a": 0.5}, settings=settings))
    found = rows(spread_table([once, anew]))
    assert len(found) == 3
    for row in found:
        for grid, name in ((once, "std over seeds at fixed settings"), (anew, "std over tune-and-train repeats")):
            assert float(row[name]) == pytest.approx(100 * grid.on("a", row["pair"]).std(ddof=1))
    assert {row["std over tune-and-train repeats"] for row in rows(spread_table([once]))} == {""}


def test_strategies_are_compared_if_there_are_several(simulated, grid):
    settings = [("tune-once", "40 epochs", strategy) for strategy in ("source-blocks", "oracle")]
    grids = make_grids(simulated({"a": 0.5, "b": 0.6}, settings=settings))
    table = strategies_table(grids)
    assert list(table.columns) == ["protocol", "budget", "method", "source-blocks", "oracle"]
    assert float(rows(table)[1]["oracle"]) == pytest.approx(100 * grids[1].mean("b"))
    assert strategies_table([grid]) is None
