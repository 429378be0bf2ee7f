"""The trial store of a study: every trial, its state and its epochs, in an Optuna database.

It is the only record from which a search can be resumed and MLflow's records completed. Trials that were stopped early
are PRUNED, trials that failed are FAIL, and unfinished trials are RUNNING; an interrupted search finds and continues
the RUNNING ones.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
import sqlalchemy.exc
from optuna.trial import TrialState

import sceneshift
from sceneshift.errors import StorageError, StudyError, first_line
from sceneshift.search.profile import Profile
from sceneshift.search.sampler import NameSeededTPESampler
from sceneshift.search.trial_record import CONFIG, ENDED, EPOCH, REASON, REFERENCE_TRIAL, WEIGHTS, Ended, TrialRecord
from sceneshift.selection.strategy import Strategy
from sceneshift.training.resume_check import differences, plain, refuse_other_settings

_SETTINGS = "settings"
_ORIGIN = "origin"
_CHANGES = "changes"
_TRACKING = "mlflow"
_OPENINGS = "times the target was opened"
_CLOSED_WITH = "closed with so many trials"


class TrialStore:
    """Draws configurations, records epochs, stops trials by ASHA, closes trials.

    Use :meth:`create` or :meth:`reopen`.
    """

    def __init__(self, study: optuna.Study, profile: Profile, strategy: Strategy[Any], *, is_new: bool) -> None:
        self.study = study
        self._profile = profile
        self._strategy = strategy
        self._is_new = is_new
        self._live: dict[int, optuna.Trial] = {}

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        name: str,
        seed: int,
        profile: Profile,
        strategy: Strategy[Any],
        settings: Mapping[str, Any],
        first_params: Sequence[Mapping[str, Any]],
        origin: Mapping[str, str] | None = None,
    ) -> "TrialStore":
        """Create the trial store of a new study with given first trials.

        Args:
            path: The database file; must not exist.
            name: The study's name.
            seed: The study's seed.
            profile: The settings of sampler and ASHA.
            strategy: What scores epochs.
            settings: The settings that must be the same on resume, as plain values.
            first_params: Suggested names and values of the first trials; the first of them is the reference trial, the
                published defaults.
            origin: Hashes of the code and the data, by name; on resume they may differ, which is reported.

        Raises:
            StudyError: The file exists.
            StorageError: It can't be written.
        """
        if path.exists():
            raise StudyError(f"study {name!r} exists at {path}; continue it with --resume or choose another name.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            study = optuna.create_study(
                study_name=name,
                storage=_storage(path),
                direction="maximize",
                sampler=_sampler(seed, profile),
                pruner=_asha(profile),
            )
            study.set_user_attr(_SETTINGS, plain(settings))
            study.set_user_attr(_ORIGIN, dict(origin or {}))
            for params in first_params:
                study.enqueue_trial(dict(params))
        except (OSError, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            raise StorageError(
                f"{path} can't be written ({first_line(error.__cause__ or error)}). Nothing was started."
            ) from error
        return cls(study, profile, strategy, is_new=True)

    @classmethod
    def reopen(
        cls,
        path: Path,
        *,
        name: str,
        seed: int,
        profile: Profile,
        strategy: Strategy[Any],
        settings: Mapping[str, Any],
        origin: Mapping[str, str] | None = None,
    ) -> "TrialStore":
        """Reopen a study's trial store to continue it.

        Differences between the stored origin and the given one are recorded in :attr:`changes`.

        Raises:
            StudyError: There is none, or the settings differ from those it was created with.
        """
        if not path.exists():
            raise StudyError(f"no study to resume at {path}; leave --resume out to begin one.")
        try:
            study = optuna.load_study(
                study_name=name, storage=_storage(path), sampler=_sampler(seed, profile), pruner=_asha(profile)
            )
            study.get_trials(deepcopy=False)
        except (sqlalchemy.exc.SQLAlchemyError, KeyError) as error:
            raise StudyError(
                f"{path} is damaged or no trial store of study {name!r} ({first_line(error)}). Put a copy back, or "
                "begin a study of another name."
            ) from error
        before = study.user_attrs.get(_SETTINGS, {})
        if before.get("format") != settings.get("format"):
            raise StudyError(
                f"study {name!r} was begun with another version of sceneshift; version {sceneshift.__version__} reads "
                "and reports it, but can't continue it. Use that version, or begin another by --experiment-name."
            )
        refuse_other_settings(
            f"study {name!r}",
            before,
            settings,
            advice="Give the same arguments (only --num-samples and --time-budget-s may change), or another name.",
        )
        store = cls(study, profile, strategy, is_new=False)
        store._note_changes(origin or {})
        return store

    def records(self) -> list[TrialRecord]:
        """All trials by number, without those that have not begun."""
        trials = self.study.get_trials(deepcopy=False)
        return [TrialRecord.from_optuna(t) for t in trials if t.state != TrialState.WAITING]

    @property
    def is_worth_keeping(self) -> bool:
        """Whether the study has a trial, was there before this process, or can't be read."""
        try:
            return not self._is_new or bool(self.records())
        except (OSError, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError):
            return True

    def record(self, number: int) -> TrialRecord:
        """One trial."""
        return TrialRecord.from_optuna(self.study.get_trials(deepcopy=False)[number])

    def ask(self, make_config: Callable[[optuna.Trial], Mapping[str, Any]]) -> TrialRecord:
        """Begin a new trial with a configuration drawn from the space."""
        trial = self.study.ask()
        self._live[trial.number] = trial
        return self.draw(trial.number, make_config)

    def draw(self, number: int, make_config: Callable[[optuna.Trial], Mapping[str, Any]]) -> TrialRecord:
        """Draw the configuration of a trial that has begun; drawing again gives the same result."""
        trial = self._trial(number)
        trial.set_user_attr(CONFIG, dict(make_config(trial)))
        return self.record(number)

    def report(self, number: int, epoch: int, metrics: Mapping[str, float], weights: Mapping[str, str]) -> None:
        """Record an epoch. If it is recorded twice (a trial that fell back to its checkpoint), the first is kept."""
        trial = self._trial(number)
        if f"{EPOCH}{epoch}" in trial.user_attrs:
            return
        # The epoch comes last: if interrupted before it, all three are written again.
        trial.set_user_attr(WEIGHTS, dict(weights))
        has_score = epoch in self.study.get_trials(deepcopy=False)[number].intermediate_values
        if self._strategy.metric in metrics and not has_score:  # an epoch that is not evaluated has no score
            trial.report(self._strategy.score(metrics), step=epoch)
        trial.set_user_attr(f"{EPOCH}{epoch}", {**metrics, "time/recorded_unix_s": time.time()})

    def should_stop(self, number: int, epoch: int) -> bool:
        """Whether ASHA stops the trial after this epoch. The reference trial always runs to its end."""
        stops = self._trial(number).should_prune()
        return stops and number != REFERENCE_TRIAL and epoch < self._profile.epochs

    def count_opening(self) -> int:
        """Count a reading of target labels before it happens; returns how often they have been read."""
        times = int(self.study.user_attrs.get(_OPENINGS, 0)) + 1
        self.study.set_user_attr(_OPENINGS, times)
        return times

    def mark_closed(self) -> None:
        """Record that the study was closed completely, with its current trials."""
        self.study.set_user_attr(_CLOSED_WITH, sum(record.is_finished for record in self.records()))

    @property
    def is_closed(self) -> bool:
        """Whether the study was closed completely and no trial has been added since."""
        return bool(self.study.user_attrs.get(_CLOSED_WITH) == len(self.records()))

    @property
    def changes(self) -> list[dict[str, Any]]:
        """Changes of code or data between two runs of the study: ``after_trials``, and the ``differences`` as text."""
        return list(self.study.user_attrs.get(_CHANGES, []))

    @property
    def tracking(self) -> str | None:
        """Where MLflow stores the study's runs; None before :meth:`note_tracking`."""
        uri = self.study.user_attrs.get(_TRACKING)
        return None if uri is None else str(uri)

    def note_tracking(self, uri: str) -> None:
        """Record where MLflow stores the study's runs."""
        if uri != self.tracking:
            self.study.set_user_attr(_TRACKING, uri)

    def _note_changes(self, origin: Mapping[str, str]) -> None:
        differing = differences(self.study.user_attrs.get(_ORIGIN, {}), origin)
        if differing:
            change = {"after_trials": len(self.records()), "differences": differing}
            self.study.set_user_attr(_CHANGES, [*self.changes, change])
            self.study.set_user_attr(_ORIGIN, dict(origin))

    def value(self, number: int) -> float:
        """The value of a trial that ran all its epochs; NaN if no epoch that may be chosen has a finite score."""
        return self._strategy.value(self.record(number).epochs)

    def complete(self, number: int) -> None:
        """Close a trial that ran all its epochs."""
        if self.record(number).is_finished:  # its last epoch was reported again
            return
        value = self.value(number)
        assert math.isfinite(value)
        self._trial(number).set_user_attr(ENDED, Ended.ALL_EPOCHS.value)
        self.study.tell(number, value, skip_if_finished=True)

    def prune(self, number: int, ended: Ended, reason: str) -> None:
        """Close a trial that was stopped early."""
        self._close(number, TrialState.PRUNED, ended, reason)

    def fail(self, number: int, ended: Ended, reason: str) -> None:
        """Close a trial that failed."""
        self._close(number, TrialState.FAIL, ended, reason)

    def _close(self, number: int, state: TrialState, ended: Ended, reason: str) -> None:
        if self.record(number).is_finished:
            return
        self._trial(number).set_user_attr(ENDED, ended.value)
        self._trial(number).set_user_attr(REASON, reason)
        self.study.tell(number, state=state)

    def _trial(self, number: int) -> optuna.Trial:
        if number not in self._live:
            frozen = self.study.get_trials(deepcopy=False)[number]
            self._live[number] = optuna.Trial(self.study, frozen._trial_id)
        return self._live[number]


