"""The key of a training and what it leaves."""

from dataclasses import replace

import pytest

from sceneshift.comparison.cells import Cell, CellStore, cell_key
from sceneshift.errors import StudyError
from sceneshift.methods.cross_entropy import CrossEntropyConfig
from sceneshift.training.data import DataSpec
from sceneshift.training.spec import TrainSpec

SPEC = TrainSpec(
    method="cross_entropy",
    config=CrossEntropyConfig(patch_size=5, width=8),
    epochs=3,
    seed=1,
    record=True,
    maps_target=True,
    data=DataSpec(pairs=("west-east",)),
)
HASHES = {"split.hash.west-east": "a", "target.hash.west-east": "b"}


def key(spec=SPEC, *, data=HASHES, method_sources="c"):
    return cell_key(spec, data=data, method_sources=method_sources)


def test_where_files_are_is_not_part_of_a_key():
    elsewhere = replace(SPEC, data=replace(SPEC.data, data_dir="/elsewhere", catalogue="/elsewhere/scenes.toml"))
    assert key(elsewhere) == key()
    assert len(key()) == 16


@pytest.mark.parametrize(
    "other",
    [
        key(replace(SPEC, seed=2)),
        key(replace(SPEC, epochs=4)),
        key(replace(SPEC, config=replace(SPEC.config, lr=0.01))),
        key(replace(SPEC, evaluate_every=2)),
        key(replace(SPEC, target_access="unlabelled")),
        key(replace(SPEC, data=replace(SPEC.data, pixels_per_class=5))),
        key(data={**HASHES, "target.hash.west-east": "d"}),
        key(method_sources="d"),
    ],
)
def test_all_that_decides_what_a_training_leaves_is(other):
    assert other != key()


def test_a_training_without_its_last_checkpoint_has_not_ended(tmp_path):
    store = CellStore(tmp_path)
    cell = Cell(pair="west-east", label="CE", configuration=0, is_final=False, seed=0, spec=SPEC, key=key())
    assert store.outcome(cell.key) is None
    with pytest.raises(StudyError):
        store.finish(cell, diverged=None, code={})
    assert store.outcome(cell.key) is None
    ended = store.finish(cell, diverged="training diverged in epoch 1", code={"code.hash": "x"})
    assert store.outcome(cell.key) == ended
    assert (ended.seconds, ended.epochs) == (0, {})


def test_a_damaged_or_foreign_file_is_named(tmp_path):
    store = CellStore(tmp_path)
    cell = Cell(pair="west-east", label="CE", configuration=0, is_final=False, seed=0, spec=SPEC, key=key())
    store.finish(cell, diverged="early", code={})
    (tmp_path / cell.key).rename(tmp_path / "other")
    with pytest.raises(StudyError):
        store.outcome("other")
    (tmp_path / "other" / "done.json").write_text("{")
    with pytest.raises(StudyError):
        store.outcome("other")
