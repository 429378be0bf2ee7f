"""What a closed study's folder still has of its trials: what they trained, on which data, and their checkpoints."""

from sceneshift.errors import StudyError
from sceneshift.report.study_record import StudyRecord
from sceneshift.search.trial_record import TrialRecord
from sceneshift.seeding import trial_seed
from sceneshift.training.data import LoadedData
from sceneshift.training.resume_check import differences
from sceneshift.training.spec import TrainSpec


def require_closed(record: StudyRecord) -> None:
    """Reject a study that does not describe its trainings.

    Raises:
        StudyError: It is not closed, or an earlier version closed it.
    """
    if record.summary is None or "trial spec" not in record.summary:
        raise StudyError(
            f"study {record.name} is not closed, or was closed by a version that does not describe its trainings; "
            "close it with --resume, then try again."
        )


def trial_spec(record: StudyRecord, trial: TrialRecord) -> TrainSpec:
    """What a trial of a closed study trained."""
    assert record.summary is not None
    seed = trial_seed(int(record.settings["seed"]), trial.number)
    return TrainSpec.from_dict({**record.summary["trial spec"], "config": dict(trial.config), "seed": seed})


def load_study_data(record: StudyRecord) -> LoadedData:
    """Load the data of a closed study.

    Raises:
        StudyError: It has changed since the study began.
    """
    assert record.summary is not None
    data = TrainSpec.from_dict(record.summary["trial spec"]).data.load()
    now = data.identity()
    if changed := differences({name: record.settings.get(name) for name in now}, now):
        raise StudyError(
            f"the data of study {record.name} has changed ({'; '.join(changed)}); put back what it was begun with."
        )
    return data


def checkpoints_of(record: StudyRecord, trial: TrialRecord) -> str:
    """The folder of a trial's checkpoints."""
    storage = str(record.settings["storage"])
    location = storage if "://" in storage else str(record.directory / "checkpoints")
    return f"{location}/trial_{trial.number:04d}"
