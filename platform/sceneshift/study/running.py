"""Runs a prepared search: opens ledger and MLflow, searches, closes."""

from collections.abc import Sequence

from sceneshift.errors import StudyError
from sceneshift.search.ledger import Ledger, TrialRecord
from sceneshift.search.progress import progress_line
from sceneshift.search.tuner import SearchPlan, choose_winner, run_search
from sceneshift.study.arguments import resume_command
from sceneshift.study.preparation import PreparedStudy
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.datasets import observed_input, training_input
from sceneshift.tracking.mirror import StudyMirror


def run_and_close(
    study: PreparedStudy,
    plan: SearchPlan,
    backend: TrackingBackend,
    *,
    reopened: Ledger | None,
    started: float,
) -> int:
    """Search until there are enough trials, then score the target once and tell.

    Args:
        study: What was checked.
        plan: The search, fitted to the connected cluster.
        backend: MLflow's.
        reopened: The ledger of a study that is resumed; None creates one.
        started: When the command began (``time.monotonic``).

    Returns:
        0 when closed, 130 when interrupted.

    Raises:
        StudyError: The study can't be opened, or no trial ran to its end.
    """
    profile, arguments = study.profile, study.arguments
    ledger = reopened or create_ledger(study)
    tags = study.tags()
    mirror = StudyMirror(
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
    where = "Ray Train" if plan.in_ray_train else "the trial's actor"
    of_workers = f" of {plan.workers_per_trial} workers" if plan.workers_per_trial > 1 else ""
    print(
        f"search               {plan.max_concurrent_trials} trials at once{of_workers}, {plan.cpus_per_trial:g} CPU"
        + (f" and {plan.gpus_per_trial:g} GPU" if plan.gpus_per_trial else "")
        + f" each, training in {where} and in {plan.precision}\n",
        flush=True,
    )

    def tell(record: TrialRecord) -> None:
        line = progress_line(record, num_samples=profile.num_samples, epochs=profile.epochs)
        print(line, flush=True)

    try:
        outcome = run_search(plan, ledger, study.sources, on_change=mirror.push, on_finished=tell)
        records = ledger.records()
        if outcome.interrupted:
            done = sum(record.is_finished for record in records)
            print(f"\nInterrupted with {done} of {profile.num_samples} trials done. Go on with:")
            print(f"  {resume_command('--experiment-name', study.name)}", flush=True)
        mirror.catch_up(records)
        if outcome.interrupted:
            mirror.close("KILLED")
            return 130
        winner = choose_winner(records)
        if winner is None:
            raise StudyError(_no_winner(study, records, out_of_time=outcome.out_of_time))
        # Pictures need matplotlib and scikit-learn, which the search need not wait for.
        from sceneshift.study.closing import close_study

        close_study(study, plan, ledger, mirror, winner=winner, out_of_time=outcome.out_of_time, started=started)
    except BaseException:
        # Nothing is left RUNNING in MLflow; the ledger has what there is, and --resume goes on.
        mirror.close("FAILED")
        raise
    return 0


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


def create_ledger(study: PreparedStudy) -> Ledger:
    """Create the ledger of a new study."""
    return Ledger.create(
        study.ledger_path,
        name=study.name,
        seed=study.arguments.seed,
        profile=study.profile,
        settings=study.settings(),
        default_params=study.default_trial.params,
    )


def reopen_ledger(study: PreparedStudy) -> Ledger:
    """Reopen the ledger of a study that is resumed.

    Raises:
        StudyError: The arguments, the space or the data differ from those the study began with.
    """
    return Ledger.reopen(
        study.ledger_path,
        name=study.name,
        seed=study.arguments.seed,
        profile=study.profile,
        settings=study.settings(),
    )


def tell_if_closed(study: PreparedStudy, ledger: Ledger) -> bool:
    """Show what a closed study came to, without looking at the target again; False where there is work to do."""
    finished = sum(record.is_finished for record in ledger.records())
    if not ledger.is_closed or finished < study.profile.num_samples:
        return False
    folder = study.directory / "report"
    print(f"\nThis study is closed: {finished} trials are done, and the target is not looked at again.")
    print(f"\n{(folder / 'scores.md').read_text()}\nPictures, tables   {folder}")
    print("Give a larger --num-samples to go on.")
    return True
