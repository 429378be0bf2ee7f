"""A search from its specification to its closed result."""

import contextlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sceneshift.closing.choosing import choice_of
from sceneshift.cores import keep_to_allowed_cores
from sceneshift.engine.beside import beside
from sceneshift.engine.listener import Listener, LogListener
from sceneshift.engine.search_result import SearchResult
from sceneshift.errors import SceneshiftError, StorageError, StudyError, first_line
from sceneshift.execution.executor import Executor, Placement, StopReason, StopRequest
from sceneshift.execution.local import LocalExecutor
from sceneshift.report.separation import separation_of, separation_tags
from sceneshift.search.prepared import PreparedSearch, local_root, prepare
from sceneshift.search.run import create_store, reopen_store, run_trials
from sceneshift.search.spec import SearchSpec
from sceneshift.search.trial_record import TrialRecord
from sceneshift.search.trial_store import TrialStore
from sceneshift.search.unit_narrowing import unit_tags
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.datasets import observed_input, training_input
from sceneshift.tracking.provenance import CHANGES_TAG, SPEC_TAG, code_origin, code_tags
from sceneshift.tracking.search_run import SearchRun, refuse_known_experiment

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from sceneshift.closing.search import ClosedSearch

_LOG = logging.getLogger(__name__)


def search(
    spec: SearchSpec,
    *,
    resume: bool = False,
    listener: Listener | None = None,
    stop: StopRequest | None = None,
    command: str = "",
    on_hang: Callable[[str], None] | None = None,
) -> SearchResult:
    """Search, choose, refit, score on the targets, register.

    ``RAY_ADDRESS`` and ``MLFLOW_TRACKING_URI`` are honoured; by default, a local Ray and a SQLite file below
    ``spec.storage_path`` are used.

    Args:
        spec: What to do.
        resume: Continue the search of that name.
        listener: Notified while it runs; by default it is logged.
        stop: Ends it when asked to, so that it can be resumed.
        command: The command line, for the report.
        on_hang: Called with the reason if trials make no progress and the search can't end; should end the process.

    Returns:
        Its trials, the choice, scores and registered models; without scores if it was interrupted.

    Raises:
        SceneshiftError: The search is not possible or failed. If the error's ``resumable`` is true, it can be resumed.
    """
    from sceneshift.execution.cluster import ray_cluster

    started = time.monotonic()
    keep_to_allowed_cores()
    listener, stop = listener or LogListener(), stop or StopRequest()
    backend = TrackingBackend.resolve(local_root(spec.storage_path))
    prepared = prepare(spec)
    prepared.refuse_wrong_name(resume=resume)
    if resume:
        prepared = prepared.with_recorded_epochs()
    listener.search_prepared(prepared)
    origin = {**code_origin(), **prepared.data.origin()}
    store = reopen_store(prepared, origin=origin) if resume else None
    if store is not None:
        for change in store.changes:
            what = f"study {spec.name!r}, after {change['after_trials']} trials,"
            listener.code_or_data_changed(what, change["differences"])
        if (closed := _if_closed(prepared, store, backend)) is not None:
            return closed

    def connect() -> None:
        client = backend.connect()
        if store is None:
            refuse_known_experiment(client, spec.name)
        else:
            _refuse_another_mlflow(prepared, store, client, backend.shown)

    is_local = spec.executor == "local"
    opened = contextlib.nullcontext() if is_local else ray_cluster(dashboard=prepared.may_train_in_ray_train)
    with beside(connect) as connected, opened as cluster:
        connected()
        placement = prepared.placement(cluster)
        if prepared.chooses_epochs:
            prepared, pace = prepared.paced(placement)
            listener.epochs_decided(pace)
        elif prepared.has_no_end and not resume and placement.gpus == 0:
            _LOG.info("Timing a few steps, to say how long the search will take.")
            listener.duration_expected(prepared.paced(placement)[1].expected_s(trials_at_once=placement.at_once))
        if cluster is not None and cluster.num_nodes > 1 and "://" not in prepared.checkpoint_location:
            _note_shared_directory(cluster.num_nodes, prepared.checkpoint_location)
        executor: Executor
        if is_local:
            executor = LocalExecutor(placement)
        else:
            from sceneshift.execution.ray_tune import RayExecutor

            executor = RayExecutor(
                placement,
                prepared.directory,
                in_ray_train=prepared.in_ray_train(placement),
                on_hang=on_hang,
            )
        store = store or create_store(prepared, origin=origin)
        with _errors_marked_resumable(prepared, store):
            return _run_and_close(
                prepared,
                store,
                executor,
                backend,
                placement=placement,
                listener=listener,
                stop=stop,
                command=command,
                started=started,
            )


