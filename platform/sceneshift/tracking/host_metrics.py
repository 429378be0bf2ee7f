"""How busy the machine is that a search is led from, under the names of MLflow's own system metrics.

MLflow's ``SystemMetricsMonitor`` ends at the first fault of the server and writes from a thread of its own; here its
gauges are read, and :class:`sceneshift.tracking.search_run.SearchRun` writes what they say with everything else.
"""

import logging
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Metric

#: Seconds between two readings; MLflow's own variable changes it.
EVERY_S = 15.0

#: So many values wait for a server that is away; older ones are let go.
_MOST_WAITING = 5000


class HostMetrics:
    """CPU, memory, disk, network and GPUs of this machine.

    Args:
        run_started_ms: When the run began that the readings belong to; their step is the seconds since.
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
        """Read the gauges when it is time; the readings wait in :attr:`waiting` for whoever writes them."""
        if not self._enabled:
            return
        if not self._primed:
            # What a thread's first look at the CPU tells is 0; the next tells of the time since.
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
    """MLflow's gauge of NVIDIA's GPUs, where there are any and the package that reads them."""
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    try:
        return [GPUMonitor()]
    except Exception:  # each of driver, package and GPU can be missing, with an error of its own
        return []
