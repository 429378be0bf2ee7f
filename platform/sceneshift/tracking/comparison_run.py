"""A comparison in MLflow: the parent run is the comparison, its children are its trainings, spectral floors included.

What is on disk counts: when MLflow fails, the comparison continues with one warning, and what is missing is written at
its end or by the next run.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sceneshift.errors import StudyError, first_line
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.key_names import key_name, with_key_names
from sceneshift.tracking.run_writer import RunWriter

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_LOG = logging.getLogger(__name__)

#: Tags of the parent and of its children: their place in the comparison, and the key of a training.
PLACE_TAG, KEY_TAG = "sceneshift.comparison", "sceneshift.comparison.training"


class ComparisonRun:
    """The MLflow runs of one comparison.

    Args:
        backend: Where MLflow stores its records.
        name: Name of the experiment and the parent run.
        tags: Tags of the parent.
        params: Parameters of the parent.

    Raises:
        StudyError: MLflow can't be reached or written to, or the experiment was deleted there.
    """

    def __init__(
        self, backend: TrackingBackend, *, name: str, tags: Mapping[str, str], params: Mapping[str, Any]
    ) -> None:
        self.backend = backend
        self._client: MlflowClient = backend.connect()
        self._warned = False
        try:
            self.experiment_id = backend.open_experiment(self._client, name)
            parents = self._client.search_runs([self.experiment_id], filter_string=f"tags.`{PLACE_TAG}` = 'parent'")
            if parents:
                self.run_id = str(parents[0].info.run_id)
                self._client.update_run(self.run_id, status="RUNNING")
            else:
                run = self._client.create_run(
                    self.experiment_id, run_name=name, tags={**with_key_names(tags), PLACE_TAG: "parent"}
                )
                self.run_id = str(run.info.run_id)
                RunWriter(self._client, self.run_id).write_params(params)
            self._children = self._find_children()
        except StudyError:
            raise
        except Exception as error:  # whatever MLflow or its server raises
            raise StudyError(
                f"MLflow at {backend.shown} could not open the comparison {name!r} ({first_line(error)}). When it is "
                "back, give the same command again."
            ) from error

    def has(self, key: str) -> bool:
        """Whether a training has its run."""
        return key in self._children

    def write_training(
        self,
        key: str,
        name: str,
        *,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        epochs: Mapping[int, Mapping[str, float]],
        diverged: bool,
    ) -> None:
        """Write a training that has ended, once.

        Args:
            key: What it is known by.
            name: Name of its run.
            tags: Its tags.
            params: Its parameters.
            epochs: Its metrics by epoch.
            diverged: Whether it ended early.
        """

        def write() -> None:
            run = self._client.create_run(
                self.experiment_id,
                run_name=name,
                tags={
                    **with_key_names(tags),
                    PLACE_TAG: "training",
                    KEY_TAG: key,
                    "mlflow.parentRunId": self.run_id,
                },
            )
            run_id = str(run.info.run_id)
            writer = RunWriter(self._client, run_id)
            writer.write_params(params)
            now = int(time.time() * 1000)
            writer.write_epochs((epoch, now, epochs[epoch]) for epoch in sorted(epochs))
            self._client.set_terminated(run_id, "FAILED" if diverged else "FINISHED")
            self._children[key] = run_id

        if not self.has(key):
            self._attempt(write)

    def write_scores(self, key: str, metrics: Mapping[str, float]) -> None:
        """Write what a training's network reaches on its target, where the training has its run.

        Args:
            key: What the training is known by.
            metrics: The scores by name.
        """

        def write() -> None:
            for name, value in metrics.items():
                self._client.log_metric(self._children[key], key_name(name), value)

        if self.has(key):
            self._attempt(write)

    def close(self, status: str) -> None:
        """End the parent with an MLflow status such as ``FINISHED`` or ``KILLED``."""
        self._attempt(lambda: self._client.set_terminated(self.run_id, status))

    def link(self) -> str:
        """A link to the parent in the MLflow UI."""
        return self.backend.study_link(self.experiment_id, self.run_id)

    def _find_children(self) -> dict[str, str]:
        found: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id],
                filter_string=f"tags.`{PLACE_TAG}` = 'training'",
                max_results=500,
                page_token=token,
            )
            for run in page:
                # One that was being written when the comparison was ended is written again.
                if run.info.status == "RUNNING":
                    self._client.delete_run(run.info.run_id)
                else:
                    found[run.data.tags[KEY_TAG]] = str(run.info.run_id)
            token = page.token
            if not token:
                return found

    def _attempt(self, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:  # whatever MLflow or its server raises: the trainings are worth more
            if not self._warned:
                _LOG.warning(
                    "MLflow at %s failed (%s); the comparison continues, and writes what is missing at its end.",
                    self.backend.shown,
                    first_line(error),
                )
            self._warned = True