def _note_shared_directory(num_nodes: int, location: str) -> None:
    _LOG.warning(
        "NOTE: the cluster has %d nodes and checkpoints go to %s, which all of them must share. If they don't, give "
        "--storage-path a URI such as s3://bucket/path.\n",
        num_nodes,
        location,
    )


@contextlib.contextmanager
def _errors_marked_resumable(prepared: PreparedSearch, store: TrialStore) -> Iterator[None]:
    """Mark errors that leave something to resume; a search without a trial frees its name."""
    try:
        yield
    except Exception as error:
        # Before the name is free again, while the store is there.
        resumable = store.is_worth_keeping
        if not resumable:
            shutil.rmtree(prepared.directory, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, SceneshiftError):
            error = StorageError(f"{prepared.directory} can't be written ({first_line(error)}).")
        if isinstance(error, SceneshiftError):
            error.resumable = resumable
        raise error


def _run_and_close(
    prepared: PreparedSearch,
    store: TrialStore,
    executor: Executor,
    backend: TrackingBackend,
    *,
    placement: Placement,
    listener: Listener,
    stop: StopRequest,
    command: str,
    started: float,
) -> SearchResult:
    tags = search_tags(prepared)
    store.note_tracking(backend.shown)
    run = SearchRun(
        backend,
        study_name=prepared.spec.name,
        metric=prepared.strategy.metric,
        tags=tags,
        trial_tags=lambda record: {SPEC_TAG: json.dumps(prepared.trial_spec(record).as_dict())},
        training=[training_input(s, digest=tags[f"source.hash.{s.key}"]) for s in prepared.data.sources],
        observed=[observed_input(pair, digest=tags[f"target.hash.{pair.name}"]) for pair in prepared.data.pairs],
        params=_params(prepared, placement),
    )
    if store.changes:
        # The store has them in any case; this is for users of MLflow.
        with contextlib.suppress(Exception):
            run.client.set_tag(run.run_id, CHANGES_TAG, _changes(store))
    listener.search_begins(prepared, placement, sum(record.is_finished for record in store.records()))

    def result(closed: "ClosedSearch | None") -> SearchResult:
        records = store.records()
        return SearchResult(
            name=prepared.spec.name,
            directory=prepared.directory,
            records=records,
            num_samples=prepared.profile.num_samples,
            choice=None if closed is None else closed.choice,
            summary=None if closed is None else closed.summary,
            models=() if closed is None else closed.models,
            tracking_uri=backend.uri,
            experiment_id=run.experiment_id,
            run_id=run.run_id,
        )

    try:
        outcome = run_trials(prepared, store, executor, listeners=(run, listener), stop=stop)
        if outcome.interrupted and outcome.stopped_by is StopReason.INTERRUPTED:
            done = sum(record.is_finished for record in store.records())
            listener.interrupted(done, prepared.profile.num_samples)
        run.catch_up(store.records())
        if outcome.interrupted:
            run.close("KILLED")
            if outcome.stopped_by is StopReason.STALLED:
                raise StudyError(
                    f"the search made no progress: {outcome.message}. If an epoch takes that long, give a longer "
                    "--stall-timeout-s."
                )
            if outcome.stopped_by is StopReason.STORAGE:
                raise StorageError(outcome.message)
            return result(None)
        if not any(record.is_complete for record in store.records()):
            raise StudyError(_no_winner(prepared, store.records(), out_of_time=outcome.out_of_time))
        from sceneshift.closing.search import close_search  # with its pictures and floors, after the trials

        closed = close_search(
            prepared,
            store,
            run,
            executor,
            placement=placement,
            stop=stop,
            progress=listener.progress,
            tags=tags,
            command=command,
            out_of_time=outcome.out_of_time,
            started=started,
        )
    except Exception:
        # Nothing is left RUNNING in MLflow; the store has what there is, and the search can be resumed.
        if store.is_worth_keeping:
            run.close("FAILED")
        else:
            run.forget()
        raise
    except BaseException:
        run.close("FAILED")
        raise
    return result(closed)


