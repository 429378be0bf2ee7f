"""Which strategy is reported for a pair: the one that did best on the other groups of scenes.

The pair's own targets, and those of all pairs that share a flight with it, have no part in that choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sceneshift.selection.accuracy_estimate import Calibration, calibrate
from sceneshift.selection.registry import STRATEGIES
from sceneshift.selection.regret import regret
from sceneshift.selection.views import Reads
from sceneshift.studies.choices import Candidates, with_other_pairs

#: The regimes for which a strategy is reported.
REGIMES = (Reads.NOTHING, Reads.PIXELS)


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The strategy that is reported for the pairs of a group.

    Args:
        group: The group of scenes.
        reads: The regime.
        strategy: Its name; None where no other group has rows.
        regrets: Points lost on the other groups, mean over groups, by every strategy of the regime that could choose on
            all of their batches.
    """

    group: str
    reads: Reads
    strategy: str | None
    regrets: Mapping[str, float]


def report_for(group: str, reads: Reads, batches: Sequence[Candidates]) -> Reported:
    """Choose a strategy for a group by the regrets on all others.

    Every other group counts the same, however many pairs and methods it has.

    Args:
        group: The group that is chosen for.
        reads: The regime.
        batches: Those that strategies are judged on; the group's own are left out.
    """
    others = [batch for batch in batches if batch.group != group]
    lost: dict[str, dict[str, list[float]]] = {}
    for batch in others:
        for name, scores in with_other_pairs(batch, others, without=group).items():
            if STRATEGIES[name].reads is reads and (pool := batch.pool(scores)) is not None:
                lost.setdefault(name, {}).setdefault(batch.group, []).append(regret(pool))
    regrets = {
        name: float(np.mean([np.mean(each) for each in of_groups.values()]))
        for name, of_groups in lost.items()
        if sum(map(len, of_groups.values())) == len(others)
    }
    best = min(regrets, key=lambda name: regrets[name], default=None)
    return Reported(group=group, reads=reads, strategy=best, regrets=regrets)


def calibration_for(group: str, strategy: str, batches: Sequence[Candidates]) -> Calibration:
    """What estimates of accuracy were wrong by on other groups, for candidates that a strategy chose there.

    Args:
        group: The group whose estimate is to be corrected.
        strategy: The strategy.
        batches: Those with known accuracy; the group's own are left out.
    """
    residuals: dict[str, list[float]] = {}
    others = [batch for batch in batches if batch.group != group]
    for batch in others:
        scores = with_other_pairs(batch, others, without=group).get(strategy)
        if scores is None:
            continue
        for seed in range(scores.shape[1]):
            if (choice := batch.choice(scores, seed)) is not None:
                row = batch.row(choice[0], seed, choice[1])
                residual = row["target_oa"] - row["estimate"]
                if np.isfinite(residual):
                    residuals.setdefault(batch.group, []).append(float(np.clip(residual, -1, 1)))
    return calibrate(residuals)
