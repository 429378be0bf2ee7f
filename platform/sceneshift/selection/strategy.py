"""Strategies for model selection, which score epochs, say which weights to keep, and choose among trials.

A strategy only reads records; their content is described in :class:`sceneshift.training.loop.EpochReport`. Every
strategy passes one contract suite, ``tests/selection/test_contract.py``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from sceneshift.errors import InvalidInputError, nearest_name

#: The metrics of one epoch.
Metrics = Mapping[str, float]


class Reads(StrEnum):
    """What a strategy reads of the target."""

    NOTHING = "nothing of the target"
    PIXELS = "the target's unlabelled pixels"
    LABELS = "the target's labels"


class RecordedTrial(Protocol):
    """The part of a trial's record that strategies use."""

    @property
    def number(self) -> int:
        """0-based."""

    @property
    def epochs(self) -> Mapping[int, Metrics]:
        """Metrics by 1-based epoch."""

    @property
    def is_complete(self) -> bool:
        """Whether it ran all its epochs."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen.

    Args:
        trial: The trial's number.
        epoch: The epoch whose weights are used.
        score: Its score.
    """

    trial: int
    epoch: int
    score: float


class Strategy(ABC):
    """Scores epochs and chooses among trials; higher is better."""

    #: Its name for ``--selection`` and in tables.
    name: ClassVar[str]
    #: The rule, in a phrase for tables and tags.
    rule: ClassVar[str]
    #: What it reads of the target.
    reads: ClassVar[Reads]
    #: The name of its score in trial stores, pictures and MLflow.
    metric: ClassVar[str]

    @abstractmethod
    def score(self, metrics: Metrics) -> float:
        """The score of an epoch, which searches maximize and which stops trials early."""

    @abstractmethod
    def keep(self, history: Mapping[int, Metrics]) -> Collection[int]:
        """The epochs whose weights may still be chosen, among those trained so far; the last is always kept."""

    @abstractmethod
    def chosen_epoch(self, history: Mapping[int, Metrics]) -> int:
        """The epoch whose weights represent a trial."""

    def choose(self, trials: Sequence[RecordedTrial]) -> Choice | None:
        """The trial with the highest score at its chosen epoch; if equal, the earlier one.

        Trials that were stopped early don't take part: their scores belong to shorter trainings. None if no trial
        ran to its end with a finite score.
        """
        found = []
        for trial in trials:
            if trial.is_complete and trial.epochs:
                epoch = self.chosen_epoch(trial.epochs)
                found.append(Choice(trial=trial.number, epoch=epoch, score=self.score(trial.epochs[epoch])))
        finite = [choice for choice in found if math.isfinite(choice.score)]
        return max(finite, key=lambda choice: (choice.score, -choice.trial), default=None)


class SourceBlocks(Strategy):
    """Chooses the last epoch of the trial with the best mean average accuracy on the sources' validation pixels.

    The mean over pairs of AA on pixels held back from the source, by blocks or as the split says. AA, not OA,
    because class proportions differ between scenes and a score should not rely on the source's. Source
    validation as a rule: Gulrajani and Lopez-Paz, "In Search of Lost Domain Generalization", ICLR 2021, section 3.
    """

    name = "source-blocks"
    rule = "highest mean validation AA on the sources, last epoch; no target label used"
    reads = Reads.NOTHING
    metric = "val/aa"

    def score(self, metrics: Metrics) -> float:
        """``val/aa``."""
        return metrics[self.metric]

    def keep(self, history: Mapping[int, Metrics]) -> Collection[int]:
        """The last epoch."""
        return [max(history)]

    def chosen_epoch(self, history: Mapping[int, Metrics]) -> int:
        """The last epoch."""
        return max(history)


#: The strategies known by name.
STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in (SourceBlocks(),)}


def find_strategy(name: str) -> Strategy:
    """Return a strategy.

    Raises:
        InvalidInputError: None has that name.
    """
    if name not in STRATEGIES:
        raise InvalidInputError(
            f"no selection strategy is called {name!r}{nearest_name(name, STRATEGIES)}. Known: {', '.join(STRATEGIES)}."
        )
    return STRATEGIES[name]
