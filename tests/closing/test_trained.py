"""A trained network taken back from its checkpoint."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sceneshift.closing.trained import TrainedNetwork
from sceneshift.errors import StudyError
from sceneshift.methods.cross_entropy import CrossEntropyConfig
from sceneshift.scenes.normalization import NORMALIZATIONS, Normalization
from sceneshift.scores import Scores
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.split import everything_split
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.data import DataSpec
from sceneshift.training.epoch_record import RecordFolder
from sceneshift.training.evaluation import map_scene
from sceneshift.training.loop import train
from sceneshift.training.pair_run import PairRun
from sceneshift.training.spec import TrainSpec

SPEC = TrainSpec(
    method="cross_entropy",
    config=CrossEntropyConfig(patch_size=5, width=8, batch_size=100),
    epochs=2,
    seed=0,
    data=DataSpec(pairs=("tiny-pair",), patch_size=5, pixels_per_class=30),
)


@pytest.fixture
def trained(tiny_source, tmp_path):
    """Train on a source; returns the run of the plain loop, its last report, and where its checkpoints are."""

    def build(spec=SPEC, source=tiny_source):
        location = str(tmp_path / "checkpoints")
        reports = []
        (run,) = train(spec, [source], report=reports.append, checkpoints=CheckpointFolder(location))
        return run, reports[-1], location

    return build


def test_the_network_comes_back_as_it_was_trained(trained, tiny_source):
    run, report, location = trained()
    network = TrainedNetwork.load("best", SPEC, [tiny_source], location, weights=report.weights[tiny_source.pair_name])
    assert (network.role, network.spec, network.pair_name) == ("best", SPEC, "tiny-pair")
    assert weights_hash(network.classifier) == weights_hash(run.classifier)
    assert not network.classifier.training
    assert network.config() == {**SPEC.as_dict()["config"]}
    assert network.seconds == report.metrics["time/tiny-pair/trained_s"] > 0
    assert network.validation == {figure: report.metrics[f"val/tiny-pair/{figure}"] for figure in ("oa", "aa", "kappa")}


def test_an_earlier_epoch_is_taken_where_it_was_chosen(trained, tiny_source):
    run, _, location = trained()
    first = TrainedNetwork.load("best", SPEC, [tiny_source], location, epoch=1)
    last = TrainedNetwork.load("best", SPEC, [tiny_source], location)
    assert weights_hash(first.classifier) != weights_hash(last.classifier) == weights_hash(run.classifier)
    assert first.seconds < last.seconds


def test_averaged_weights_are_those_that_were_recorded(tiny_source, tmp_path, monkeypatch):
    # The average begins at the first evaluation that is not better than the one before, which is forced.
    monkeypatch.setattr("sceneshift.training.flat_average.PATIENCE", 0)
    location = str(tmp_path / "checkpoints")
    spec = replace(SPEC, record=True)
    train(spec, [tiny_source], report=lambda _: None, checkpoints=CheckpointFolder(location))
    averaged = TrainedNetwork.load("best", spec, [tiny_source], location, averaged=True)
    own = TrainedNetwork.load("best", spec, [tiny_source], location)
    assert weights_hash(averaged.classifier) != weights_hash(own.classifier)
    found = RecordFolder(location).read()
    header = found.headers["tiny-pair"]
    records = {record.is_average: record for record in found.of("tiny-pair") if record.epoch == 2}
    for is_average, network in ((True, averaged), (False, own)):
        recorded = records[is_average].validation.logits.argmax(axis=1)
        assert np.mean(network.predict_sources([header.validation_pixels]) == recorded) > 0.97
    # Where the average has just begun, the epoch's own weights.
    first, average = (
        TrainedNetwork.load("best", spec, [tiny_source], location, epoch=1, averaged=averaged)
        for averaged in (False, True)
    )
    assert weights_hash(first.classifier) == weights_hash(average.classifier)


def test_what_it_predicts_on_validation_pixels_is_what_was_scored(trained, tiny_source):
    _, _, location = trained()
    network = TrainedNetwork.load("best", SPEC, [tiny_source], location)
    validation = tiny_source.split.validation
    predicted = network.predict_sources([validation])
    assert predicted.shape == (len(validation),)
    scores = Scores.from_labels(tiny_source.labels_of(validation), predicted, num_classes=3)
    assert scores.oa == pytest.approx(network.validation["oa"])


def test_no_validation_where_none_was_held_back(trained, tiny_source):
    source = replace(tiny_source, split=everything_split(tiny_source.scene, 5))
    _, _, location = trained(source=source)
    network = TrainedNetwork.load("best", SPEC, [source], location)
    assert network.validation is None
    assert network.training_counts() == [256, 256, 256]


def test_counts_are_of_each_class_s_training_pixels(trained, tiny_source):
    _, _, location = trained()
    network = TrainedNetwork.load("best", SPEC, [tiny_source], location)
    labels = tiny_source.scene.labels.ravel()[tiny_source.split.train]
    assert network.training_counts() == [int((labels == k).sum()) for k in (1, 2, 3)] == [30, 30, 30]


def test_a_training_of_an_earlier_version_has_no_seconds(trained, tiny_source):
    _, _, location = trained()
    network = TrainedNetwork.load("best", SPEC, [tiny_source], location)
    metrics = {key: value for key, value in network.metrics.items() if not key.startswith("time/")}
    assert replace(network, metrics=metrics).seconds is None


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_target_is_normalized_as_the_source_was_in_training(trained, tiny_source, make_scene, name):
    spec = replace(SPEC, epochs=1, config=replace(SPEC.config, normalization=name))
    run, _, location = trained(spec)
    network = TrainedNetwork.load("best", spec, [tiny_source], location)
    fitted = Normalization.fit(name, tiny_source.scene.cube)
    in_training = PairRun(spec, [tiny_source], torch.device("cpu")).normalization
    assert network.normalization.as_dict() == in_training.as_dict() == fitted.as_dict()
    target = make_scene(1, name="other").without_labels()
    pair = ScenePair(name="tiny-pair", sources=(tiny_source.scene,), target=target)
    np.testing.assert_array_equal(network.target_cube(pair), run.normalization.apply(target.cube))
    class_map = map_scene(network.classifier, network.target_cube(pair), patch_size=5, device="cpu")
    assert set(np.unique(class_map)) <= {1, 2, 3}


class TestRefused:
    def test_where_there_is_no_checkpoint(self, tiny_source, tmp_path):
        with pytest.raises(StudyError, match="epoch 2"):
            TrainedNetwork.load("best", SPEC, [tiny_source], str(tmp_path / "none"))

    def test_where_the_training_ended_early_the_newest_epoch_is_named(self, trained, tiny_source):
        _, _, location = trained(replace(SPEC, epochs=1))
        with pytest.raises(StudyError, match=r"epoch 2.*epoch 1"):
            TrainedNetwork.load("best", SPEC, [tiny_source], location)

    def test_a_damaged_checkpoint(self, trained, tiny_source, tmp_path):
        _, _, location = trained()
        (tmp_path / "checkpoints" / "epoch_00002.ckpt").write_bytes(b"damaged")
        with pytest.raises(StudyError, match="epoch 2"):
            TrainedNetwork.load("best", SPEC, [tiny_source], location)

    def test_weights_that_training_did_not_report(self, trained, tiny_source):
        _, report, location = trained()
        got = report.weights["tiny-pair"]
        with pytest.raises(StudyError, match=f"{got}.*0123456789abcdef"):
            TrainedNetwork.load("best", SPEC, [tiny_source], location, weights="0123456789abcdef")
