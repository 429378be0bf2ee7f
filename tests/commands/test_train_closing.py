from types import SimpleNamespace

import numpy as np
import pytest
from sceneshift.study import train_closing

from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.commands.train_arguments import TrainArgs
from sceneshift.engine.training import prepare_training
from sceneshift.errors import StudyError
from sceneshift.scenes.unmixing_reference import UnmixingReference
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.training_run import TrainingRun
from sceneshift.training.loop import train


@pytest.fixture
def reference_of(monkeypatch):
    reference = UnmixingReference(
        materials=("soil", "tree", "water"), abundances=np.full((2, 2, 3), 1 / 3), endmembers=np.ones((5, 3))
    )
    monkeypatch.setattr(train_closing, "load_reference", lambda name, data_dir: reference)

    def find(recipe, class_names):
        training = SimpleNamespace(recipe=recipe, pair=SimpleNamespace(class_names=class_names))
        return train_closing._reference(training)

    return reference, find


def test_a_reference_is_shown_where_the_classes_are_its_materials(reference_of):
    reference, find = reference_of
    samson = InScene(scene="samson", split="random", patch_size=5, seed=0)
    assert find(samson, ("soil", "tree", "water")) is reference
    # With a class left out, columns would stand for other materials.
    assert find(samson, ("soil", "water")) is None
    assert find(InScene(scene="indian_pines", split="random", patch_size=5, seed=0), ("soil", "tree", "water")) is None
    assert find(NamedPair(name="west-east"), ("soil", "tree", "water")) is None


@pytest.mark.slow
def test_a_registry_that_is_away_is_told_with_the_results_on_disk(tmp_path, monkeypatch):
    training = prepare_training(
        TrainArgs(
            method="cross_entropy",
            pair="sw-se",
            patch_size=5,
            epochs=1,
            set=("width=8",),
            device="cpu",
            storage_path=str(tmp_path),
            run_name="r",
        )
    )
    backend = TrackingBackend(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", artifact_root=tmp_path / "mlartifacts")
    mlflow_run = TrainingRun(
        backend, experiment="e", name="r", tags={}, params={}, journal=training.directory / "epochs.jsonl"
    )
    (run,) = train(training.plan, [training.source], report=lambda _: None, device="cpu")

    def away(*args, **kwargs):
        raise ConnectionError("registry is away")

    monkeypatch.setattr(train_closing, "log_and_register", away)
    with pytest.raises(StudyError, match=r"lie in .*report, but MLflow at sqlite.*registry is away.*--resume tells it"):
        train_closing.close_training(training, run, mlflow_run, seconds=1.0)
    assert (training.directory / "report" / "summary.json").exists()
    assert mlflow_run.client.get_run(mlflow_run.run_id).info.status == "RUNNING"  # its caller ends it
