"""Running a prepared search's trials until there are enough, time is up, or the search is interrupted."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
import sqlalchemy.exc

from sceneshift.errors import StorageError, StudyError, first_line
from sceneshift.execution.executor import Executor, StopReason, StopRequest
from sceneshift.search.judge import Judge, SearchListener
from sceneshift.search.prepared import PreparedSearch
from sceneshift.search.trial_store import TrialStore


@dataclass(frozen=True, kw_only=True)
class SearchOutcome:
    """How a search ended.

    Args:
        interrupted: It ended before it was finished and can be resumed.
        stopped_by: Why it was asked to end; None otherwise.
        message: A sentence with the reason, unless it was the user.
        out_of_time: The time budget ended it. Trials that were running are closed as stopped early, unless no trial at
            all ran to its end: then they stay open, to continue when the search is resumed.
    """

    interrupted: bool
    out_of_time: bool
    stopped_by: StopReason | None = None
    message: str = ""


def run_trials(
    search: PreparedSearch,
    store: TrialStore,
    executor: Executor,
    *,
    listeners: Sequence[SearchListener] = (),
    stop: StopRequest | None = None,
) -> SearchOutcome:
    """Run trials until the store holds ``profile.num_samples`` of them.

    Trials left running in the store by an interrupted search come first.

    Args:
        search: The prepared search.
        store: Where trials are recorded.
        executor: What runs the trainings.
        listeners: Notified of every epoch and every ended trial.
        stop: Ends the search when asked to.

    Raises:
        StorageError: The store or the executor's files can't be written.
        StudyError: The executor failed.
    """
    stop = stop or StopRequest()
    profile = search.profile
    judge = Judge(
        store,
        num_samples=profile.num_samples,
        epochs=profile.epochs,
        make_config=lambda trial: search.spec.space.config(trial, profile),
        job=search.job,
        stop=stop,
        listeners=listeners,
    )
    if judge.is_done:
        return SearchOutcome(interrupted=False, out_of_time=False)
    budget, started = profile.time_budget_s, time.monotonic()
    try:
        executor.run(
            judge,
            search.data.sources,
            stop=stop,
            targets=search.data.target_pixels(search.spec.target_access),
            time_budget_s=budget,
            stall_timeout_s=search.spec.stall_timeout_s,
        )
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise StorageError(
            f"the search's records in {search.directory} can't be written ({first_line(error.__cause__ or error)}); "
            "nothing was overwritten. Make room or repair the disk."
        ) from error
    out_of_time = budget is not None and time.monotonic() - started >= budget
    if out_of_time and budget is not None and any(record.is_complete for record in store.records()):
        judge.out_of_time(budget)
    records = store.records()
    cut = any(record.state == "running" for record in records) or len(records) < profile.num_samples
    return SearchOutcome(
        interrupted=cut and not out_of_time,
        out_of_time=out_of_time,
        stopped_by=stop.reason,
        message=stop.message,
    )


def create_store(search: PreparedSearch, *, origin: dict[str, str]) -> TrialStore:
    """Create the directory and the trial store of a new search; if this fails, nothing is left behind.

    Args:
        search: The search.
        origin: Hashes of code and data by name.

    Raises:
        StudyError: Another command has just taken the name.
        StorageError: They can't be written.
    """
    name, directory = search.spec.name, search.directory
    try:
        directory.mkdir(parents=True)
    except FileExistsError as error:
        raise StudyError(f"a study {name!r} exists at {directory}; choose another name.") from error
    except OSError as error:
        raise StorageError(f"{directory} can't be created ({first_line(error)}). Nothing was started.") from error
    try:
        return TrialStore.create(
            search.store_path,
            name=name,
            seed=search.spec.seed,
            profile=search.profile,
            strategy=search.strategy,
            settings=search.settings(),
            origin=origin,
            first_params=search.spec.space.enqueued(search.profile)[: search.profile.num_samples],
        )
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def reopen_store(search: PreparedSearch, *, origin: dict[str, str]) -> TrialStore:
    """Reopen the trial store of a search that is resumed.

    Args:
        search: The search.
        origin: Hashes of code and data by name, as they are now; differences are recorded in the store's changes.

    Raises:
        StudyError: The arguments, the space, or shape, classes or split of the data have changed since it began.
    """
    return TrialStore.reopen(
        search.store_path,
        name=search.spec.name,
        seed=search.spec.seed,
        profile=search.profile,
        strategy=search.strategy,
        settings=search.settings(),
        origin=origin,
    )
