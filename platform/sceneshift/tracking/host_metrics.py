"""The load of the machine that runs the search, under the names of MLflow's own system metrics.

MLflow's ``SystemMetricsMonitor`` stops at the first server error and writes from its own thread; here only its gauges
are used, and :class:`sceneshift.tracking.search_run.SearchRun` writes their values with everything else.
"""

import logging
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Metric

#: Seconds between two readings; set by MLflow's own variable.
EVERY_S = 15.0

#: Maximum number of values kept for an unreachable server; older ones are dropped.
_MOST_WAITING = 5000


class HostMetrics:
    """CPU, memory, disk, network and GPUs of this machine.

    Args:
        run_started_ms: When the run of the readings began; their step is the seconds since then.
    """

    def __init__(self, run_started_ms: int) -> None:
        logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        self._gauges = [CPUMonitor(), DiskMonitor(), NetworkMonitor(), *_gpu_gauges()]
        self._started_ms = run_started_ms
        self._every_s = float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL") or EVERY_S)
        self._enabled = os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() not in ("false", "0")
        self._next = time.monotonic() + self._every_s
        self._primed = False
        self.waiting: list[Metric] = []

    def read_if_due(self) -> None:
        """Read the gauges if it is time; the readings are kept in :attr:`waiting` until they are written."""
        if not self._enabled:
            return
        if not self._primed:
            # A thread's first reading of the CPU is 0; the next covers the time since then.
            self._gauges[0].collect_metrics()
            self._gauges[0].clear_metrics()
            self._primed = True
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every_s
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        step = max(0, (now_ms - self._started_ms) // 1000)
        for gauge in self._gauges:
            gauge.collect_metrics()
            for name, value in gauge.aggregate_metrics().items():
                self.waiting.append(Metric(f"system/{name}", float(value), now_ms, step))
            gauge.clear_metrics()
        del self.waiting[:-_MOST_WAITING]


def _gpu_gauges() -> list:  # type: ignore[type-arg]  # mlflow's classes are untyped
    """MLflow's gauge for NVIDIA GPUs, if there are any and the package that reads them is installed."""
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    try:
        return [GPUMonitor()]
    except Exception:  # driver, package or GPU can be missing, each with its own error
        return []
