"""Runs a prepared search: opens trial store and MLflow, searches, closes."""

import contextlib
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sceneshift.errors import SceneshiftError, StorageError, StudyError, first_line
from sceneshift.search.progress import progress_line
from sceneshift.search.stall import StallWatch
from sceneshift.search.stopping import INTERRUPTED, SearchStop
from sceneshift.search.trial_store import TrialRecord, TrialStore
from sceneshift.search.tuner import SearchOutcome, SearchPlan, choose_winner, run_search
from sceneshift.study.arguments import resume_command
from sceneshift.study.interrupts import INTERRUPTED_STATUS, Interrupts, end_process, go_on_with
from sceneshift.study.prepared_study import PreparedStudy
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.datasets import observed_input, training_input
from sceneshift.tracking.provenance import CHANGES_TAG
from sceneshift.tracking.search_run import SearchRun
from sceneshift.training.resume_check import change_warning

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def run_and_close(
    study: PreparedStudy,
    plan: SearchPlan,
    backend: TrackingBackend,
    *,
    reopened: TrialStore | None,
    interrupts: Interrupts,
    started: float,
) -> int:
    """Search until there are enough trials, then score winner and defaults on the targets.

    Args:
        study: What was checked.
        plan: The search, fitted to the connected cluster.
        backend: MLflow's.
        reopened: The trial store of a study that is resumed; None creates one.
        interrupts: Takes Ctrl-C.
        started: When the command began (``time.monotonic``).

    Returns:
        0 when closed, 130 when interrupted.

    Raises:
        StudyError: The study can't be opened or go on, or no trial ran to its end.
    """
    store = reopened or create_store(study)
    try:
        return _run_and_close(study, plan, store, backend, interrupts=interrupts, started=started)
    except Exception as error:
        # Before the name is free again, while the trial store is there.
        advice = _what_to_do(study, store)
        if not store.is_worth_keeping:
            shutil.rmtree(study.directory, ignore_errors=True)
        if isinstance(error, StorageError):
            raise StorageError(f"{error}{advice}") from error
        if isinstance(error, OSError) and not isinstance(error, SceneshiftError):
            raise StorageError(f"{study.directory} can't be written ({first_line(error)}).{advice}") from error
        raise


def _what_to_do(study: PreparedStudy, store: TrialStore) -> str:
    """The last lines of an error that ends a search."""
    if store.is_worth_keeping:
        return go_on_with(resume_command("--experiment-name", study.name))
    return " No trial was begun; when that is mended, give the same command again."


def _run_and_close(
    study: PreparedStudy,
    plan: SearchPlan,
    store: TrialStore,
    backend: TrackingBackend,
    *,
    interrupts: Interrupts,
    started: float,
) -> int:
    profile, arguments = study.profile, study.arguments
    tags = study.tags()
    store.note_tracking(backend.uri)
    mirror = SearchRun(
        backend,
        study_name=study.name,
        tags=tags,
        training=[training_input(s, digest=tags[f"source.hash.{s.pair_name}"]) for s in study.sources],
        observed=[observed_input(pair, digest=tags[f"target.hash.{pair.name}"]) for pair in study.pairs],
        params={
            "method": study.method,
            "pairs": study.pair_names,
            "profile": profile.name,
            "epochs": profile.epochs,
            "num_samples": profile.num_samples,
            "pixels_per_class": profile.pixels_per_class,
            "seed": arguments.seed,
            "trainer": "train" if plan.in_ray_train else "actor",
            "max_concurrent_trials": plan.max_concurrent_trials,
            "workers_per_trial": plan.workers_per_trial,
            "cpus_per_trial": plan.cpus_per_trial,
            "gpus_per_trial": plan.gpus_per_trial,
            "precision": plan.precision,
            "compile": plan.compile,
        },
    )
    if store.changes:
        # The trial store has them in any case; this is for readers of MLflow.
        with contextlib.suppress(Exception):
            mirror.client.set_tag(mirror.run_id, CHANGES_TAG, study_changes(store))
    command = resume_command("--experiment-name", study.name)
    where = "Ray Train" if plan.in_ray_train else "the trial's actor"
    of_workers = f" of {plan.workers_per_trial} workers" if plan.workers_per_trial > 1 else ""
    print(
        f"search               {plan.max_concurrent_trials} trials at once{of_workers}, {plan.cpus_per_trial:g} CPU"
        + (f" and {plan.gpus_per_trial:g} GPU" if plan.gpus_per_trial else "")
        + f" each, training in {where} and in {plan.precision}\n"
        f"if it is cut          {command}\n",
        flush=True,
    )

    try:
        outcome = _search(study, plan, store, mirror, interrupts, command)
        records = store.records()
        if outcome.interrupted and not outcome.reason:
            done = sum(record.is_finished for record in records)
            print(
                f"\nInterrupted with {done} of {profile.num_samples} trials done. Go on with:\n  {command}", flush=True
            )
        mirror.catch_up(records)
        if outcome.interrupted:
            mirror.close("KILLED")
            if outcome.reason:
                raise StudyError(f"{outcome.reason}{_what_to_do(study, store)}")
            return INTERRUPTED_STATUS
        winner = choose_winner(records)
        if winner is None:
            raise StudyError(_no_winner(study, records, out_of_time=outcome.out_of_time))
        # Pictures need matplotlib and scikit-learn, which the search need not wait for.
        from sceneshift.study.closing import close_study

        close_study(study, plan, store, mirror, winner=winner, out_of_time=outcome.out_of_time, started=started)
    except Exception:
        # Nothing is left RUNNING in MLflow; the trial store has what there is, and --resume goes on.
        if store.is_worth_keeping:
            mirror.close("FAILED")
        else:
            mirror.forget()
        raise
    except BaseException:
        mirror.close("FAILED")
        raise
    return 0


