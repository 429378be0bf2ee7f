"""Tables of rows made by hand, whose regrets are known."""

import numpy as np
import pytest

from sceneshift.errors import StudyError
from sceneshift.selection.views import Reads
from sceneshift.studies.choices import Candidates, with_other_pairs
from sceneshift.studies.published_rows import batch_path, write_batch
from sceneshift.studies.reported import calibration_for, report_for
from sceneshift.studies.result_files import study_tables, write_results
from sceneshift.studies.tables import make_tables

# (3 configurations, 2 seeds, 2 epochs); the best of each seed is 0.9.
REACHED = np.array([[[0.5, 0.6], [0.5, 0.6]], [[0.9, 0.7], [0.2, 0.3]], [[0.1, 0.2], [0.4, 0.9]]])
LAST = np.array([np.nan, 1.0])


def last_only(values):
    return np.array(values, dtype=float)[:, :, np.newaxis] * LAST


# Chooses configuration 0's last epoch: 0.6 in both seeds, so 30 points are lost.
BLOCKS = last_only([[3, 3], [2, 2], [1, 1]])
# Chooses the best of each seed: nothing is lost.
PERFECT = REACHED
# Chooses 0.1 and 0.2: 80 and 70 points are lost.
WORST = -REACHED


def arranged(design, *batches):
    return [Candidates.of(batch, design) for batch in batches]


def test_choices_and_regrets_are_as_computed_by_hand(design, batch):
    shown = arranged(design, batch("sw-se", REACHED, {"source-blocks": BLOCKS, "entropy": PERFECT, "snd": WORST}))
    tables = make_tables(shown, shown, {})
    regrets = tables.batches.set_index("strategy")["regret_oa"]
    assert regrets["source-blocks"] == pytest.approx(30)
    assert regrets["entropy"] == pytest.approx(0)
    assert regrets["snd"] == pytest.approx(75)
    assert regrets["worst of the pool"] == pytest.approx(75)
    assert regrets["random choice"] == pytest.approx(100 * (0.9 - REACHED.mean()))
    assert regrets["random configuration, last epoch"] == pytest.approx(100 * (0.9 - REACHED[:, :, 1].mean()))
    choices = tables.choices.set_index(["strategy", "seed"])
    assert choices.loc[("source-blocks", 0), ["configuration", "epoch"]].tolist() == [0, 2]
    assert choices.loc[("entropy", 1), ["configuration", "epoch"]].tolist() == [2, 2]
    assert choices.loc[("oracle", 0), ["configuration", "epoch"]].tolist() == [1, 1]
    assert choices.loc[("oracle", 0), "reads"] == str(Reads.LABELS)
    assert choices.loc[("entropy", 0), "target_aa"] == pytest.approx(0.45)


def test_correlations_are_of_scores_and_target_accuracy(design, batch):
    shown = arranged(design, batch("sw-se", REACHED, {"entropy": PERFECT, "snd": WORST}))
    rows = make_tables(shown, shown, {}).batches.set_index("strategy")
    assert rows.loc["entropy", "spearman_configurations"] == pytest.approx(1)
    assert rows.loc["entropy", "spearman_epochs"] == pytest.approx(1)
    assert rows.loc["snd", "spearman_epochs"] == pytest.approx(-1)


def test_the_reported_strategy_is_the_best_on_the_other_groups_alone(design, batch):
    # On the pair itself entropy is perfect; on the other group it is the worst, and infomax is perfect.
    shown = arranged(
        design,
        batch("sw-se", REACHED, {"source-blocks": BLOCKS, "entropy": PERFECT, "infomax": WORST}),
        batch("simulated-a", REACHED, {"source-blocks": BLOCKS, "entropy": WORST, "infomax": PERFECT}),
    )
    assert report_for("Indian Pines", Reads.PIXELS, shown).strategy == "infomax"
    assert report_for("simulated A", Reads.PIXELS, shown).strategy == "entropy"
    tables = make_tables(shown, shown, {})
    rows = tables.reported.set_index(["pair", "reads"])
    assert rows.loc[("sw-se", str(Reads.PIXELS)), "regret_oa"] == pytest.approx(75)
    assert rows.loc[("sw-se", str(Reads.PIXELS)), "regret_on_others"] == pytest.approx(0)
    summary = tables.summary.set_index("reads")
    assert summary.loc[str(Reads.PIXELS), "regret_oa"] == pytest.approx(75)
    assert summary.loc[str(Reads.PIXELS), "minus_source_blocks"] == pytest.approx(45)
    assert summary.loc[str(Reads.NOTHING), "minus_source_blocks"] == pytest.approx(0)


