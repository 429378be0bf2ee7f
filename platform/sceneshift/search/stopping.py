"""Why a search ends before it has all its trials: someone interrupts, nothing goes on, or a disk is full."""

from typing import Any

from ray.tune import Stopper

from sceneshift.search.trial_store import RestsOnStore

#: The reason of a search that a user ended.
INTERRUPTED = "interrupted"


class SearchStop(RestsOnStore, Stopper):  # type: ignore[misc]  # Ray's class is untyped here
    """Ends a search when it is asked to; Ray Tune looks ten times a second."""

    reason = ""

    def request(self, reason: str) -> None:
        """End the search; of several reasons the first is told."""
        self.reason = self.reason or reason

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is ended by this."""
        return False

    def stop_all(self) -> bool:
        """Whether the search shall end."""
        return bool(self.reason)
