"""The base of strategies for model selection, which score candidates and choose among them.

A strategy only reads what trainings recorded. Every strategy passes one contract suite,
``tests/selection/test_contract.py``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic

import numpy as np

from sceneshift.errors import InvalidInputError
from sceneshift.selection.candidates import Candidate, Choice, Metrics, PooledTrial, V
from sceneshift.selection.views import VIEWS, Reads, SourceView

#: The start of the names of scores among an epoch's metrics.
SCORE_PREFIX = "selection/"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a strategy would choose from, known before anything is trained.

    Args:
        record: Whether epochs are recorded.
        target_access: What may be seen of the target: "none" or "unlabelled".
        split: Name of the source's split.
        num_seeds: Trainings of each configuration with different seeds.
        num_candidates: Trials times evaluations of each, at most.
        has_other_pairs: Whether scores of the same configurations on pairs of other groups of scenes are at hand.
        labels_allowed: Whether the target's labels may be read for choosing.
    """

    record: bool
    target_access: str
    split: str
    num_seeds: int
    num_candidates: int
    has_other_pairs: bool = False
    labels_allowed: bool = True


class Strategy(ABC, Generic[V]):
    """Scores candidates and chooses among them; higher is better.

    Choosing and steering are separate. :meth:`scores` and :meth:`choose` see all trials at the end. A search is steered
    while it runs, by :attr:`metric` among the metrics of an epoch: the strategy's own score where it has one per epoch,
    else ``val/aa``, the score of source-blocks.
    """

    #: Its name for ``--selection`` and in tables.
    name: ClassVar[str]
    #: The rule, in a phrase for tables and tags.
    rule: ClassVar[str]
    #: What it reads of the target.
    reads: ClassVar[Reads]
    #: The arrays of the record that it reads; empty if it needs no record.
    columns: ClassVar[tuple[str, ...]] = ()
    #: The name of the score that steers a search, in trial stores, pictures and MLflow.
    metric: ClassVar[str] = "val/aa"

    @property
    def needs_record(self) -> bool:
        """Whether it reads what ``--record`` leaves."""
        return bool(self.columns)

    def check(self, setting: Setting) -> None:
        """Refuse a setting in which it can't choose.

        Raises:
            InvalidInputError: Naming what is missing.
        """
        if self.needs_record and not setting.record:
            raise InvalidInputError(f"selection {self.name!r} chooses by recorded outputs; add record (--record).")
        if self.reads is not Reads.NOTHING and setting.target_access == "none":
            raise InvalidInputError(
                f"selection {self.name!r} reads {self.reads}; allow it with --target-access unlabelled, or choose a "
                "strategy that reads nothing of the target, such as source-blocks."
            )

    def scores(self, trials: Sequence[PooledTrial[V]]) -> dict[Candidate, float]:
        """The score of every candidate that may be chosen.

        Trials that were stopped early don't take part: their scores belong to shorter trainings.

        Args:
            trials: A pool; trials that belong together, such as the seeds of a configuration, must be passed together.

        Returns:
            Scores; NaN for a candidate whose outputs hold a NaN.

        Raises:
            InvalidInputError: A trial offers another view than that of the strategy's regime, or the pool lacks what
                the strategy needs.
            StudyError: A record is missing or damaged.
        """
        for trial in trials:
            if trial.view is not VIEWS[self.reads]:
                raise InvalidInputError(
                    f"selection {self.name!r} reads {self.reads}; trial {trial.number} was offered as "
                    f"{trial.view.__name__}, expected {VIEWS[self.reads].__name__}."
                )
        return self._scores([trial for trial in trials if trial.is_complete and trial.epochs])

    @abstractmethod
    def _scores(self, trials: Sequence[PooledTrial[V]]) -> dict[Candidate, float]:
        """The scores of complete trials' candidates."""

    def choose(self, trials: Sequence[PooledTrial[V]]) -> Choice | None:
        """The candidate with the highest score; of equals the earlier trial, then the earlier epoch.

        None if no candidate has a finite score.

        Raises:
            InvalidInputError: As in :meth:`scores`.
            StudyError: As in :meth:`scores`.
        """
        return best(self.scores(trials))

    def score(self, metrics: Metrics) -> float:
        """The score of an epoch, which steers a search: by it trials are stopped early."""
        return metrics[self.metric]

    def value(self, history: Mapping[int, Metrics]) -> float:
        """The value of a whole trial, which a search maximizes; by default the last epoch's score."""
        return self.score(history[max(history)])

    @abstractmethod
    def keep(self, history: Mapping[int, Metrics]) -> Collection[int]:
        """The epochs whose weights may still be chosen, among those trained so far; the last is always kept."""


