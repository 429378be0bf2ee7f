"""Ray Tune around the trial store: runs trials until there are enough, time is up, or someone interrupts."""

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import ray
import sqlalchemy.exc
from ray import tune
from ray.exceptions import RayError
from ray.tune import FailureConfig, RunConfig, TuneConfig, Tuner

from sceneshift.errors import StorageError, StudyError, first_line
from sceneshift.files.arrow_scenes import sent_whole
from sceneshift.search.profile import Profile
from sceneshift.search.progress import StoreCallback
from sceneshift.search.ray_tune_adapters import StoreScheduler, StoreSearcher
from sceneshift.search.space import SearchSpace
from sceneshift.search.stall import StallWatch
from sceneshift.search.stopping import INTERRUPTED, SearchStop
from sceneshift.search.trial import TrialOrder, run_trial
from sceneshift.search.trial_store import TrialRecord, TrialStore
from sceneshift.seeding import trial_seed
from sceneshift.splits.source import SourceDomain
from sceneshift.training.ray_train import MAX_WORKER_FAILURES


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """What a search does.

    Args:
        method: Name of the method.
        space: The search space.
        profile: Its size, with what the command line changed.
        seed: The study's seed.
        max_concurrent_trials: Trials at once.
        workers_per_trial: Workers that train a trial together; more than one in Ray Train alone.
        cpus_per_trial: CPUs of each worker of a trial.
        gpus_per_trial: GPUs of each worker of a trial; a fraction shares one.
        in_ray_train: Train inside Ray Train's TorchTrainer.
        precision: What training steps compute in.
        compile: Compile the modules with `torch.compile`.
        checkpoint_location: Directory or URI under which trials keep their checkpoints.
        tune_directory: Local directory for Ray Tune's own files.
        scenes_by_path: Workers open stored scenes where they lie, which all nodes must see; else they get them through
            Ray's object store.
    """

    method: str
    space: SearchSpace
    profile: Profile
    seed: int
    max_concurrent_trials: int
    workers_per_trial: int
    cpus_per_trial: float
    gpus_per_trial: float
    in_ray_train: bool
    precision: str
    compile: bool
    checkpoint_location: str
    tune_directory: str
    scenes_by_path: bool = False

    def trial_seed(self, number: int) -> int:
        """The seed of a trial: a function of the study's seed and the trial's number."""
        return trial_seed(self.seed, number)

    def order(self, record: TrialRecord) -> TrialOrder:
        """What a worker is told for a trial."""
        return TrialOrder(
            number=record.number,
            method=self.method,
            config=dict(record.config),
            epochs=self.profile.epochs,
            seed=self.trial_seed(record.number),
            checkpoint_location=self.checkpoint_of(record.number),
            in_ray_train=self.in_ray_train,
            workers=self.workers_per_trial,
            cpus=self.cpus_per_trial,
            gpus=self.gpus_per_trial,
            precision=self.precision,
            compile=self.compile,
        )

    def checkpoint_of(self, number: int) -> str:
        """Where a trial keeps its checkpoints."""
        return f"{self.checkpoint_location}/trial_{number:04d}"


@dataclass(frozen=True, kw_only=True)
class SearchOutcome:
    """How a search ended.

    Args:
        interrupted: It ended before it was done and can be resumed.
        reason: Why, where it wasn't the user who ended it; empty otherwise.
        out_of_time: The time budget ended it. Trials that were running are closed as stopped early, unless no trial at
            all ran to its end: then they stay open, to go on when the search is resumed.
    """

    interrupted: bool
    out_of_time: bool
    reason: str = ""