def _storage(path: Path) -> optuna.storages.RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.storages.RDBStorage(f"sqlite:///{path}")


def _sampler(seed: int, profile: Profile) -> NameSeededTPESampler:
    return NameSeededTPESampler(seed=seed, startup_trials=profile.startup_trials)


def _asha(profile: Profile) -> optuna.pruners.SuccessiveHalvingPruner:
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=profile.grace_epochs, reduction_factor=profile.reduction_factor
    )


@dataclass(frozen=True, kw_only=True)
class StoreReading:
    """The content of a trial store, for reading only.

    Args:
        study: Optuna's study, for its pictures.
        settings: The settings that must be the same on resume.
        records: All trials by number, without those that have not begun.
        openings: How often target labels have been read.
    """

    study: optuna.Study
    settings: Mapping[str, Any]
    records: tuple[TrialRecord, ...]
    openings: int


def count_opening(path: Path) -> int:
    """Count a reading of target labels in the store of a study that no search has open; returns how often they were.

    Raises:
        StorageError: It can't be written.
    """
    try:
        study = optuna.load_study(study_name=None, storage=_storage(path))
        times = int(study.user_attrs.get(_OPENINGS, 0)) + 1
        study.set_user_attr(_OPENINGS, times)
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise StorageError(f"{path} can't be written ({first_line(error)}); nothing was read.") from error
    return times


