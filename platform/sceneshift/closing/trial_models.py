"""Registering the networks of any trial of a closed study; no target is read."""

from collections.abc import Sequence
from pathlib import Path

from sceneshift.closing.closed_study import checkpoints_of, load_study_data, require_closed, trial_spec
from sceneshift.closing.trained import TrainedNetwork
from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.report.study_record import BEST, StudyRecord
from sceneshift.splits.source import by_pair
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.model_description import ModelDescription
from sceneshift.tracking.models import LoggedModel, log_and_register
from sceneshift.tracking.registry import CANDIDATE, PAIR_TAG, SELECTION_TAG, describe_version
from sceneshift.tracking.search_run import STUDY_TAG, TRIAL_TAG
from sceneshift.tracking.trained_on import TrainedOn

#: What a version was selected by that a person picked.
BY_HAND = "a person, who picked the trial"


def register_trial(directory: Path, number: int, *, backend: TrackingBackend) -> Sequence[LoggedModel]:
    """Register a trial's networks, one per pair, as candidates.

    They are those of its last epoch, trained on the training side of the split.

    Args:
        directory: The study's directory.
        number: The trial.
        backend: The MLflow that has the study's runs.

    Raises:
        InvalidInputError: The study has no such trial, or it is the winner, which is registered.
        StudyError: The study is not closed, its data has changed, MLflow lacks the trial's run, or its checkpoint is
            missing or damaged.
    """
    record = StudyRecord.read(directory)
    require_closed(record)
    assert record.summary is not None
    trial = next((each for each in record.records if each.number == number), None)
    if trial is None or not trial.epochs:
        with_epochs = [each.number for each in record.records if each.epochs]
        raise InvalidInputError(
            f"study {record.name} has no trial {number} with a trained epoch; expected one of "
            f"{', '.join(map(str, with_epochs))}."
        )
    if number == record.summary["best"]["trial"]:
        raise InvalidInputError(
            f"trial {number} is the winner of study {record.name}; its network was registered when the study closed. "
            "Give another trial."
        )
    data, spec = load_study_data(record), trial_spec(record, trial)
    networks = {
        pair: TrainedNetwork.load(BEST, spec, sources, checkpoints_of(record, trial), epoch=trial.last_epoch)
        for pair, sources in by_pair(data.sources).items()
    }
    client = backend.connect()
    experiment = client.get_experiment_by_name(record.name)
    runs = (
        []
        if experiment is None
        else client.search_runs(
            [experiment.experiment_id], f"tags.`{STUDY_TAG}` = 'trial' and tags.`{TRIAL_TAG}` = '{number}'"
        )
    )
    if not runs:
        raise StudyError(
            f"MLflow at {backend.shown} has no run of trial {number} of study {record.name}; set MLFLOW_TRACKING_URI "
            "to where the study's runs are, or resume the study to write them."
        )
    run_id, hashes = str(runs[0].info.run_id), data.hashes()
    models = []
    for recipe in data.recipes:
        network = networks[recipe.name]
        validation = network.validation
        model = log_and_register(
            client,
            run_id=run_id,
            alias=CANDIDATE,
            classifier=network.classifier,
            description=ModelDescription.of(
                method=spec.method,
                config=spec.config,
                sources=[source.scene for source in network.sources],
                normalization=network.normalization,
                profile=str(record.summary["profile"]),
                study=record.name,
            ),
            tags={
                "study": record.name,
                "trained_on": "the trial's training pixels",
                PAIR_TAG: recipe.name,
                SELECTION_TAG: BY_HAND,
                **({} if validation is None else {"val.aa": f"{validation['aa']:.4f}"}),
            },
            metrics={} if validation is None else {"model/val_aa": validation["aa"]},
        )
        TrainedOn.of(
            recipe, network.sources, source_hash=hashes[f"source.hash.{recipe.name}"], registered=network.sources
        ).save(client, run_id)
        describe_version(
            client,
            model.name,
            model.version,
            f"Trial {number} of study {record.name}, after epoch {trial.last_epoch} of {spec.epochs}; selected by "
            f"{BY_HAND}. Not scored on any target.",
        )
        models.append(model)
    return models