def best(scores: Mapping[Candidate, float]) -> Choice | None:
    """The candidate with the highest finite score; of equals the first. None if none is finite."""
    finite = {candidate: score for candidate, score in scores.items() if math.isfinite(score)}
    if not finite:
        return None
    first = min(finite, key=lambda candidate: (-finite[candidate], candidate))
    return Choice(trial=first.trial, epoch=first.epoch, is_average=first.is_average, score=finite[first])


def evaluated(history: Mapping[int, Metrics], metric: str) -> dict[int, float]:
    """The finite scores by epoch; epochs that were not evaluated have none."""
    return {
        epoch: metrics[metric]
        for epoch, metrics in history.items()
        if metric in metrics and math.isfinite(metrics[metric])
    }


class EpochStrategy(Strategy[V]):
    """A strategy whose score of a candidate depends on that candidate alone: its mean over pairs.

    Workers compute it after every evaluated epoch and report it as ``selection/<name>``. It steers the search, and the
    best epoch's weights are kept.
    """

    #: Whether the running average of weights is what it chooses, where there is one.
    takes_averages: ClassVar[bool] = False

    def __init_subclass__(cls, **values: Any) -> None:  # noqa: ANN401
        """Name the metric after the strategy."""
        super().__init_subclass__(**values)
        if "name" in vars(cls) and "metric" not in vars(cls):
            cls.metric = SCORE_PREFIX + cls.name

    @abstractmethod
    def score_pair(self, view: V) -> float:
        """The score of one pair's classifier; NaN if its outputs hold one."""

    def score_candidate(self, views: Mapping[str, V]) -> float:
        """The mean over pairs; NaN if one pair's score is."""
        return float(np.mean([self.score_pair(view) for view in views.values()]))

    def score_epoch(self, views: Mapping[Candidate, Mapping[str, V]]) -> float:
        """The score of one epoch from all its candidates."""
        return self.score_candidate(views[self._chosen_of(views)])

    def _chosen_of(self, candidates: Collection[Candidate]) -> Candidate:
        """The epoch's weights, or their average if there is one and the strategy takes it."""
        return max(c for c in candidates if self.takes_averages or not c.is_average)

    def _scores(self, trials: Sequence[PooledTrial[V]]) -> dict[Candidate, float]:
        found: dict[Candidate, float] = {}
        for trial in trials:
            found |= self._scores_of(trial)
        return found

    def _scores_of(self, trial: PooledTrial[V]) -> dict[Candidate, float]:
        told = {epoch: metrics[self.metric] for epoch, metrics in trial.epochs.items() if self.metric in metrics}
        if told and not self.takes_averages:
            return {Candidate(trial=trial.number, epoch=epoch): score for epoch, score in told.items()}
        outputs = trial.outputs()
        by_epoch: dict[int, list[Candidate]] = {}
        for candidate in outputs:
            by_epoch.setdefault(candidate.epoch, []).append(candidate)
        chosen = [self._chosen_of(candidates) for candidates in by_epoch.values()]
        return {candidate: told.get(candidate.epoch, self.score_candidate(outputs[candidate])) for candidate in chosen}

    def value(self, history: Mapping[int, Metrics]) -> float:
        """The best epoch's score; NaN if no epoch has a finite one."""
        return max(evaluated(history, self.metric).values(), default=math.nan)

    def keep(self, history: Mapping[int, Metrics]) -> Collection[int]:
        """The epoch with the highest score so far."""
        scores = evaluated(history, self.metric)
        return [min(scores, key=lambda epoch: (-scores[epoch], epoch))] if scores else []


class SourceBlocks(Strategy[SourceView]):
    """Chooses the last epoch of the trial with the best mean average accuracy on the sources' validation pixels.

    The mean over pairs of AA on pixels held back from the source, by blocks or as the split says. AA, not OA,
    because class proportions differ between scenes and a score should not rely on the source's. Source
    validation as a rule: Gulrajani and Lopez-Paz, "In Search of Lost Domain Generalization", ICLR 2021, section 3.
    """

    name = "source-blocks"
    rule = "highest mean validation AA on the sources, last epoch; no target label used"
    reads = Reads.NOTHING

    def _scores(self, trials: Sequence[PooledTrial[SourceView]]) -> dict[Candidate, float]:
        lasts = {trial.number: max(trial.epochs) for trial in trials}
        return {
            Candidate(trial=trial.number, epoch=lasts[trial.number]): self.value(trial.epochs)
            for trial in trials
            if self.metric in trial.epochs[lasts[trial.number]]
        }

    def keep(self, history: Mapping[int, Metrics]) -> Collection[int]:
        """The last epoch."""
        return [max(history)]