def read_store(path: Path) -> StoreReading:
    """Read a trial store without changing it, even while a search writes to it.

    Raises:
        StudyError: There is none, or it can't be read.
    """
    if not path.is_file():
        raise StudyError(f"no trial store of a study at {path}.")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        # Quoted twice: SQLAlchemy undoes one, SQLite the other.
        location = quote(quote(str(path.resolve())))
        storage = optuna.storages.RDBStorage(f"sqlite:///file:{location}?mode=ro&uri=true")
        # The trials are read once, so that the pictures and tables of a report show the same moment.
        stored = optuna.load_study(study_name=None, storage=storage)
        study = optuna.create_study(study_name=stored.study_name, direction="maximize")
        study.add_trials(stored.get_trials(deepcopy=False))
        attributes = stored.user_attrs
        settings, openings = attributes[_SETTINGS], int(attributes.get(_OPENINGS, 0))
    except (sqlalchemy.exc.SQLAlchemyError, KeyError, ValueError) as error:
        raise StudyError(
            f"{path} is damaged or no trial store of one study ({first_line(error)}). Put a copy back."
        ) from error
    trials = study.get_trials(deepcopy=False)
    records = tuple(TrialRecord.from_optuna(t) for t in trials if t.state != TrialState.WAITING)
    return StoreReading(study=study, settings=settings, records=records, openings=openings)
