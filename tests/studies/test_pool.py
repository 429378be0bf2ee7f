"""Running a study. Trainings are stood in for, except in the test that trains."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import StudyError
from sceneshift.studies import pool
from sceneshift.studies.cell_files import CellFiles
from sceneshift.studies.cells import Places, study_pixels, train_cell
from sceneshift.studies.design import StudyDesign
from sceneshift.studies.pool import Study, expected_times, in_turn, is_published, pending, publish, run_pool, run_tasks
from sceneshift.studies.published_rows import PublishedBatch, batch_path, read_batch, write_batch
from sceneshift.studies.refits import pending_refits, publish_refits, refit_tasks
from sceneshift.studies.result_files import study_choices, study_tables
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.epoch_record import RecordFolder

BATCH = ("sw-se", "cross_entropy")
REACHED = np.linspace(0.1, 0.65, 12).reshape(3, 2, 2)


@pytest.fixture
def study(tmp_path, design):
    return Study(
        design=design,
        places=Places(work=tmp_path / "work", data_dir=None, catalogue=""),
        out=tmp_path / "out",
    )


@pytest.fixture
def trained(monkeypatch):
    """The cells that were asked for, which are done at once."""
    cells = []

    def stand_in(design, cell, places, *, last_epoch=None):
        folder = cell.folder(places.work)
        folder.mkdir(parents=True, exist_ok=True)
        values = {
            "design": design.key(),
            "epochs": design.epochs,
            "diverged": None,
            "seconds": {"all": 10.0 + cell.configuration, "looking": 1.0, "scoring": 1.0},
        }
        CellFiles(folder).write_done(values)
        cells.append(cell)
        return values

    monkeypatch.setattr(pool, "train_cell", stand_in)
    return cells


@pytest.fixture
def gathered(monkeypatch, batch):
    """What is published of done cells."""

    def stand_in(design, cells, places, *, num_expected):
        done = sum(CellFiles(cell.folder(places.work)).done(design.key()) is not None for cell in cells)
        rows = batch("sw-se", REACHED, {"source-blocks": REACHED})
        facts = replace(rows.facts, pair=cells[0].pair, num_cells=done, is_complete=done == num_expected)
        return PublishedBatch(facts=facts, rows=rows.rows)

    monkeypatch.setattr(pool, "gather_batch", stand_in)


def run(study, tasks):
    published = []
    run_pool(study, tasks, jobs=1, on_done=lambda cell, values: None, on_published=published.append)
    return published


def test_a_pool_that_was_cut_continues_with_what_is_missing(study, trained, gathered):
    tasks = pending(study, ["sw-se"], ["cross_entropy"])
    assert len(tasks) == 6
    assert run(study, tasks[:4]) == []
    assert not is_published(study, *BATCH)
    left = pending(study, ["sw-se"], ["cross_entropy"])
    assert left == tasks[4:]
    assert run(study, left) == [batch_path(study.out, *BATCH)]
    assert trained == [cell for cell, _ in tasks]
    assert is_published(study, *BATCH)


def test_a_published_batch_is_skipped_without_its_work(study, trained, gathered):
    run(study, pending(study, ["sw-se"], ["cross_entropy"]))
    shutil.rmtree(study.places.work)
    assert pending(study, ["sw-se"], ["cross_entropy"]) == []
    assert publish(study, *BATCH) is None
    assert len(pending(study, ["sw-se", "west-east"], ["cross_entropy"])) == 6


def test_a_part_is_published_on_demand_and_the_rest_is_still_trained(study, trained, gathered):
    tasks = pending(study, ["sw-se"], ["cross_entropy"])
    run(study, tasks[:2])
    assert publish(study, *BATCH) == batch_path(study.out, *BATCH)
    assert not is_published(study, *BATCH)
    assert pending(study, ["sw-se"], ["cross_entropy"]) == tasks[2:]


def test_trainings_of_another_design_are_refused_not_mixed_in(study, trained, gathered):
    run(study, pending(study, ["sw-se"], ["cross_entropy"]))
    other = replace(study, design=replace(study.design, epochs=3))
    with pytest.raises(StudyError):
        pending(other, ["sw-se"], ["cross_entropy"])
    with pytest.raises(StudyError):
        pending(replace(other, out=study.out / "else"), ["sw-se"], ["cross_entropy"])


def test_timed_trainings_go_over_batches_in_turn(study):
    tasks = pending(study, ["sw-se", "west-east"], ["cross_entropy"])
    chosen = in_turn(tasks, 4)
    assert [cell.pair for cell, _ in chosen] == ["sw-se", "west-east"] * 2
    assert [cell.configuration for cell, _ in chosen[:3]] == [0, 1, 2]
    assert len(in_turn(tasks, 100)) == len(tasks) == len(set(in_turn(tasks, 100)))


def test_expected_hours_follow_from_what_was_timed(study, trained, gathered):
    tasks = pending(study, ["sw-se"], ["cross_entropy"])
    list(run_tasks(study, tasks[:2], jobs=1))  # 10 s each
    timed, other = expected_times(study, ["sw-se", "west-east"], ["cross_entropy"])
    assert (timed.num_left, timed.seconds, timed.num_timed) == (4, 10.0, 2)
    assert timed.hours(2) == pytest.approx(4 * 10 / 3600 / 2)
    assert (other.num_left, other.seconds, other.num_timed) == (6, 10.0, 0)


def test_choices_are_refitted_up_to_their_latest_epoch(study, batch):
    reached = np.array([[[0.5, 0.6], [0.5, 0.6]], [[0.9, 0.7], [0.2, 0.3]], [[0.1, 0.2], [0.4, 0.8]]])
    for pair in ("sw-se",):
        write_batch(batch_path(study.out, pair, "cross_entropy"), batch(pair, reached, {"entropy": reached}))
    choices = study_choices(study.design, study.out, study.design.pairs, study.design.methods)
    tasks = refit_tasks(study.design, choices, pair="sw-se", method="cross_entropy")
    assert [(cell.configuration, cell.seed, last) for cell, last in tasks] == [
        (number, seed, last) for number, last in ((1, 1), (2, 2)) for seed in range(3)
    ]
    assert all(cell.is_refit for cell, _ in tasks)
    assert pending_refits(study, tasks) == tasks


@pytest.mark.slow
def test_two_configurations_from_the_design_to_the_tables(tmp_path, space):
    design = StudyDesign.draw(
        {"cross_entropy": space}, num_configurations=2, epochs=2, num_seeds=2, num_refit_seeds=1, pixels_per_class=12
    )
    study = Study(
        design=design, places=Places(work=tmp_path / "work", data_dir=None, catalogue=""), out=tmp_path / "out"
    )
    tasks = pending(study, ["sw-se"], ["cross_entropy"])

    # A training that is cut after its first epoch is continued.
    cell, _ = tasks[0]
    folder = cell.folder(study.places.work)
    train_cell(design, cell, study.places, last_epoch=1)
    (folder / "done.json").unlink()
    assert run(study, tasks) == [batch_path(study.out, *BATCH)]
    assert CheckpointFolder(str(folder)).latest_epoch() == 0  # they are needed no more

    # What the study saw is what the training recorded: the same weights on the pixels that both looked at.
    pixels = study_pixels(design.spec(cell, data_dir=None, catalogue=None).data)
    record = RecordFolder(str(folder)).read(["target_logits"])
    (header,) = record.headers.values()
    _, ours, theirs = np.intersect1d(pixels.target, header.target_pixels, return_indices=True)
    assert len(ours) > 20
    looks = CellFiles(folder).looks()
    assert set(looks.target) == {(entry.epoch, entry.is_average) for entry in record.records}
    for entry in record.records:
        recorded = entry.target.logits.argmax(axis=1)
        assert np.mean(looks.target[entry.epoch, entry.is_average][ours] == recorded[theirs]) > 0.99

    published = read_batch(batch_path(study.out, *BATCH), design)
    assert (published.facts.num_cells, published.facts.is_complete, len(published.rows)) == (4, True, 8)
    done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
    first = published.rows[(published.rows["configuration"] == 0) & (published.rows["seed"] == 0)]
    validated = [done["metrics"][str(epoch)]["val/aa"] for epoch in (1, 2)]
    assert first["source_aa"].tolist() == pytest.approx(validated, abs=1e-6)
    assert first["score:source-blocks"].iloc[1] == pytest.approx(validated[1], abs=1e-6)
    for name in ("source-random", "shifted-blocks", "entropy", "iwcv", "gde", "ensv", "seed-agreement"):
        assert np.isfinite(published.rows[f"score:{name}"]).sum() == 8, name
    last = first.iloc[1]
    counts = published.confusion(last)
    assert counts.sum() == len(pixels.target) == len(last["predicted"])
    assert np.trace(counts) / counts.sum() == pytest.approx(last["target_oa"], abs=1e-6)

    # Nothing is trained again, also without the work folder.
    shutil.rmtree(study.places.work / "cells")
    assert pending(study, ["sw-se"], ["cross_entropy"]) == []
    choices = study_choices(design, study.out, ["sw-se"], design.methods)
    refits = refit_tasks(design, choices, pair=BATCH[0], method=BATCH[1])
    assert len(refits) >= 1
    list(run_tasks(study, refits, jobs=1))
    assert publish_refits(study, refits) == batch_path(study.out, *BATCH, is_refit=True)
    shutil.rmtree(study.places.work)
    assert pending_refits(study, refits) == []
    tables = study_tables(design, study.out, ["sw-se"], design.methods)
    own = tables.choices[tables.choices["strategy"] == "source-blocks"]
    assert own["num_refits"].tolist() == [1, 1]
    assert own["refit_target_oa"].between(0, 1).all()
    assert (tables.batches["regret_oa"] >= 0).all()