def run_search(
    plan: SearchPlan,
    store: TrialStore,
    sources: Sequence[SourceDomain],
    *,
    on_change: Callable[[TrialRecord], None],
    on_finished: Callable[[TrialRecord], None],
    stop: SearchStop | None = None,
    watch: StallWatch | None = None,
) -> SearchOutcome:
    """Run trials until the trial store holds ``profile.num_samples`` of them.

    Trials the trial store holds as running, left by a search that was cut, go on first. Ray must be connected.

    Args:
        plan: What to do.
        store: Where it is recorded.
        sources: One source a pair, and nothing else of the pairs.
        on_change: Told of every new epoch.
        on_finished: Told of every trial that has ended.
        stop: Ends the search when asked to.
        watch: Told of every epoch.

    Raises:
        StorageError: The trial store or Ray Tune's files can't be written.
        StudyError: Ray broke down.
    """
    stop = stop or SearchStop()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    unfinished = [record for record in store.records() if record.state == "running"]
    missing = plan.profile.num_samples - len(store.records()) + len(unfinished)
    if missing <= 0:
        return SearchOutcome(interrupted=False, out_of_time=False)
    searcher = StoreSearcher(
        store,
        unfinished=unfinished,
        num_samples=plan.profile.num_samples,
        make_config=lambda trial: plan.space.config(trial, plan.profile),
        order=plan.order,
    )
    if plan.in_ray_train:
        # The trial only waits for its workers: with a CPU of its own, trials would hold the CPUs their workers need.
        resources = {"cpu": 0, "node:__internal_head__": 0.001}
    else:
        resources = {"cpu": plan.cpus_per_trial, "gpu": plan.gpus_per_trial}
    tuner = Tuner(
        tune.with_resources(hand_over(sources, by_path=plan.scenes_by_path), resources),
        tune_config=TuneConfig(
            search_alg=searcher,
            scheduler=StoreScheduler(store, epochs=plan.profile.epochs, stop=stop, take_back=searcher.take_back),
            # The searcher says when there are enough: Tune would count a trial twice that it is handed once more.
            num_samples=-1,
            max_concurrent_trials=plan.max_concurrent_trials,
            time_budget_s=plan.profile.time_budget_s,
            # An actor that Ray Train ran in may still be busy ending the trial that ASHA stopped; the next trial in it
            # came back at once, without an epoch.
            reuse_actors=not plan.in_ray_train,
            trial_dirname_creator=lambda trial: f"trial_{trial.config['number']:04d}",
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=plan.tune_directory,
            stop=stop,
            callbacks=[
                StoreCallback(store, on_change=on_change, on_finished=on_finished),
                *([] if watch is None else [watch]),
            ],
            failure_config=FailureConfig(max_failures=MAX_WORKER_FAILURES),
            verbose=0,
        ),
    )
    started = time.monotonic()
    with watch or contextlib.nullcontext():
        _fit(tuner, plan)
    budget = plan.profile.time_budget_s
    out_of_time = budget is not None and time.monotonic() - started >= budget
    left = [record for record in store.records() if record.state == "running"]
    if out_of_time and choose_winner(store.records()) is not None:
        for record in left:
            store.prune(record.number, f"time budget of {budget:g} s used up")
            on_change(store.record(record.number))
            on_finished(store.record(record.number))
        left = []
    cut = bool(left) or len(store.records()) < plan.profile.num_samples
    return SearchOutcome(
        interrupted=cut and not out_of_time,
        out_of_time=out_of_time,
        reason="" if stop.reason == INTERRUPTED else stop.reason,
    )


def _fit(tuner: Tuner, plan: SearchPlan) -> None:
    # Tune would take SIGINT for itself, and keep it after the search.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    try:
        tuner.fit()
    except RayError as error:
        raise StudyError(f"Ray broke down in mid-search ({first_line(error)}).") from error
    except RuntimeError as error:
        # So Tune passes on what it has no answer to, such as memory that runs short just as a trial begins.
        if "Caught unexpected exception" not in str(error):
            raise
        raise StudyError(f"Ray broke down in mid-search ({first_line(error)}).") from error
    except (OSError, EOFError, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error
        raise StorageError(
            f"the search's records in {plan.tune_directory} can't be written ({first_line(cause)}); nothing was "
            "overwritten. Make room or mend the disk."
        ) from error


def hand_over(sources: Sequence[SourceDomain], *, by_path: bool) -> Callable[[dict[str, Any]], None]:
    """The trainable with its sources, which are put into Ray's object store as :func:`put_sources` does."""
    references = put_sources(sources, by_path=by_path)
    trainable: Callable[[dict[str, Any]], None] = tune.with_parameters(run_trial, sources=references)
    return trainable


def put_sources(sources: Sequence[SourceDomain], *, by_path: bool) -> list[ray.ObjectRef]:
    """Put sources into Ray's object store: Ray must be connected.

    Args:
        sources: One a pair.
        by_path: Send of stored scenes only where they lie. All workers of a node then share the file's pages, and the
            object store holds none of them. Otherwise it holds one copy a node, which that node's workers share.
    """
    with contextlib.nullcontext() if by_path else sent_whole():
        return [ray.put(source) for source in sources]


def choose_winner(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The trial with the highest objective after all its epochs; of equals, the earlier one.

    Only the source-validation objective decides. Trials stopped early don't take part: their values belong to
    shorter trainings.
    """
    complete = [r for r in records if r.state == "complete" and r.value is not None and math.isfinite(r.value)]
    return max(complete, key=lambda record: (record.value, -record.number), default=None)
