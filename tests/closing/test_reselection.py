"""A whole search by a strategy of the second regime, and its choice made again under others."""

import json

import pytest

from sceneshift.closing.reselection import reselect
from sceneshift.closing.trial_models import register_trial
from sceneshift.engine.searching import search
from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.report.study_record import StudyRecord
from sceneshift.search.space import load_space
from sceneshift.search.spec import SearchSpec
from sceneshift.selection.candidates import Candidate
from sceneshift.selection.outputs import pooled_trial
from sceneshift.selection.registry import find_strategy
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.models import load_scene_model
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.data import DataSpec

SPACE = """
from sceneshift.search.profile import Profile

PAIRS = ("one-two",)
DEFAULTS = {"lr": 1e-3, "patch_size": 5}
PROFILES = (Profile(name="tiny", description="", epochs=4, num_samples=2, pixels_per_class=20, grace_epochs=4),)


def space(trial):
    lr = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
    patch_size = trial.suggest_categorical("patch_size", [5])
    return {"patch_size": patch_size, "batch_size": 30, "width": 8, "lr": lr}
"""


@pytest.fixture
def study(unit_catalogue, tmp_path, monkeypatch):
    """A closed search of two trials, four epochs each, chosen by infomax."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "space.py").write_text(SPACE)
    space = load_space(tmp_path / "space.py")
    spec = SearchSpec(
        method="cross_entropy",
        space=space,
        profile=space.profile("tiny"),
        data=DataSpec(pairs=("one-two",), catalogue=unit_catalogue()),
        name="s",
        storage_path=str(tmp_path / "results"),
        executor="local",
        cpus_per_trial=1,
        strategy="infomax",
        record=True,
        target_access="unlabelled",
    )
    return search(spec)


@pytest.mark.slow
def test_trial_and_epoch_are_chosen_by_it_and_by_others_afterwards(study, tmp_path):
    result = study
    strategy = find_strategy("infomax")
    # Workers have scored every epoch, from what they recorded.
    for record in result.records:
        got = {epoch: metrics["selection/infomax"] for epoch, metrics in record.epochs.items()}
        location = f"{result.directory}/checkpoints/trial_{record.number:04d}"
        again = strategy.scores(
            [
                pooled_trial(
                    strategy,
                    number=record.number,
                    configuration="",
                    is_complete=True,
                    epochs={epoch: {} for epoch in got},
                    location=location,
                )
            ]
        )
        assert again == {Candidate(trial=record.number, epoch=e): pytest.approx(score) for e, score in got.items()}
        assert record.value == max(got.values())
        best = max(got, key=lambda epoch: (got[epoch], -epoch))
        assert CheckpointFolder(location).load(best) is not None
    choice = result.choice
    assert choice.score == max(record.value for record in result.records)
    got = result.summary["choice"]
    assert (got["strategy"], got["steered by"], got["epoch"]) == ("infomax", "selection/infomax", choice.epoch)
    estimate = result.summary["estimates"]["one-two"]
    assert (estimate["low"], estimate["high"], estimate["num_groups"]) == (0.0, 1.0, 0)
    assert 0 <= estimate["value"] <= 1
    refitted = result.directory / "checkpoints" / f"refit_{choice.trial:04d}"
    folders = [CheckpointFolder(str(path)) for path in refitted.iterdir()]
    assert [folder.latest_epoch() for folder in folders] == [choice.epoch]

    # The same choice again: the same network, mapped again.
    before = (result.directory / "report" / "summary.json").read_bytes()
    same = reselect(result.directory, "infomax")
    assert same.choice == choice
    summary = json.loads((same.page.parent / "summary.json").read_text())
    best_row = next(row for row in result.summary["scores"] if row["role"] == "best")
    row = next(row for row in summary["scores"] if row["role"] == "best")
    assert row["target"] == best_row["target"]
    # Of another strategy, which takes the last epoch.
    other = reselect(result.directory, "source-blocks")
    assert (other.choice.epoch, other.page.parent.name) == (4, "report-source-blocks")
    found = StudyRecord.read(result.directory, closed_in=other.page.parent)
    assert (found.strategy.name, found.metric) == ("source-blocks", "selection/infomax")
    # The oracle's labels are read to choose, and again to score.
    openings = StudyRecord.read(result.directory).openings
    oracle = reselect(result.directory, "oracle")
    assert oracle.choice.score <= 1
    opened = StudyRecord.read(result.directory).openings - openings
    assert opened == (1 if oracle.page is None else 2)
    assert (result.directory / "report" / "summary.json").read_bytes() == before

    # A choice without its weights says so and scores nothing.
    location = result.directory / "checkpoints" / f"trial_{choice.trial:04d}"
    (location / f"epoch_{choice.epoch:05d}.ckpt").unlink()
    openings = StudyRecord.read(result.directory).openings
    gone = reselect(result.directory, "infomax", out=tmp_path / "out")
    assert (gone.choice, gone.page) == (choice, None)
    assert StudyRecord.read(result.directory).openings == openings

    with pytest.raises(InvalidInputError):
        reselect(result.directory, "gde")
    with pytest.raises(InvalidInputError):
        reselect(result.directory, "infomax", out=result.directory / "report")
    (result.directory / "report" / "summary.json").unlink()
    with pytest.raises(StudyError):
        reselect(result.directory, "infomax")


@pytest.mark.slow
def test_a_trial_that_was_not_chosen_can_be_registered_and_loaded(study):
    (other,) = {record.number for record in study.records} - {study.choice.trial}
    backend = TrackingBackend.resolve(study.directory.parent)
    opened = StudyRecord.read(study.directory).summary["times the target was opened"]

    (model,) = register_trial(study.directory, other, backend=backend)

    assert (model.alias, model.version) == ("candidate", "2")
    record = next(record for record in study.records if record.number == other)
    loaded = load_scene_model(f"models:/{model.name}/{model.version}")
    assert weights_hash(loaded.classifier) == record.weights["one-two"]
    version = backend.connect().get_model_version(model.name, model.version)
    assert float(version.tags["val.aa"]) == pytest.approx(record.epochs[record.last_epoch]["val/one-two/aa"], abs=1e-4)
    assert StudyRecord.read(study.directory).summary["times the target was opened"] == opened

    with pytest.raises(InvalidInputError, match="winner"):
        register_trial(study.directory, study.choice.trial, backend=backend)
    with pytest.raises(InvalidInputError, match="9"):
        register_trial(study.directory, 9, backend=backend)
