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

#: A metric of every epoch that was recorded, also where no pixel validates.
_RECORDED = "time/recording_s"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a strategy would choose from, known before anything is trained.

    Args:
        record: Whether epochs are recorded.
        target_access: What may be seen of the target: "none" or "unlabelled".
        split: Name of the source's split.
        num_seeds: Trainings of each configuration with different seeds.
        num_candidates: Trials times evaluations of each, at most.
        validates: Whether pixels of the source are held back.
        has_other_pairs: Whether scores of the same configurations on pairs of other groups of scenes are at hand.
    """

    record: bool
    target_access: str
    split: str
    num_seeds: int
    num_candidates: int
    validates: bool = True
    has_other_pairs: bool = False


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

    @property
    def needs_validation(self) -> bool:
        """Whether it reads validation pixels of the source."""
        return self.metric == "val/aa" or any(not column.startswith("target") for column in self.columns)

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
        if self.needs_validation and not setting.validates:
            raise InvalidInputError(
                f"selection {self.name!r} reads validation pixels of the source, and none are held back; use a split "
                "that holds some back, or a strategy that reads target pixels alone, such as infomax."
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

    def keep(self, history: Mapping[int, Metrics]) -> Collection[int]:
        """The epochs whose weights may still be chosen, among those trained so far: by default all that were evaluated.

        The last epoch's weights are kept in any case.
        """
        return [epoch for epoch, metrics in history.items() if self.metric in metrics or _RECORDED in metrics]


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


class CandidateStrategy(Strategy[V]):
    """A strategy whose score of a candidate depends on that candidate alone: the mean of its pairs' scores."""

    @abstractmethod
    def score_pair(self, view: V) -> float:
        """The score of one pair's classifier; NaN if its outputs hold one."""

    def score_candidate(self, views: Mapping[str, V]) -> float:
        """The mean over pairs; NaN if one pair's score is."""
        return float(np.mean([self.score_pair(view) for view in views.values()]))

    def _scores(self, trials: Sequence[PooledTrial[V]]) -> dict[Candidate, float]:
        return {
            candidate: self.score_candidate(views)
            for trial in trials
            for candidate, views in trial.outputs().items()
            if not candidate.is_average
        }


class EpochStrategy(CandidateStrategy[V]):
    """A strategy with a score per epoch that needs no label of the target, so that it steers the search.

    Workers compute it after every evaluated epoch and report it as ``selection/<name>``. The best epoch is chosen, and
    its weights are kept.
    """

    #: Whether only the last epoch may be chosen.
    takes_last_epoch: ClassVar[bool] = False
    #: Whether it scores and chooses the running average of weights, where there is one.
    takes_averages: ClassVar[bool] = False

    def __init_subclass__(cls, **values: Any) -> None:  # noqa: ANN401
        """Name the metric after the strategy."""
        super().__init_subclass__(**values)
        if "name" in vars(cls) and "metric" not in vars(cls):
            cls.metric = SCORE_PREFIX + cls.name

    def of_epoch(self, outputs: Mapping[Candidate, Mapping[str, V]]) -> tuple[Candidate, float]:
        """The candidate that represents an epoch, and its score.

        Args:
            outputs: The views of the epoch's weights, and of their running average if there is one.
        """
        candidate = max(c for c in outputs if self.takes_averages or not c.is_average)
        return candidate, self.score_candidate(outputs[candidate])

    def _scores(self, trials: Sequence[PooledTrial[V]]) -> dict[Candidate, float]:
        return {candidate: score for trial in trials for candidate, score in self._scores_of(trial).items()}

    def _scores_of(self, trial: PooledTrial[V]) -> dict[Candidate, float]:
        last = max(trial.epochs)
        scores = evaluated(trial.epochs, self.metric)
        if scores and not self.takes_averages:
            return {
                Candidate(trial=trial.number, epoch=epoch): score
                for epoch, score in scores.items()
                if not self.takes_last_epoch or epoch == last
            }
        by_epoch: dict[int, dict[Candidate, Mapping[str, V]]] = {}
        for candidate, views in trial.outputs().items():
            by_epoch.setdefault(candidate.epoch, {})[candidate] = views
        if self.takes_last_epoch:
            by_epoch = {epoch: outputs for epoch, outputs in by_epoch.items() if epoch == last}
        return dict(self.of_epoch(outputs) for outputs in by_epoch.values())

    def value(self, history: Mapping[int, Metrics]) -> float:
        """The score of the epoch that would be chosen; NaN if it is not finite."""
        scores = evaluated(history, self.metric)
        if self.takes_last_epoch:
            return scores.get(max(history), math.nan)
        return max(scores.values(), default=math.nan)

    def keep(self, history: Mapping[int, Metrics]) -> Collection[int]:
        """The epoch with the highest score so far, or the last."""
        if self.takes_last_epoch:
            return [max(history)]
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
