"""Detection of runs without progress: they report what they are waiting for, and end instead of hanging."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from sceneshift.execution.executor import StopReason, StopRequest

_LOG = logging.getLogger(__name__)

#: Maximum of seconds between two messages about what a run without progress is waiting for.
_LONGEST_SILENCE_S = 300.0
#: Seconds a stalled run has to end by itself, before its process is ended.
_GRACE_S = 60.0
#: Seconds for Ray to report what it is waiting for.
_ANSWER_S = 10.0


class StallWatch(Callback):  # type: ignore[misc]  # Ray's class is untyped here
    """Watches a run from its own thread, so that it can report while the run hangs inside Ray.

    Use as a context manager around the run, and as one of Ray Tune's callbacks.

    Args:
        timeout_s: Seconds without an epoch from any trial after which the run is ended.
        stop: Asked to end it.
        on_hang: Called with the reason if the run does not end by itself afterwards; should end the process.
    """

    def __init__(self, timeout_s: float, *, stop: StopRequest, on_hang: Callable[[str], None] | None) -> None:
        self._timeout_s = timeout_s
        self._stop = stop
        self._on_hang = on_hang
        self._last = time.monotonic()
        self._trials: list[Trial] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall-watch", daemon=True)

    def __getstate__(self) -> dict[str, Any]:
        """An empty state, because Tune writes its callbacks to disk before it begins."""
        return {}

    def __enter__(self) -> "StallWatch":
        self._last = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def on_step_end(self, iteration: int, trials: list[Trial], **info: object) -> None:
        """Store the trials, to report their states."""
        self._trials = trials

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: object
    ) -> None:
        """An epoch counts as progress."""
        self._last = time.monotonic()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """A failed trial makes room for another, which also counts as progress."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        interval = min(_LONGEST_SILENCE_S, self._timeout_s / 4)
        reported = 0
        while not self._ended.wait(min(1.0, interval)):
            idle = time.monotonic() - self._last
            if idle >= self._timeout_s:
                why = f"no epoch from any trial for {idle:.0f} s; {self._waits_for()}"
                self._stop.request(StopReason.STALLED, why)
                if not self._ended.wait(_GRACE_S) and self._on_hang is not None:
                    self._on_hang(why)
                return
            if int(idle / interval) > reported:
                _LOG.info("waiting: no epoch from any trial for %.0f s; %s", idle, self._waits_for())
            reported = int(idle / interval)

    def _waits_for(self) -> str:
        states = [str(trial.status) for trial in self._trials]
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "none begun"
        answer: list[str] = []
        # Ray itself may hang, so it is queried in a thread that can be abandoned.
        asking = threading.Thread(target=lambda: answer.append(what_ray_lacks()), daemon=True)
        asking.start()
        asking.join(_ANSWER_S)
        lacks = answer[0] if answer else f"Ray itself has not answered for {_ANSWER_S:g} s"
        return f"trials: {counts}; {lacks}"


def what_ray_lacks() -> str:
    """One line with dead nodes, waiting placement groups, and free resources."""
    import ray
    from ray.util import placement_group_table

    try:
        nodes = ray.nodes()
        free: dict[str, float] = ray.available_resources()
        groups = placement_group_table()
    except Exception as error:  # whatever a broken Ray raises
        return f"Ray can't be asked ({type(error).__name__}: {error})"
    dead = sorted(str(node.get("NodeManagerAddress", "?")) for node in nodes if not node["Alive"])
    waiting = [
        _shape(group["bundles"])
        for group in groups.values()
        if group.get("state") in ("PENDING", "RESCHEDULING", "PREPARED")
    ]
    alive = len(nodes) - len(dead)
    parts = [
        f"{len(waiting)} placement groups wait for " + "; ".join(sorted(set(waiting))) if waiting else "",
        f"free on {alive} live nodes: {free.get('CPU', 0.0):g} CPU, {free.get('GPU', 0.0):g} GPU",
        f"dead nodes: {', '.join(dead)}" if dead else "",
    ]
    return "; ".join(part for part in parts if part)


def _shape(bundles: Any) -> str:  # noqa: ANN401  # a mapping from index to resources
    return " + ".join(
        " ".join(f"{amount:g} {name}" for name, amount in resources.items()) for resources in bundles.values()
    )
