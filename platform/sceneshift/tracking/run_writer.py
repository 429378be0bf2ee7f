"""Writing the epochs of one MLflow run in few calls; shared by searches and trainings."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sceneshift.tracking.key_names import key_name

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

#: Maximum number of metrics in one call to MLflow.
MOST_METRICS = 1000


class RunWriter:
    """Writes the epochs of one run.

    Args:
        client: The MLflow client.
        run_id: The run.
        logged_epochs: The last epoch that MLflow has.
        has_params: Whether its parameters were written.
    """

    def __init__(
        self, client: "MlflowClient", run_id: str, *, logged_epochs: int = 0, has_params: bool = False
    ) -> None:
        self._client = client
        self.run_id = run_id
        self.logged_epochs = logged_epochs
        self.has_params = has_params

    def write_params(self, params: Mapping[str, Any]) -> None:
        """Write parameters, once."""
        from mlflow.entities import Param

        if not self.has_params:
            self._client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in params.items()])
            self.has_params = True

    def write_epochs(self, epochs: Iterable[tuple[int, int, Mapping[str, float]]]) -> None:
        """Write the epochs MLflow lacks. Errors are raised; complete epochs written before stay written.

        Args:
            epochs: Number, time in milliseconds of Unix time, and metrics, in order.
        """
        from mlflow.entities import Metric

        chunk: list[Metric] = []
        for epoch, at_ms, metrics in epochs:
            if epoch <= self.logged_epochs:
                continue
            rows = {**metrics, "epoch": float(epoch)}
            # Only whole epochs: a half-written one would be written twice after an interruption.
            if chunk and len(chunk) + len(rows) > MOST_METRICS:
                self._log(chunk)
                chunk = []
            chunk += [Metric(key_name(key), value, at_ms, epoch) for key, value in rows.items()]
        self._log(chunk)

    def _log(self, metrics: "list[Metric]") -> None:
        if metrics:
            self._client.log_batch(self.run_id, metrics=metrics)
            self.logged_epochs = int(metrics[-1].step)
