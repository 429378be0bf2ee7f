"""What a search says while it runs: one line a finished trial, and every record passed on to whoever listens."""

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from sceneshift.search.trial_store import RestsOnStore, TrialRecord, TrialStore


class StoreCallback(RestsOnStore, Callback):  # type: ignore[misc]  # Ray's class is untyped here
    """Passes a trial's record on after every epoch, and once more when it has ended.

    Args:
        store: The study's trial store.
        on_change: Called with the record whenever it changed.
        on_finished: Called once with the record of a trial that has ended.
    """

    def __init__(
        self,
        store: TrialStore,
        *,
        on_change: Callable[[TrialRecord], None],
        on_finished: Callable[[TrialRecord], None],
    ) -> None:
        self._store = store
        self._on_change = on_change
        self._on_finished = on_finished
        self._told: set[int] = set()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """A trial begins."""
        self._on_change(self._store.record(trial.config["number"]))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: object
    ) -> None:
        """An epoch has been recorded."""
        self._tell(trial)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """A trial has ended."""
        self._tell(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """A trial has broken."""
        self._tell(trial)

    def _tell(self, trial: Trial) -> None:
        record = self._store.record(trial.config["number"])
        self._on_change(record)
        if record.is_finished and record.number not in self._told:
            self._told.add(record.number)
            self._on_finished(record)


def progress_line(record: TrialRecord, *, finished: int, num_samples: int, epochs: int) -> str:
    """One line for a trial that has ended.

    Args:
        record: The trial.
        finished: Trials that have ended, this one among them; they end in another order than they began in.
        num_samples: Trials in all.
        epochs: Of a trial that is not stopped early.
    """
    value = "   —  " if record.value is None else f"{record.value:.4f}"
    seconds = "" if record.seconds is None else f"{record.seconds:5.0f} s"
    name = "defaults" if record.is_reference else short_params(record.params)
    line = (
        f"trial {record.number:>3} ({finished}/{num_samples} done)  {record.state:<8}  "
        f"epoch {record.last_epoch:>3}/{epochs}  val/aa {value}  {seconds}  {name}"
    )
    return f"{line}  [{record.reason}]" if record.state == "fail" else line


def short_params(params: Mapping[str, Any]) -> str:
    """Suggested values in one line: numbers to three digits, switches only when they are on."""
    parts = []
    for name, value in params.items():
        if isinstance(value, bool):
            if value and not name.endswith("_on"):
                parts.append(name)
        elif isinstance(value, float):
            parts.append(f"{name}={value:.3g}")
        else:
            parts.append(f"{name}={value}")
    return " ".join(parts)
