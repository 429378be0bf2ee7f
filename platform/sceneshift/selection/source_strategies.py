"""Strategies that read nothing of the target. Their formulas are in :mod:`sceneshift.selection.source_criteria`."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.selection.candidates import Candidate, Metrics, PooledTrial
from sceneshift.selection.source_criteria import (
    average_accuracy,
    leave_one_group_out,
    mean_shifted_accuracy,
    source_discrepancy,
    worst_shifted_accuracy,
)
from sceneshift.selection.strategy import EpochStrategy, Setting, Strategy
from sceneshift.selection.views import Reads, SourceView


class SourceRandom(EpochStrategy[SourceView]):
    """Chooses the trial and epoch with the best mean AA on validation pixels drawn at random among the labelled ones.

    The field's usual practice: validation pixels are next to training pixels of the same field, so that their patches
    overlap. It is here to be compared with. Source validation: Gulrajani and Lopez-Paz, "In Search of Lost Domain
    Generalization", ICLR 2021, section 3.
    """

    name = "source-random"
    rule = "highest mean validation AA on the sources' pixels of a random split, best epoch; no target label used"
    reads = Reads.NOTHING
    metric = "val/aa"

    def check(self, setting: Setting) -> None:
        """Refuse any split but a random one, as well."""
        super().check(setting)
        if setting.split != "random":
            raise InvalidInputError(
                f"selection {self.name!r} validates on a random split, and this is split {setting.split!r}; use "
                "--split random, or source-blocks."
            )

    def score_pair(self, view: SourceView) -> float:
        """AA on the validation pixels."""
        return average_accuracy(view.logits, view.labels)


class ShiftedBlocks(EpochStrategy[SourceView]):
    """Chooses the trial and epoch with the best AA under a fixed bank of physical shifts, mean over shifts.

    :func:`~sceneshift.selection.source_criteria.mean_shifted_accuracy` of the validation pixels under the shifts of
    :mod:`sceneshift.simulation.shift_bank`, mean over pairs.
    """

    name = "shifted-blocks"
    rule = "highest mean AA on shifted copies of the sources' validation pixels, best epoch; no target label used"
    reads = Reads.NOTHING
    columns = ("shifted_logits",)

    def score_pair(self, view: SourceView) -> float:
        """Mean over shifts of AA."""
        return mean_shifted_accuracy(_shifted(view), view.labels)


class WorstShiftedBlocks(EpochStrategy[SourceView]):
    """Chooses the trial and epoch whose AA under its worst shift is best.

    :func:`~sceneshift.selection.source_criteria.worst_shifted_accuracy`, mean over pairs.
    """

    name = "shifted-blocks-worst"
    rule = "highest AA on the worst shifted copy of the sources' validation pixels, best epoch; no target label used"
    reads = Reads.NOTHING
    columns = ("shifted_logits",)

    def score_pair(self, view: SourceView) -> float:
        """The lowest AA among shifts."""
        return worst_shifted_accuracy(_shifted(view), view.labels)


class SourceDiscrepancy(EpochStrategy[SourceView]):
    """Chooses the trial and epoch with the lowest sum of source risk and discrepancy between synthetic domains.

    :func:`~sceneshift.selection.source_criteria.source_discrepancy`, mean over pairs.
    """

    name = "source-discrepancy"
    rule = "lowest source risk plus discrepancy between shifted copies, best epoch; no target label used"
    reads = Reads.NOTHING
    columns = ("validation_logits", "shifted_logits")

    def score_pair(self, view: SourceView) -> float:
        """Minus risk and discrepancy."""
        return source_discrepancy(view.logits, _shifted(view), view.labels)


class FlatAverage(EpochStrategy[SourceView]):
    """Chooses the averaged weights of the trial whose average has the best mean validation AA after the last epoch.

    The average runs from the epoch where validation flattens to the last (:mod:`sceneshift.training.flat_average`);
    a trial in which it never began takes part with the last epoch's own weights. Averaging over a flat stretch:
    Cha et al., "SWAD: Domain Generalization by Seeking Flat Minima", NeurIPS 2021 (from memory); SWAD also ends the
    average where validation worsens.
    """

    name = "flat-average"
    rule = "weights averaged from where validation flattens, highest mean validation AA; no target label used"
    reads = Reads.NOTHING
    columns = ("validation_logits",)
    takes_last_epoch = True
    takes_averages = True

    def score_pair(self, view: SourceView) -> float:
        """AA on the recorded validation pixels."""
        return average_accuracy(view.logits, view.labels)


class LeaveOneSceneOut(Strategy[SourceView]):
    """Chooses the configuration that does best on the targets of pairs that share no flight with this one; last epoch.

    :func:`~sceneshift.selection.source_criteria.leave_one_group_out`, the scores being accuracies on the other pairs'
    targets. Of seeds of one configuration, which then score the same, the one with the earliest number is chosen. The
    epoch is source-blocks', the last. Leave-one-domain-out: Gulrajani and Lopez-Paz, ICLR 2021, section 3.
    """

    name = "leave-one-scene-out"
    rule = "highest accuracy on the targets of other groups of scenes, last epoch; no label of this target used"
    reads = Reads.NOTHING

    def check(self, setting: Setting) -> None:
        """Refuse a setting without other pairs, as well."""
        super().check(setting)
        if not setting.has_other_pairs:
            raise InvalidInputError(
                f"selection {self.name!r} ranks configurations by their target scores on pairs of other scenes, and "
                "there are none here; it chooses in a pool of the same configurations over several pairs."
            )

    def _scores(self, trials: Sequence[PooledTrial[SourceView]]) -> dict[Candidate, float]:
        if not trials:
            return {}
        trials = [trial for trial in trials if trial.elsewhere is not None]
        if not trials:
            raise InvalidInputError(
                f"selection {self.name!r}: no trial has scores on other pairs; pass them as PooledTrial.elsewhere."
            )
        elsewhere = [trial.elsewhere for trial in trials if trial.elsewhere is not None]
        held_out = {other.held_out for other in elsewhere}
        groups = {pair: group for other in elsewhere for pair, group in other.groups.items()}
        if len(held_out) > 1:
            raise InvalidInputError(
                f"selection {self.name!r}: trials hold out different groups, {', '.join(sorted(held_out))}; choose for "
                "one pair at a time."
            )
        table = np.array([[other.scores.get(pair, np.nan) for pair in groups] for other in elsewhere])
        scores = leave_one_group_out(table, list(groups.values()), held_out=held_out.pop())
        return {
            Candidate(trial=trial.number, epoch=max(trial.epochs)): float(score)
            for trial, score in zip(trials, scores, strict=True)
        }

    def keep(self, history: Mapping[int, Metrics]) -> Collection[int]:
        """The last epoch."""
        return [max(history)]


def _shifted(view: SourceView) -> NDArray[np.float16]:
    if view.shifted is None:
        raise InvalidInputError(
            "nothing was recorded under shifts, as no pixel validates; use a split that holds pixels back."
        )
    return view.shifted
