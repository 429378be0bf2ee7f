"""A study in MLflow: the parent run is the study, its children are the trials.

MLflow mirrors the trial store. One background thread collects new records and writes them every few seconds. When
MLflow fails, the search continues with one warning, and the thread retries from time to time;
:meth:`SearchRun.catch_up` writes what is still missing when the study closes.
"""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sceneshift.errors import StudyError, first_line
from sceneshift.search.trial_record import TrialRecord
from sceneshift.tracking.backend import TRIALS_VIEW, TrackingBackend
from sceneshift.tracking.charts import chart_layout
from sceneshift.tracking.host_metrics import HostMetrics
from sceneshift.tracking.key_names import key_name, with_key_names
from sceneshift.tracking.ranking import ranked, trial_name
from sceneshift.tracking.run_writer import MOST_METRICS, RunWriter

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Run
    from mlflow.tracking import MlflowClient

_LOG = logging.getLogger(__name__)

TRIAL_TAG, STUDY_TAG, STATE_TAG, ENDED_TAG, REASON_TAG, BEST_TAG = (
    "sceneshift.trial",
    "sceneshift.study",
    "sceneshift.state",
    "sceneshift.ended",
    "sceneshift.reason",
    "sceneshift.best",
)

#: Metric of a closed study's trials: 1 is the winner.
RANK = "rank"
_STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "fail": "FAILED"}

#: Seconds between two writes, and between two attempts while MLflow is unreachable.
WRITE_EVERY_S, RETRY_EVERY_S = 5.0, 30.0

#: Tag with a run's description, and the maximum number of characters that the UI shows as Markdown.
NOTE_TAG, _LONGEST_NOTE = "mlflow.note.content", 8000


@dataclass
class _Child:
    writer: RunWriter
    closed: bool = False

    @property
    def run_id(self) -> str:
        return self.writer.run_id


def refuse_known_experiment(client: "MlflowClient", name: str) -> None:
    """Reject a name that MLflow already has an experiment for, unless a failed start left the experiment without runs.

    Raises:
        StudyError: There is such an experiment with runs.
    """
    found = client.get_experiment_by_name(name)
    if found is not None and (
        found.lifecycle_stage == "deleted" or client.search_runs([found.experiment_id], max_results=1)
    ):
        raise StudyError(
            f"MLflow at {client.tracking_uri} has an experiment {name!r}, and there is no study of that name in this "
            "--storage-path. Give the storage path it was made with and --resume, or another --experiment-name."
        )