def search_tags(prepared: PreparedSearch) -> dict[str, str]:
    """The tags that say where a run of a search comes from."""
    data, spec = prepared.data, prepared.spec
    rows = [row for pair in data.pairs for row in separation_of(pair, data.sources_of(pair.name))]
    return {
        **code_tags(),
        SPEC_TAG: json.dumps(spec.as_dict()),
        "method": spec.method,
        "profile": prepared.profile.name,
        "seed": str(spec.seed),
        "precision": spec.precision,
        "pairs": " ".join(pair.name for pair in data.pairs),
        "split": data.spec.split,
        "strategy": spec.strategy,
        "record": "yes" if spec.record else "no",
        "target_access": spec.target_access,
        "search_space.hash": spec.space.source_hash,
        **data.hashes(),
        **unit_tags(data.pairs, prepared.profile),
        **separation_tags(rows),
    }


def _params(prepared: PreparedSearch, placement: Placement) -> dict[str, Any]:
    spec, profile = prepared.spec, prepared.profile
    return {
        "method": spec.method,
        "pairs": " ".join(pair.name for pair in prepared.data.pairs),
        "profile": profile.name,
        "epochs": profile.epochs,
        "num_samples": profile.num_samples,
        "pixels_per_class": profile.pixels_per_class,
        "seed": spec.seed,
        "executor": "local" if spec.executor == "local" else "ray-train" if prepared.in_ray_train(placement) else "ray",
        "max_concurrent_trials": placement.at_once,
        "workers_per_trial": placement.workers,
        "cpus_per_trial": placement.cpus,
        "gpus_per_trial": placement.gpus,
        "precision": spec.precision,
        "compile": spec.compile,
    }


def _no_winner(prepared: PreparedSearch, records: Sequence[TrialRecord], *, out_of_time: bool) -> str:
    """Why there is no winner, and what to do."""
    words = f"no trial ran all its {prepared.profile.epochs} epochs"
    if out_of_time:
        return (
            f"{words} within the time budget of {prepared.profile.time_budget_s:g} s. Trials that were running "
            "continue "
            "when the study is resumed with more time (--time-budget-s)."
        )
    failed = sum(record.state == "fail" for record in records)
    return (
        f"{words}: {failed} of {len(records)} failed, for the reasons above. When they are mended, resume with more "
        f"trials: --num-samples {len(records) + prepared.profile.num_samples}."
    )


def _changes(store: TrialStore) -> str:
    """All changes of code and data between two runs of a search, in one line."""
    return "; ".join(
        f"after {change['after_trials']} trials {line}" for change in store.changes for line in change["differences"]
    )


def _refuse_another_mlflow(prepared: PreparedSearch, store: TrialStore, client: "MlflowClient", uri: str) -> None:
    """Raise an error rather than split a search's runs between two MLflow servers.

    Raises:
        StudyError: The search's runs are elsewhere, and this MLflow has none of them.
    """
    name = prepared.spec.name
    if store.tracking in (None, uri) or client.get_experiment_by_name(name) is not None:
        return
    raise StudyError(
        f"the runs of study {name!r} are kept in MLflow at {store.tracking}; the one at {uri} knows none of them. Set "
        "MLFLOW_TRACKING_URI to where they are, or bring them there first."
    )


def _if_closed(prepared: PreparedSearch, store: TrialStore, backend: TrackingBackend) -> SearchResult | None:
    """The result of a closed search, without reading the target again; None if there is work to do."""
    records = store.records()
    finished = sum(record.is_finished for record in records)
    if not store.is_closed or finished < prepared.profile.num_samples:
        return None
    summary = json.loads((prepared.directory / "report" / "summary.json").read_text())
    return SearchResult(
        name=prepared.spec.name,
        directory=prepared.directory,
        records=records,
        num_samples=prepared.profile.num_samples,
        choice=choice_of(summary) or prepared.strategy.choose(prepared.pooled(records)),
        summary=summary,
        tracking_uri=backend.uri,
    )
