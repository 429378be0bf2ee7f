"""The mapped target of every evaluated epoch: what the network answers, kept over a cut, and nothing of a training."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.methods.cross_entropy import CrossEntropyConfig
from sceneshift.methods.spectral import PenaltyConfig
from sceneshift.splits.pair import ScenePair
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.data import DataSpec
from sceneshift.training.epoch_record import RecordFolder
from sceneshift.training.evaluation import map_scene
from sceneshift.training.loop import train
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.spec import TrainSpec
from sceneshift.training.target_classes import TargetClassesFolder
from sceneshift.training.target_pixels import TargetPixels

CONFIG = CrossEntropyConfig(patch_size=5, batch_size=40, width=8, lr=0.01)
PLAN = TrainingPlan(method="cross_entropy", config=CONFIG, epochs=4, seed=0, evaluate_every=2, maps_target=True)


@pytest.fixture
def target(make_scene):
    scene = make_scene(5, name="other")
    cube = scene.cube.copy()
    cube[:2] = 0  # unmeasured
    scene = replace(scene, cube=cube, labels=np.where(np.arange(40)[:, None] < 2, 0, scene.labels))
    pair = ScenePair(name="tiny-pair", sources=(make_scene(),), target=scene.without_labels())
    return TargetPixels.draw(pair, most=10)


def trained(plan, source, folder, **arguments):
    reports = []
    (run,) = train(plan, [source], report=reports.append, checkpoints=CheckpointFolder(str(folder)), **arguments)
    return run, reports, TargetClassesFolder(str(folder)).read()


def test_every_evaluated_epoch_has_the_class_of_every_measured_pixel(tiny_source, target, tmp_path):
    run, _, maps = trained(PLAN, tiny_source, tmp_path, targets=[target])
    assert list(maps) == [("tiny-pair", 2, False), ("tiny-pair", 4, False)]
    last = maps["tiny-pair", 4, False].class_map
    expected = map_scene(run.classifier, run.normalization.apply(target.scene.cube), patch_size=5, device="cpu")
    assert last.dtype == np.uint8
    assert last.shape == (40, 30)
    assert (last[:2] == 0).all()
    np.testing.assert_array_equal(last[2:], expected[2:])
    assert (maps["tiny-pair", 2, False].class_map != last).any()


def test_mapping_changes_nothing_of_a_training_or_of_its_record(tiny_source, target, tmp_path):
    plan = replace(PLAN, record=True, epochs=8, evaluate_every=1)
    _, mapped, maps = trained(plan, tiny_source, tmp_path / "mapped", targets=[target])
    _, plain, none = trained(replace(plan, maps_target=False), tiny_source, tmp_path / "plain")
    assert [report.weights for report in mapped] == [report.weights for report in plain]
    assert not none
    records = [(tmp_path / name / "record" / "epochs.parquet").read_bytes() for name in ("mapped", "plain")]
    assert records[0] == records[1]
    candidates = {(r.pair, r.epoch, r.is_average) for r in RecordFolder(str(tmp_path / "mapped")).read().records}
    assert set(maps) == candidates
    assert any(is_average for _, _, is_average in maps)  # of eight epochs on so small a scene one begins


def test_a_cut_training_leaves_the_maps_of_an_uncut_one(tiny_source, target, tmp_path):
    class Cut(Exception):
        pass

    def cut(report):
        if report.epoch == 3:
            raise Cut

    with pytest.raises(Cut):
        train(PLAN, [tiny_source], report=cut, checkpoints=CheckpointFolder(str(tmp_path / "cut")), targets=[target])
    _, _, again = trained(PLAN, tiny_source, tmp_path / "cut", targets=[target])
    _, _, whole = trained(PLAN, tiny_source, tmp_path / "whole", targets=[target])
    assert list(again) == list(whole)
    for key, found in whole.items():
        np.testing.assert_array_equal(again[key].class_map, found.class_map)
    assert {p.name for p in (tmp_path / "cut" / "target_classes").iterdir()} == {"epochs.parquet"}


def test_a_spectral_floor_maps_the_target(tiny_source, target, tmp_path):
    plan = TrainingPlan(
        method="logistic_regression", config=PenaltyConfig(patch_size=5), epochs=1, seed=0, maps_target=True
    )
    _, _, maps = trained(plan, tiny_source, tmp_path, targets=[target])
    assert set(np.unique(maps["tiny-pair", 1, False].class_map[2:])) <= {1, 2, 3}


def test_the_target_must_be_handed_over_and_outputs_of_it_are_not_recorded(tiny_source, target, tmp_path):
    with pytest.raises(InvalidInputError):
        trained(PLAN, tiny_source, tmp_path)
    with pytest.raises(InvalidInputError):
        train(PLAN, [tiny_source], report=lambda report: None, targets=[target])  # no folder
    trained(replace(PLAN, record=True), tiny_source, tmp_path, targets=[target])
    header = RecordFolder(str(tmp_path)).headers()["tiny-pair"]
    assert header.target_pixels is None


def test_damage_is_named(tiny_source, target, tmp_path):
    trained(PLAN, tiny_source, tmp_path, targets=[target])
    path = tmp_path / "target_classes" / "epochs.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StudyError):
        TargetClassesFolder(str(tmp_path)).read()


def test_mapping_alters_no_key_and_survives_json():
    spec = TrainSpec(method="cross_entropy", config=CONFIG, epochs=4, seed=0, data=DataSpec(pairs=("west-east",)))
    mapped = replace(spec, maps_target=True)
    assert mapped.key() == spec.key()
    assert "maps_target" not in spec.as_dict()
    assert TrainSpec.from_dict(mapped.as_dict()) == mapped
