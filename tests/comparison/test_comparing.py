"""A whole comparison: what is trained and what isn't again, what is chosen without labels, and what is counted."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.comparison import joining, preparing, running
from sceneshift.comparison.class_maps import MAPS, read_maps
from sceneshift.comparison.joining import JOINS
from sceneshift.comparison.pools import distinct
from sceneshift.comparison.results import RESULTS, ComparisonResults
from sceneshift.errors import InvalidInputError, ResourceError, StudyError
from sceneshift.execution import local
from sceneshift.execution.executor import StopReason, StopRequest
from sceneshift.files.arrow_scenes import open_scene, write_scene
from sceneshift.studies.one_run import only_one


def frame_of(compared):
    return compared.results.as_frame().drop(columns="seconds")


def test_every_method_is_tuned_chosen_and_scored(compared, finished, tmp_path):
    found, heard = compared
    frame = found.results.as_frame()
    assert len(frame) == 2 * 2 * 2  # methods, strategies, seeds
    assert set(frame["label"]) == {"logistic regression", "CE"}
    assert list(frame.loc[frame["is_floor"], "method"].unique()) == ["logistic_regression"]
    assert set(frame["seed"]) == {0, 1}
    assert set(frame["trained_on"]) == {"fields"}
    assert set(frame["budget"]) == {"2 epochs"}
    assert set(frame["epochs"]) == {1, 2}
    assert frame["failed"].eq("").all()
    assert frame[["oa", "aa", "kappa"]].notna().all(axis=None)
    assert (frame["seconds"] > 0).all()
    scored = open_scene(finished[0] / "two.arrow").labels
    for cell in found.results.cells:
        assert cell.confusion.sum() == (scored > 0).sum()
        assert np.trace(cell.confusion) / cell.confusion.sum() == pytest.approx(cell.oa)
        assert cell.class_names == ("soil", "tree", "water")
    assert found.results.joins == {"source-blocks": 1, "infomax": 1}
    assert found.results.caption["protocol"] == "tune-once"
    assert heard.cost.tuning == heard.cost.tuning_left == 4
    assert heard.cost.final == 8
    assert ComparisonResults.read(tmp_path / "out" / RESULTS).as_frame().equals(frame)


def test_maps_are_those_of_the_first_strategy_s_networks_beside_the_truth(compared, finished, tmp_path):
    found, _ = compared
    (maps,) = found.maps
    assert maps.pair == "one-two"
    assert list(maps.predicted) == ["logistic regression", "CE"]
    assert (maps.truth == open_scene(finished[0] / "two.arrow").labels).all()
    known = maps.truth > 0
    for label, predicted in maps.predicted.items():
        (cell,) = [
            c
            for c in found.results.cells
            if (c.label, c.strategy, c.seed, c.trained_on) == (label, "source-blocks", 0, "fields")
        ]
        assert (predicted[known] == maps.truth[known]).mean() == pytest.approx(cell.oa)
    (kept,) = read_maps(tmp_path / "out" / MAPS)
    assert (kept.pair, kept.note, tuple(kept.class_names)) == (maps.pair, maps.note, tuple(maps.class_names))
    assert (kept.truth == maps.truth).all()
    assert all((kept.predicted[label] == maps.predicted[label]).all() for label in maps.predicted)


def test_a_method_is_trained_on_its_pairs_alone(write_toy, run_toy, toy_text):
    catalogue = '\n[pairs.two-one]\nsource = "two"\ntarget = "one"\n'
    text = toy_text.replace('["one-two"]', '["one-two", "two-one"]').replace(
        '"logistic_regression",', '{ method = "logistic_regression", pairs = ["two-one"] },'
    )
    spec = write_toy(text)
    with open(spec.catalogue, "a") as file:
        file.write(catalogue)
    found, heard = run_toy(spec)
    frame = found.results.as_frame()
    assert set(frame.loc[frame["is_floor"], "pair"]) == {"two-one"}
    assert set(frame.loc[~frame["is_floor"], "pair"]) == {"one-two", "two-one"}
    assert frame["failed"].eq("").all()
    assert heard.cost.tuning == 6
    assert [list(maps.predicted) for maps in found.maps] == [["CE"], ["logistic regression", "CE"]]
    assert not any("without" in maps.note for maps in found.maps)


def test_trainings_keep_the_classes_of_the_whole_target_and_no_weights(compared):
    found, heard = compared
    for cell in heard.ended_cells:
        maps = found.store.maps(cell.key)
        assert {epoch for _, epoch, _ in maps} == set(range(1, cell.spec.epochs + 1))
        assert all(each.class_map.shape == (40, 30) for each in maps.values())
        names = {path.name for path in (found.store.folder / cell.key).iterdir()}
        assert names <= {"done.json", "record", "target_classes"}


def test_a_second_run_trains_nothing_and_reads_no_label(compared, write_toy, run_toy, tmp_path):
    joined = (tmp_path / "out" / JOINS).read_text()
    again, heard = run_toy(write_toy())
    assert heard.ended_cells == []
    assert heard.cost.tuning_left == 0
    assert frame_of(again).equals(frame_of(compared[0]))
    assert (tmp_path / "out" / JOINS).read_text() == joined


def test_more_seeds_train_final_networks_alone(compared, write_toy, run_toy, toy_text):
    more = toy_text.replace("seeds = [0, 1]", "seeds = [0, 1, 2]")
    found, heard = run_toy(write_toy(more))
    assert heard.ended_cells
    assert all(cell.is_final and cell.seed == 2 for cell in heard.ended_cells)
    assert found.results.joins == {"source-blocks": 2, "infomax": 2}


def test_a_changed_method_trains_its_own_cells_again_only(compared, write_toy, run_toy, monkeypatch):
    before = compared[1].ended_cells
    real = preparing.method_sources_hash
    monkeypatch.setattr(
        preparing, "method_sources_hash", lambda name: "changed" if name == "cross_entropy" else real(name)
    )
    found, heard = run_toy(write_toy())
    assert {cell.spec.method for cell in heard.ended_cells} == {"cross_entropy"}
    assert len(heard.ended_cells) == sum(cell.spec.method == "cross_entropy" for cell in before)
    assert frame_of(found).equals(frame_of(compared[0]))  # only the hash was changed


def test_permuted_target_labels_change_no_training_and_no_choice(compared, write_toy, run_toy, tmp_path):
    choices = (tmp_path / "out" / "choices.json").read_text()
    spec = write_toy()
    target = open_scene(tmp_path / "two.arrow")
    order = np.array([0, 2, 3, 1])
    permuted = replace(target, cube=np.array(target.cube), labels=order[np.array(target.labels)])
    write_scene(permuted, tmp_path / "permuted.arrow")
    os.replace(tmp_path / "permuted.arrow", tmp_path / "two.arrow")
    found, heard = run_toy(spec, folder=tmp_path / "permuted")
    assert [cell.key for cell in heard.ended_cells] == [cell.key for cell in compared[1].ended_cells]
    assert (tmp_path / "permuted" / "choices.json").read_text() == choices
    for cell in heard.ended_cells:
        maps, before = found.store.maps(cell.key), compared[0].store.maps(cell.key)
        assert list(maps) == list(before)
        assert all((maps[key].class_map == before[key].class_map).all() for key in maps)
    assert not frame_of(found).equals(frame_of(compared[0]))  # the labels were read in the end


def test_another_strategy_makes_another_table_without_training(compared, write_toy, run_toy, tmp_path, toy_text):
    found, heard = run_toy(write_toy(), strategies=("entropy",))
    assert heard.ended_cells == []
    assert set(found.results.as_frame()["strategy"]) == {"entropy"}
    assert found.results.joins == {"source-blocks": 1, "infomax": 1, "entropy": 1}
    assert found.folder == tmp_path / "out" / "chosen-by" / "entropy"
    # The results of the file's own strategies are still there.
    assert set(ComparisonResults.read(tmp_path / "out" / RESULTS).as_frame()["strategy"]) == {
        "source-blocks",
        "infomax",
    }
    with pytest.raises(InvalidInputError):
        run_toy(write_toy(), strategies=("oracle",))


def test_a_choice_without_final_network_is_scored_itself_and_says_so(compared, write_toy, run_toy):
    found, _ = compared
    for cell in [network.cell for network in found.networks]:
        found.store.forget(cell.key)
    again, heard = run_toy(write_toy(), strategies=("infomax",))
    assert heard.ended_cells == []
    frame = again.results.as_frame()
    assert list(frame["trained_on"]) == ["blocks", "blocks"]
    assert frame[["oa"]].notna().all(axis=None)
    (ce,) = [network for network in again.networks if network.pool.label == "CE"]
    assert not ce.cell.is_final


def test_another_strategy_needs_all_trainings(write_toy, run_toy):
    with pytest.raises(StudyError):
        run_toy(write_toy(), strategies=("entropy",))


def test_a_failed_and_a_diverged_training_are_named_and_stop_no_other(write_toy, run_toy, toy_text, monkeypatch):
    text = toy_text.replace(
        "methods = [",
        'methods = [ { method = "cross_entropy", label = "D", settings = { patch_size = 5, width = 8, '
        "batch_size = 45, lr = 1e30 } },",
    )
    real = local.train_job

    def broken(job, *arguments, **named):
        if job.spec.method == "logistic_regression" and not job.spec.data.validates:
            raise RuntimeError("the wire came off")
        real(job, *arguments, **named)

    monkeypatch.setattr(local, "train_job", broken)
    found, heard = run_toy(write_toy(text))
    frame = found.results.as_frame().set_index("label")
    assert frame.loc["CE", "failed"].eq("").all()
    assert frame.loc["CE", "oa"].notna().all()
    assert frame.loc["logistic regression", "failed"].str.contains("the wire came off").all()
    assert frame.loc["D", "failed"].str.contains("diverged in epoch").all()
    assert frame.loc[["D", "logistic regression"], "oa"].isna().all()
    assert {failure for failure in heard.failures.values()} == {"RuntimeError: the wire came off"}
    assert [list(maps.predicted) for maps in found.maps] == [["CE"]]
    assert found.maps[0].note.endswith(": D, logistic regression")
    monkeypatch.setattr(local, "train_job", real)
    again, heard = run_toy(write_toy(text))  # what failed is tried again, what diverged is not
    assert {cell.label for cell in heard.ended_cells} == {"logistic regression"}
    assert again.results.as_frame().set_index("label").loc["logistic regression", "failed"].eq("").all()


def test_tuned_anew_every_seed_has_its_own_draws_and_trainings(write_toy, run_toy, toy_text):
    found, heard = run_toy(
        write_toy(toy_text.replace('profile = "smoke-test"', 'profile = "smoke-test"\nprotocol = "tune-anew"'))
    )
    frame = found.results.as_frame()
    assert len(frame) == 8
    pools = {(pool.label, pool.repeat): pool for pool in found.pools}
    assert set(pools) == {(label, repeat) for label in ("CE", "logistic regression") for repeat in (0, 1)}
    one, two = pools["CE", 0].cells, pools["CE", 1].cells
    assert one[0].spec.config == two[0].spec.config  # the published one
    assert one[1].spec.config != two[1].spec.config
    assert {cell.spec.seed for cell in one}.isdisjoint(cell.spec.seed for cell in two)
    assert heard.cost.tuning == len(distinct(cell for pool in found.pools for cell in pool.cells)) == 8


def test_final_networks_can_be_the_chosen_ones(write_toy, run_toy, toy_text):
    found, heard = run_toy(write_toy(toy_text + 'final_networks = "blocks"\n'))
    assert not any(cell.is_final for cell in heard.ended_cells)
    assert set(found.results.as_frame()["trained_on"]) == {"blocks"}
    assert heard.cost.final == 0


def test_timed_trainings_end_before_anything_is_chosen(write_toy, run_toy, tmp_path):
    found, heard = run_toy(write_toy(), time_trainings=2)
    assert found.results is None
    assert {cell.label for cell in heard.ended_cells} == {"logistic regression", "CE"}
    assert not (tmp_path / "out" / JOINS).exists()


def test_a_run_that_is_stopped_joins_nothing_and_continues(write_toy, run_toy, toy_text, tmp_path, monkeypatch):
    spec = write_toy(toy_text + 'final_networks = "blocks"\n')
    stop = StopRequest()
    real = running.CellQueue._hear

    def hear(queue, number, report):
        real(queue, number, report)
        if number == 1:
            stop.request(StopReason.INTERRUPTED)

    monkeypatch.setattr(running.CellQueue, "_hear", hear)
    found, heard = run_toy(spec, stop=stop)
    assert found.results is None
    assert len(heard.ended_cells) == 2
    assert not (tmp_path / "out" / JOINS).exists()
    monkeypatch.setattr(running.CellQueue, "_hear", real)
    found, again = run_toy(spec)
    assert found.results is not None
    assert not {cell.key for cell in heard.ended_cells} & {cell.key for cell in again.ended_cells}


_KILLED = """
import sys
from pathlib import Path
import torch
from sceneshift.comparison.comparing import compare
from sceneshift.comparison.placing import Places
from sceneshift.comparison.spec import read_spec
torch.set_num_threads(1)
spec = read_spec(Path(sys.argv[1]), spaces=Path(sys.argv[2]))
compare(spec, Path(sys.argv[3]), places=Places(executor="local"))
"""


@pytest.mark.slow
def test_a_killed_run_is_continued_and_comes_to_the_same(write_toy, run_toy, toy_text, tmp_path, spaces):
    text = toy_text.replace("epochs = 2", "epochs = 12\nevaluate_every = 12") + 'final_networks = "blocks"\n'
    spec = write_toy(text)
    words = [sys.executable, "-c", _KILLED, str(tmp_path / "toy.toml"), str(spaces), str(tmp_path / "killed")]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    cells, deadline = tmp_path / "killed" / "cells", time.monotonic() + 300
    # Until a training has been begun that has not ended.
    while not any(cells.glob("*/epoch_0000[2-9].ckpt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    begun = {path.parent.name for path in cells.glob("*/epoch_*.ckpt")}
    done = {path.parent.name for path in cells.glob("*/done.json")}
    assert begun - done
    found, heard = run_toy(spec, folder=tmp_path / "killed")
    assert done.isdisjoint(cell.key for cell in heard.ended_cells)
    whole, _ = run_toy(spec, folder=tmp_path / "whole")
    assert frame_of(found).equals(frame_of(whole))


def test_the_same_folder_is_used_by_one_run_at_a_time(write_toy, run_toy, tmp_path):
    with only_one(tmp_path / "out", flag="--storage-path"), pytest.raises(ResourceError):
        run_toy(write_toy())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"one-two"', '"one-tow"'),
        ("patch_size = 5", "patch_size = 4"),
        ("patch_size = 5", "patch_size = 31"),  # wider than the scene
        ('["source-blocks", "infomax"]', '["iwcv"]'),  # a floor has no features
        ('profile = "smoke-test"', 'profile = "smok-test"'),
        ('"cross_entropy"', '"group_dro"'),  # one source
    ],
)
def test_what_the_data_does_not_allow_is_refused_before_any_training(
    write_toy, run_toy, toy_text, tmp_path, before, after
):
    assert before in toy_text
    with pytest.raises(InvalidInputError):
        run_toy(write_toy(toy_text.replace(before, after)))
    assert not (tmp_path / "out" / "cells").exists()


def test_trainings_by_another_version_of_the_code_are_kept_and_noted(compared, write_toy, run_toy, tmp_path):
    found, before = compared
    assert "note" not in found.results.caption
    path = tmp_path / "out" / "cells" / before.ended_cells[0].key / "done.json"
    values = json.loads(path.read_text())
    values["code"]["code.hash"] = "another"
    path.write_text(json.dumps(values))
    (tmp_path / "out" / "scored.json").unlink()
    again, heard = run_toy(write_toy())
    assert heard.ended_cells == []
    assert "another" in again.results.caption["code"]
    assert "2 versions" in again.results.caption["note"]


def test_joins_are_counted_before_labels_are_read(compared, write_toy, run_toy, tmp_path, monkeypatch):
    def closed(recipe):
        raise RuntimeError("the door is closed")

    (tmp_path / "out" / JOINS).unlink()
    (tmp_path / "out" / "scored.json").unlink()
    monkeypatch.setattr(joining, "open_target", closed)
    with pytest.raises(RuntimeError):
        run_toy(write_toy())
    entries = json.loads((tmp_path / "out" / JOINS).read_text())
    assert [entry["strategy"] for entry in entries] == ["source-blocks", "infomax"]
    assert [entry["networks"] for entry in entries] == [4, 4]