def test_pairs_of_one_group_say_nothing_for_each_other(design, batch):
    shown = arranged(
        design,
        batch("sw-se", REACHED, {"entropy": PERFECT}),
        batch("west-east", REACHED, {"entropy": PERFECT}),
    )
    assert report_for("Indian Pines", Reads.PIXELS, shown).strategy is None


def test_target_labels_of_a_group_never_decide_what_is_reported_for_it(design, batch):
    def reported(reached):
        shown = arranged(
            design,
            batch("sw-se", reached, {"source-blocks": BLOCKS, "entropy": PERFECT, "infomax": WORST}),
            batch("simulated-a", REACHED, {"source-blocks": BLOCKS, "entropy": WORST, "infomax": PERFECT}),
            batch("muufl-jasper_ridge", REACHED, {"source-blocks": BLOCKS, "entropy": BLOCKS, "infomax": PERFECT}),
        )
        return [report_for("Indian Pines", reads, shown).regrets for reads in (Reads.NOTHING, Reads.PIXELS)]

    permuted = np.random.default_rng(0).permuted(REACHED, axis=0)
    assert not np.array_equal(permuted, REACHED)
    assert reported(permuted) == reported(REACHED)


def test_leave_one_scene_out_ranks_configurations_by_the_other_groups(design, batch):
    # Elsewhere, configuration 1 is the best after the last epoch.
    elsewhere = np.array([[[0.5, 0.2], [0.5, 0.2]], [[0.1, 0.8], [0.1, 0.8]], [[0.1, 0.4], [0.1, 0.4]]])
    own, other, same = arranged(
        design,
        batch("sw-se", REACHED, {"source-blocks": BLOCKS}),
        batch("simulated-a", elsewhere, {"source-blocks": BLOCKS}),
        batch("west-east", REACHED, {"source-blocks": BLOCKS}),
    )
    scores = with_other_pairs(own, [own, other, same])["leave-one-scene-out"]
    assert scores[:, 0, -1] == pytest.approx([0.2, 0.8, 0.4])
    assert np.isnan(scores[:, :, :-1]).all()
    assert "leave-one-scene-out" not in with_other_pairs(own, [own, same])
    assert "leave-one-scene-out" not in with_other_pairs(own, [own, other, same], without="simulated A")
    assert own.row(1, 0, own.choice(scores, 0)[1])["target_oa"] == pytest.approx(0.7)


def test_estimates_are_corrected_by_other_groups_alone(design, batch):
    # Estimates are ten points too low everywhere, so two other groups correct them.
    shown = arranged(
        design,
        batch("sw-se", REACHED, {"source-blocks": BLOCKS, "entropy": PERFECT}),
        batch("simulated-a", REACHED, {"source-blocks": BLOCKS, "entropy": PERFECT}),
        batch("muufl-jasper_ridge", REACHED, {"source-blocks": BLOCKS, "entropy": PERFECT}),
    )
    calibration = calibration_for("Indian Pines", "source-blocks", shown)
    assert (calibration.bias, calibration.num_groups) == (pytest.approx(0.1), 2)
    estimates = make_tables(shown, shown, {}).estimates
    assert estimates["estimate"].tolist() == pytest.approx(estimates["target_oa"].tolist())
    assert estimates["is_within"].all()


def test_a_choice_is_next_to_its_refits(design, batch):
    shown = arranged(design, batch("sw-se", REACHED, {"source-blocks": BLOCKS, "snd": WORST}))
    refits = batch("sw-se", np.full((1, 3, 2), 0.4) + np.array([0.0, 0.1, 0.2])[:, np.newaxis], {}).rows
    choices = make_tables(shown, shown, {("sw-se", "cross_entropy"): refits}).choices.set_index(["strategy", "seed"])
    assert choices.loc[("source-blocks", 0), "refit_target_oa"] == pytest.approx(0.5)
    assert choices.loc[("source-blocks", 0), "num_refits"] == 3
    assert np.isnan(choices.loc[("snd", 0), "refit_target_oa"])


def test_files_are_made_from_published_rows_alone(tmp_path, design, batch):
    for pair in ("sw-se", "simulated-a"):
        rows = batch(pair, REACHED, {"source-blocks": BLOCKS, "entropy": PERFECT})
        write_batch(batch_path(tmp_path, pair, "cross_entropy"), rows)
    tables = study_tables(design, tmp_path, design.pairs, design.methods)
    paths = write_results(tables, tmp_path / "tables", heading="A try.")
    assert {path.name for path in paths} >= {"tables.md", "regret.png", "choices.csv", "strategies.csv"}
    assert (tmp_path / "tables" / "regret.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "tables" / "tables.md").read_text(encoding="utf-8")
    assert "source-blocks" in page
    assert "random choice" in page


def test_without_rows_there_is_no_table(tmp_path, design):
    with pytest.raises(StudyError):
        study_tables(design, tmp_path, design.pairs, design.methods)