class SearchRun:
    """The MLflow runs of one study.

    Args:
        backend: Where MLflow stores its records.
        study_name: Name of the experiment and the parent run.
        metric: Name of the metric by which trials are ordered.
        tags: Tags of the parent and every child.
        trial_tags: Tags of a trial's child, overriding the parent's; requested when the trial has a configuration.
        params: Parameters of the parent.
        training: The sources, on the parent and on every child.
        observed: The targets, only on the parent: no trial receives one.

    Raises:
        StudyError: MLflow can't be reached or written to, or the study's experiment was deleted there.
    """

    def __init__(
        self,
        backend: TrackingBackend,
        *,
        study_name: str,
        metric: str,
        tags: Mapping[str, str],
        trial_tags: Callable[[TrialRecord], Mapping[str, str]] | None = None,
        params: Mapping[str, Any],
        training: "Sequence[DatasetInput]" = (),
        observed: "Sequence[DatasetInput]" = (),
    ) -> None:
        self.backend = backend
        self._client: MlflowClient = backend.connect()
        self.metric = metric
        self._tags = with_key_names(tags)
        self._trial_tags = trial_tags or (lambda record: {})
        self._training = list(training)
        try:
            self.experiment_id = backend.open_experiment(self._client, study_name)
            self.run_id = self._open_parent(study_name, params, observed)
            self._children = self._find_children()
            self._host = HostMetrics(int(self._client.get_run(self.run_id).info.start_time))
        except StudyError:
            raise
        except Exception as error:  # whatever MLflow or its server raises
            raise StudyError(
                f"MLflow at {backend.shown} could not open the study {study_name!r} ({first_line(error)}); no trial "
                "was begun. When it is back, give the same command again."
            ) from error
        self._broken = False
        self._lock = threading.Lock()
        self._waiting: dict[int, TrialRecord] = {}
        self._try_at = 0.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow-mirror", daemon=True)
        self._thread.start()

    def changed(self, record: TrialRecord) -> None:
        """Schedule a trial's record for writing in the background. Only the newest record of a trial is kept."""
        with self._lock:
            self._waiting[record.number] = record

    def finished(self, record: TrialRecord) -> None:
        """Does nothing: the record of the trial's end was already passed to :meth:`changed`."""

    def catch_up(self, records: Sequence[TrialRecord]) -> None:
        """Wait for the background thread, then write whatever of the records is still missing.

        An error of MLflow is logged, not raised: the trial store has everything.
        """
        self._end_thread()
        self._broken = False
        self._waiting |= {record.number: record for record in records}
        self._write_waiting()

    def describe(self, note: str) -> None:
        """Set the description of the study's run, in Markdown; the UI shows it first. Long texts are cut at a line."""
        if len(note) > _LONGEST_NOTE:
            note = note[:_LONGEST_NOTE].rsplit("\n", 1)[0]
        self._client.set_tag(self.run_id, NOTE_TAG, note)

    def arrange_trials(
        self, columns: Sequence[str], *, order_by: str | None = None, metrics: Iterable[str] = ()
    ) -> None:
        """Lay out the table of trials that :meth:`TrackingBackend.trials_link` opens, and their charts.

        Args:
            columns: Column names as in MLflow, such as ``metrics.`val/aa` ``.
            order_by: Metric by which trials are sorted, the smallest first; by default by the objective, best first.
            metrics: Names of the trials' metrics, which get charts.
        """
        view = {
            "searchFilter": f"tags.`{STUDY_TAG}` = 'trial'",
            "orderByKey": f"metrics.`{order_by or self.metric}`",
            "orderByAsc": order_by is not None,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "selectedColumns": list(columns),
            **chart_layout(metrics, objective=self.metric),
        }
        self._client.set_experiment_tag(self.experiment_id, f"mlflow.sharedViewState.{TRIALS_VIEW}", json.dumps(view))

    def rank_trials(self, records: Sequence[TrialRecord], *, best: int) -> None:
        """Give every trial its rank, as metric and in its run's name: the winner, then complete ones, then the others.

        Args:
            records: All trials.
            best: Number of the winner.
        """
        for rank, record in enumerate(ranked(records, best=best), start=1):
            if record.number not in self._children:
                continue
            run_id = self.child_run_id(record.number)
            self._client.log_metric(run_id, RANK, rank)
            self._client.set_tag(run_id, BEST_TAG, "yes" if rank == 1 else "no")
            self._client.update_run(run_id, name=trial_name(record, rank=rank))

    def _first_columns(self) -> tuple[str, ...]:
        """Columns of the table of trials until the search closes and it is known what was varied."""
        return "attributes.`Duration`", f"metrics.`{self.metric}`", "metrics.`epoch`", f"tags.`{STATE_TAG}`"

    def child_run_id(self, number: int) -> str:
        """The run of a trial.

        Raises:
            StudyError: MLflow has none (it was unreachable all the time).
        """
        if number not in self._children:
            raise StudyError(f"MLflow at {self.backend.shown} has no run for trial {number}; resume to write it.")
        return self._children[number].run_id

    @property
    def client(self) -> "MlflowClient":
        """The client, for pictures and summaries on the parent run."""
        return self._client

    def close(self, status: str) -> None:
        """End the parent run with an MLflow status such as ``FINISHED`` or ``KILLED``.

        Trials that have not ended are marked as interrupted; a resumed search finds them. An error of MLflow is
        logged, not raised.
        """
        self._end_thread()
        try:
            for child in self._children.values():
                if not child.closed:
                    self._client.set_tag(child.run_id, STATE_TAG, "interrupted")
                    self._client.set_terminated(child.run_id, "KILLED")
            self._client.set_terminated(self.run_id, status)
        except Exception as error:
            self._warn(error)

    def forget(self) -> None:
        """Delete the parent run of a study in which no trial began, so that its name is free."""
        self._end_thread()
        with contextlib.suppress(Exception):  # whatever MLflow or its server raises: another error is being reported
            self._client.delete_run(self.run_id)

    def _open_parent(self, name: str, params: Mapping[str, Any], observed: "Sequence[DatasetInput]") -> str:
        found = self._search(f"tags.`{STUDY_TAG}` = 'parent'")
        if found:
            run_id = str(found[0].info.run_id)
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        tags = {**self._tags, STUDY_TAG: "parent"}
        run = self._client.create_run(self.experiment_id, run_name=name, tags=tags)
        run_id = str(run.info.run_id)
        try:
            for key, value in params.items():
                self._client.log_param(run_id, key, value)
            if inputs := [*self._training, *observed]:
                self._client.log_inputs(run_id, inputs)
            self.arrange_trials(self._first_columns())
        except Exception:
            with contextlib.suppress(Exception):  # or the next start would continue a run with other parameters
                self._client.delete_run(run_id)
            raise
        return run_id

    def _find_children(self) -> dict[int, _Child]:
        children = {}
        for run in self._search(f"tags.`{STUDY_TAG}` = 'trial'"):
            number = int(run.data.tags[TRIAL_TAG])
            logged = int(run.data.metrics.get("epoch", 0))
            closed = run.data.tags.get(STATE_TAG) in _STATUS and run.info.status in _STATUS.values()
            if not closed:
                self._client.update_run(run.info.run_id, status="RUNNING")
            writer = RunWriter(self._client, run.info.run_id, logged_epochs=logged, has_params=bool(run.data.params))
            children[number] = _Child(writer=writer, closed=closed)
        return children

    def _search(self, query: str) -> "list[Run]":
        runs: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], filter_string=query, max_results=500, page_token=token
            )
            runs.extend(page)
            token = page.token
            if not token:
                return runs

    def _work(self) -> None:
        while not self._ending.wait(WRITE_EVERY_S):
            self._host.read_if_due()
            if time.monotonic() >= self._try_at:
                self._write_waiting()

    def _end_thread(self) -> None:
        self._ending.set()
        self._thread.join()

    def _write_waiting(self) -> None:
        """Write waiting records; those that can't be written keep waiting unless a newer one of the trial does."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        failed = [record for record in waiting.values() if not self._write_or_warn(record)]
        with self._lock:
            self._waiting = {record.number: record for record in failed} | self._waiting
        if self._write_host() and not failed:
            self._broken = False
        else:
            self._try_at = time.monotonic() + RETRY_EVERY_S

    def _write_or_warn(self, record: TrialRecord) -> bool:
        try:
            self._write(record)
        except Exception as error:
            self._warn(error)
            return False
        return True

    def _write_host(self) -> bool:
        try:
            while chunk := self._host.waiting[:MOST_METRICS]:
                self._client.log_batch(self.run_id, metrics=chunk)
                del self._host.waiting[: len(chunk)]
        except Exception as error:
            self._warn(error)
            return False
        return True

    def _warn(self, error: Exception) -> None:
        if not self._broken:
            _LOG.warning(
                "MLflow at %s failed (%s); the search continues and records the rest in MLflow when it is back, "
                "at the latest when the study is resumed.",
                self.backend.shown,
                first_line(error),
            )
        self._broken = True

    def _write(self, record: TrialRecord) -> None:
        from mlflow.entities import RunTag

        child = self._children.get(record.number)
        if child is None:
            child = self._create_child(record)
        if not child.writer.has_params and record.config:
            if self._training:
                self._client.log_inputs(child.run_id, self._training)
            for key, value in self._trial_tags(record).items():
                self._client.set_tag(child.run_id, key, value)
            child.writer.write_params(record.config)
        child.writer.write_epochs(
            (
                epoch,
                int(metrics["time/recorded_unix_s"] * 1000),
                {key: value for key, value in metrics.items() if key != "time/recorded_unix_s"},
            )
            for epoch, metrics in record.epochs.items()
        )
        if record.is_finished and not child.closed:
            ended = {} if record.ended is None else {ENDED_TAG: record.ended.value}
            weights = {key_name(f"weights.{pair}"): digest for pair, digest in record.weights.items()}
            tags = {STATE_TAG: record.state, REASON_TAG: record.reason, **ended, **weights}
            self._client.log_batch(child.run_id, tags=[RunTag(k, v) for k, v in tags.items() if v])
            self._client.update_run(child.run_id, name=trial_name(record))
            self._client.set_terminated(child.run_id, _STATUS[record.state], _ended_ms(record))
            child.closed = True

    def _create_child(self, record: TrialRecord) -> _Child:
        tags = {
            **self._tags,
            STUDY_TAG: "trial",
            TRIAL_TAG: str(record.number),
            STATE_TAG: "running",
            "mlflow.parentRunId": self.run_id,
        }
        name = trial_name(record)
        run = self._client.create_run(self.experiment_id, run_name=name, tags=tags, start_time=record.started_ms)
        child = _Child(writer=RunWriter(self._client, run.info.run_id))
        self._children[record.number] = child
        return child


def _ended_ms(record: TrialRecord) -> int | None:
    """When a trial's last epoch was recorded, possibly long before MLflow has it; None before the first."""
    if not record.epochs:
        return None
    return int(record.epochs[record.last_epoch]["time/recorded_unix_s"] * 1000)
