"""The record of one trial in the trial store."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from optuna.trial import FrozenTrial, TrialState

#: Names of the attributes added to Optuna's trial: epochs, configuration, why it ended, and hashes of weights.
EPOCH, CONFIG, REASON, ENDED, WEIGHTS = "epoch:", "config", "reason", "ended by", "weights"


class Ended(StrEnum):
    """Why a trial ended."""

    ALL_EPOCHS = "all epochs trained"
    EARLY_STOP = "stopped early by ASHA"
    TIME_BUDGET = "time budget used up"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out of memory"
    PROCESS_DIED = "process died"
    ERROR = "error"


#: The trial that holds the published defaults.
REFERENCE_TRIAL = 0


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial in the trial store.

    Args:
        number: 0-based; 0 is the reference trial with the published defaults.
        state: ``complete``, ``pruned``, ``fail``, ``running`` or ``waiting``.
        params: What the sampler suggested.
        config: The method's configuration.
        epochs: Metrics by 1-based epoch.
        value: Its score: if it is complete, that of the epoch that would be chosen; otherwise that of the last epoch
            that was evaluated, or None before the first.
        ended: Why it ended; None while it runs, and in stores written before this was recorded.
        reason: A sentence with the reason if it was stopped or failed; empty otherwise.
        weights: Hash of each pair's classifier after the last epoch.
        started_ms: Unix time in milliseconds, or None.
        seconds: Seconds spent in its epochs, without waiting and closing; None before the first.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    epochs: Mapping[int, Mapping[str, float]]
    value: float | None
    ended: Ended | None
    reason: str
    weights: Mapping[str, str]
    started_ms: int | None
    seconds: float | None

    @property
    def is_reference(self) -> bool:
        """Whether this is the trial with the published defaults."""
        return self.number == REFERENCE_TRIAL

    @property
    def is_finished(self) -> bool:
        """Whether the state will not change any more."""
        return self.state in ("complete", "pruned", "fail")

    @property
    def is_complete(self) -> bool:
        """Whether it ran all its epochs."""
        return self.state == "complete"

    @property
    def last_epoch(self) -> int:
        """Number of finished epochs."""
        return max(self.epochs, default=0)

    @classmethod
    def from_optuna(cls, trial: FrozenTrial) -> "TrialRecord":
        """Convert a trial read from Optuna."""
        attributes = trial.user_attrs
        epochs = {int(key.removeprefix(EPOCH)): metrics for key, metrics in attributes.items() if key.startswith(EPOCH)}
        scores = trial.intermediate_values
        started = trial.datetime_start
        last = max(scores.keys() & epochs.keys(), default=None)
        value = trial.value if trial.state is TrialState.COMPLETE else None if last is None else scores[last]
        seconds = sum(metrics.get("time/epoch_s", 0.0) for metrics in epochs.values()) if epochs else None
        return cls(
            number=trial.number,
            state=trial.state.name.lower(),
            params=trial.params,
            config=attributes.get(CONFIG, {}),
            epochs=dict(sorted(epochs.items())),
            value=value,
            ended=Ended(attributes[ENDED]) if trial.state.is_finished() and ENDED in attributes else None,
            reason=attributes.get(REASON, ""),
            weights=attributes.get(WEIGHTS, {}),
            started_ms=None if started is None else int(started.timestamp() * 1000),
            seconds=seconds,
        )