def _search(
    study: PreparedStudy,
    plan: SearchPlan,
    store: TrialStore,
    mirror: SearchRun,
    interrupts: Interrupts,
    command: str,
) -> SearchOutcome:
    """Search, with everything that may end it."""
    profile, stop = study.profile, SearchStop()
    timeout_s = study.arguments.stall_timeout_s
    watch = None
    if timeout_s > 0:
        advice = "If an epoch takes that long, give a longer --stall-timeout-s."
        watch = StallWatch(
            timeout_s,
            on_stall=lambda why: stop.request(f"the search made no progress: {why}. {advice}"),
            on_hang=lambda: end_process(f"error: {stop.reason}", go_on_with(command), 2),
        )

    finished = sum(record.is_finished for record in store.records())

    def tell(record: TrialRecord) -> None:
        nonlocal finished
        finished += 1
        line = progress_line(record, finished=finished, num_samples=profile.num_samples, epochs=profile.epochs)
        print(line, flush=True)

    with interrupts.diverted(lambda: stop.request(INTERRUPTED)):
        return run_search(plan, store, study.sources, on_change=mirror.push, on_finished=tell, stop=stop, watch=watch)


def _no_winner(study: PreparedStudy, records: Sequence[TrialRecord], *, out_of_time: bool) -> str:
    """Why there is no winner, and what to do."""
    told = f"no trial ran all its {study.profile.epochs} epochs"
    if out_of_time:
        return (
            f"{told} within the time budget of {study.profile.time_budget_s:g} s. Trials that were running go on "
            f"with:\n  {resume_command('--experiment-name', study.name)}\nand more time by --time-budget-s."
        )
    failed = sum(record.state == "fail" for record in records)
    return (
        f"{told}: {failed} of {len(records)} failed, for the reasons told above. When they are mended, try more with:\n"
        f"  {resume_command('--experiment-name', study.name)} --num-samples {len(records) + study.profile.num_samples}"
    )


def create_store(study: PreparedStudy) -> TrialStore:
    """Create the directory and the trial store of a new study; where that fails, nothing is left of it.

    Raises:
        StudyError: Another command has just taken the name.
        StorageError: They can't be written.
    """
    try:
        study.directory.mkdir(parents=True)
    except FileExistsError as error:
        raise StudyError(f"a study {study.name!r} exists at {study.directory}; choose another name.") from error
    except OSError as error:
        raise StorageError(f"{study.directory} can't be made ({first_line(error)}). Nothing was begun.") from error
    try:
        return TrialStore.create(
            study.store_path,
            name=study.name,
            seed=study.arguments.seed,
            profile=study.profile,
            settings=study.settings(),
            origin=study.origin(),
            first_params=study.space.enqueued(study.profile)[: study.profile.num_samples],
        )
    except BaseException:
        shutil.rmtree(study.directory, ignore_errors=True)
        raise


def reopen_store(study: PreparedStudy) -> TrialStore:
    """Reopen the trial store of a study that is resumed, and tell where code or data have changed.

    Raises:
        StudyError: The arguments, the space, or the shape, classes or split of the data differ from those the study
            began with.
    """
    store = TrialStore.reopen(
        study.store_path,
        name=study.name,
        seed=study.arguments.seed,
        profile=study.profile,
        settings=study.settings(),
        origin=study.origin(),
    )
    for change in store.changes:
        what = f"study {study.name!r}, after {change['after_trials']} trials,"
        print(f"\n{change_warning(what, change['differences'])}", flush=True)
    return store


def study_changes(store: TrialStore) -> str:
    """All changes of code and data between two runs of a study, in one line."""
    return "; ".join(
        f"after {change['after_trials']} trials {told}" for change in store.changes for told in change["differences"]
    )


def refuse_another_mlflow(study: PreparedStudy, store: TrialStore, client: "MlflowClient", uri: str) -> None:
    """Refuse to split a study's runs between two MLflows.

    Raises:
        StudyError: The study's runs are elsewhere, and this MLflow knows none of them.
    """
    if store.tracking in (None, uri) or client.get_experiment_by_name(study.name) is not None:
        return
    raise StudyError(
        f"the runs of study {study.name!r} are kept in MLflow at {store.tracking}; the one at {uri} knows none of "
        "them. Set MLFLOW_TRACKING_URI to where they are, or bring them there first."
    )


def tell_if_closed(study: PreparedStudy, store: TrialStore) -> bool:
    """Show what a closed study came to, without looking at the target again; False where there is work to do."""
    finished = sum(record.is_finished for record in store.records())
    if not store.is_closed or finished < study.profile.num_samples:
        return False
    folder = study.directory / "report"
    print(f"\nThis study is closed: {finished} trials are done, and the target is not looked at again.")
    print(f"\n{(folder / 'scores.md').read_text()}\nPictures, tables   {folder}")
    print("Give a larger --num-samples to go on.")
    return True
