"""One training in MLflow: a run with its settings, the metrics of every epoch, pictures and model.

Every epoch is also on disk, in a journal. When MLflow fails in the middle, the training continues with one warning, and
what is missing is written at the end, or when the training is resumed.
"""

import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceneshift.errors import StudyError, first_line
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.epoch_journal import EpochJournal
from sceneshift.tracking.key_names import key_name, with_key_names
from sceneshift.tracking.run_writer import MOST_METRICS, RunWriter
from sceneshift.tracking.search_run import NOTE_TAG

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_LOG = logging.getLogger(__name__)

_RUN_TAG = "sceneshift.training"

#: Metrics are written together, when there are this many, or after this many seconds.
_PATIENCE_S = 5.0


class TrainingRun:
    """The MLflow run of one training.

    Args:
        backend: Where MLflow stores its records.
        experiment: Name of the experiment; created if it doesn't exist.
        name: Name of the run; an existing run of that name in the experiment is resumed.
        tags: Tags of the run.
        params: Parameters of the run.
        journal: The epochs on disk.
        began_at: The MLflow where the run began, if it is resumed.

    Raises:
        StudyError: MLflow can't be reached, the experiment was deleted there, or the run is in another MLflow.
    """

    def __init__(
        self,
        backend: TrackingBackend,
        *,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        journal: Path,
        began_at: str | None = None,
    ) -> None:
        self.backend = backend
        self.client: MlflowClient = backend.connect()
        try:
            self.experiment_id = backend.open_experiment(self.client, experiment)
            self.run_id, logged = self._open_run(name, tags, params, began_at)
        except StudyError:
            raise
        except Exception as error:  # whatever MLflow or its server raises
            raise StudyError(
                f"MLflow at {backend.shown} could not open the run {name!r} ({first_line(error)}); nothing was "
                "trained. When it is back, give the same command again."
            ) from error
        self._writer = RunWriter(self.client, self.run_id, logged_epochs=logged, has_params=True)
        # It may have epochs that were not written to MLflow before the training was interrupted.
        self._journal = EpochJournal(journal)
        self._known = max([logged, *self._journal.entries])
        self._written_at = time.monotonic()
        self._warned = False

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Take an epoch's metrics; they are written now or soon. An epoch the run already has is ignored.

        Raises:
            StorageError: The journal can't be written.
        """
        if epoch <= self._known:
            return
        self._known = epoch
        self._journal.add(epoch, metrics)
        many = (epoch - self._writer.logged_epochs) * (len(metrics) + 1) > MOST_METRICS // 2
        if many or time.monotonic() - self._written_at > _PATIENCE_S:
            try:
                self._write()
            except Exception as error:  # whatever MLflow or its server raises: the training is worth more
                self._warn(error)

    def epoch_metrics(self, *prefixes: str) -> dict[int, dict[str, float]]:
        """The metrics of every epoch whose names begin so."""
        return {
            epoch: {key: value for key, value in entry.metrics.items() if key.startswith(prefixes)}
            for epoch, entry in self._journal.entries.items()
        }

    def final_metrics(self, prefix: str) -> dict[str, float]:
        """What MLflow has of the metrics whose names begin so."""
        metrics = self.client.get_run(self.run_id).data.metrics
        return {key: value for key, value in metrics.items() if key.startswith(prefix)}

    def log_results(self, metrics: Mapping[str, float], folder: str) -> None:
        """Write what is still missing, final metrics, and a folder of pictures and tables.

        Raises:
            StudyError: MLflow can't be updated.
        """
        try:
            self._write()
            for key, value in metrics.items():
                self.client.log_metric(self.run_id, key_name(key), value)
            self.client.log_artifacts(self.run_id, folder, "report")
        except Exception as error:
            raise self.unreachable_error(folder, error) from error

    def unreachable_error(self, folder: str, error: Exception) -> StudyError:
        """The error for results that are on disk and can't be written to MLflow."""
        return StudyError(
            f"the results are in {folder}, but MLflow at {self.backend.shown} could not be updated "
            f"({first_line(error)}). When it is back, --resume updates it."
        )

    def close(self, status: str) -> None:
        """End the run with an MLflow status such as ``FINISHED`` or ``KILLED``; an error of MLflow is logged."""
        try:
            self._write()
            self.client.set_terminated(self.run_id, status)
        except Exception as error:
            self._warn(error)

    def forget(self) -> None:
        """Delete the run, in which nothing was trained, so that its name is free."""
        with contextlib.suppress(Exception):  # whatever MLflow or its server raises: another error is being reported
            self.client.delete_run(self.run_id)

    def link(self) -> str:
        """A link to the run in the MLflow UI."""
        return self.backend.study_link(self.experiment_id, self.run_id)

    def tag(self, key: str, value: str) -> None:
        """Tag the run; a fault of MLflow is reported, not raised."""
        try:
            self.client.set_tag(self.run_id, key_name(key), value)
        except Exception as error:
            self._warn(error)

    def describe(self, note: str) -> None:
        """Give the run a description in Markdown, which the UI shows first."""
        self.tag(NOTE_TAG, note)

    def _write(self) -> None:
        waiting = sorted(epoch for epoch in self._journal.entries if epoch > self._writer.logged_epochs)
        self._writer.write_epochs((epoch, *self._journal.entries[epoch]) for epoch in waiting)
        self._written_at = time.monotonic()

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            _LOG.warning(
                "MLflow at %s failed (%s); the training continues and records the rest in MLflow at its end.",
                self.backend.shown,
                first_line(error),
            )
        self._warned = True
        self._written_at = time.monotonic()

    def _open_run(
        self, name: str, tags: Mapping[str, str], params: Mapping[str, Any], began_at: str | None
    ) -> tuple[str, int]:
        found = self.client.search_runs([self.experiment_id], filter_string=f"tags.`{_RUN_TAG}` = '{name}'")
        if found:
            run_id = str(found[0].info.run_id)
            self.client.update_run(run_id, status="RUNNING")
            return run_id, int(found[0].data.metrics.get("epoch", 0))
        if began_at not in (None, self.backend.shown):
            raise StudyError(
                f"run {name!r} began in MLflow at {began_at}; the one at {self.backend.shown} doesn't know it. Set "
                "MLFLOW_TRACKING_URI to where it is, or bring it there first."
            )
        run = self.client.create_run(self.experiment_id, run_name=name, tags={**with_key_names(tags), _RUN_TAG: name})
        run_id = str(run.info.run_id)
        try:
            RunWriter(self.client, run_id).write_params(params)
        except Exception:
            with contextlib.suppress(Exception):  # or the next start would continue a run with other parameters
                self.client.delete_run(run_id)
            raise
        return run_id, 0
