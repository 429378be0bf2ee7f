"""The end of a training: its network is scored, drawn, logged and registered."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.closing import registering
from sceneshift.closing import training as closing
from sceneshift.closing.trained import TrainedNetwork
from sceneshift.errors import StudyError
from sceneshift.methods.cross_entropy import CrossEntropyConfig
from sceneshift.scenes.unmixing_reference import UnmixingReference
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.training_run import TrainingRun
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.data import DataSpec
from sceneshift.training.loop import train
from sceneshift.training.spec import TrainSpec


@pytest.fixture
def reference_of(monkeypatch, as_scene_pair):
    reference = UnmixingReference(
        materials=("soil", "tree", "water"), abundances=np.full((2, 2, 3), 1 / 3), endmembers=np.ones((5, 3))
    )
    monkeypatch.setattr(closing, "load_reference", lambda name, data_dir: reference)

    def find(recipe, scene):
        return closing._reference(recipe, as_scene_pair(scene))

    return reference, find


def test_a_reference_is_shown_where_the_classes_are_its_materials(reference_of, tiny_scene):
    reference, find = reference_of
    samson = InScene(scene="samson", split="random", patch_size=5, seed=0)
    assert find(samson, tiny_scene) is reference
    # With a class left out, columns would be other materials.
    assert find(samson, with_classes(tiny_scene, ("soil", "water"))) is None
    assert find(InScene(scene="indian_pines", split="random", patch_size=5, seed=0), tiny_scene) is None
    assert find(NamedPair(name="west-east"), tiny_scene) is None


def with_classes(scene, names):
    return replace(scene, labels=np.minimum(scene.labels, len(names)), class_names=names)


@pytest.fixture
def close(unit_catalogue, tmp_path):
    """Train one epoch on a pair of tiny scenes, and close."""
    data = DataSpec(pairs=("one-two",), catalogue=unit_catalogue(one="counts", two="counts"), patch_size=5)
    spec = TrainSpec(
        method="cross_entropy", config=CrossEntropyConfig(patch_size=5, width=8), epochs=1, seed=0, data=data
    )
    loaded = data.load()
    (pair,), (source,), (recipe,) = loaded.pairs, loaded.sources, loaded.recipes
    location = str(tmp_path / "checkpoints")
    train(spec, [source], report=lambda _: None, checkpoints=CheckpointFolder(location))
    backend = TrackingBackend(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", artifact_root=tmp_path / "mlartifacts")
    run = TrainingRun(backend, experiment="e", name="r", tags={}, params={}, journal=tmp_path / "epochs.jsonl")

    def build():
        return closing.close_training(
            TrainedNetwork.load("cross_entropy", spec, [source], location),
            pair,
            recipe,
            run,
            name="r",
            folder=tmp_path / "report",
            settings={"seed": 0},
            hashes=loaded.hashes(),
            selection="none",
        )

    return run, build


@pytest.mark.slow
def test_what_it_came_to_is_on_disk_in_mlflow_and_registered(close, tmp_path):
    run, build = close
    closed = build()
    assert json.loads((tmp_path / "report" / "summary.json").read_text()) == closed.summary
    assert closed.folder == tmp_path / "report"
    assert closed.summary["scores"][0]["role"] == "cross_entropy"
    assert closed.summary["scores"][-1]["role"] == "majority class"
    assert closed.summary["units"] == {"one-two": "counts"}
    assert closed.summary["test"]["oa"] == closed.metrics["target/oa"]
    values = {key: value for key, value in run.final_metrics("target/").items() if not key.startswith("target/class/")}
    assert values == {f"target/{name}": value for name, value in closed.summary["test"].items()}
    class_map = np.load(tmp_path / "report" / "map_one-two.npy")
    assert (class_map.shape, class_map.dtype) == ((40, 30), np.uint8)
    with (tmp_path / "report" / "per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["soil", "tree", "water"]
    assert [int(row["test"]) for row in rows] == [256, 256, 256]
    version = run.client.get_model_version(closed.model.name, closed.model.version)
    assert closed.model.alias == closing.TRAINED
    assert (version.run_id, version.tags["run"], version.tags["split"]) == (run.run_id, "r", "blocks 0.8")
    assert version.tags["target.oa"] == f"{closed.metrics['target/oa']:.4f}"
    assert closed.unmixing is None


@pytest.mark.slow
def test_a_registry_that_is_away_is_named_with_the_results_on_disk(close, tmp_path, monkeypatch):
    run, build = close

    def away(*args, **kwargs):
        raise ConnectionError("registry is away")

    monkeypatch.setattr(registering, "log_and_register", away)
    with pytest.raises(StudyError, match=r"registry is away.*--resume"):
        build()
    assert (tmp_path / "report" / "summary.json").exists()
    assert run.client.get_run(run.run_id).info.status == "RUNNING"  # its caller ends it
