"""From published rows to choices and what they cost.

Shape letters: C configurations, R seeds, E candidates of a training: per evaluated epoch the running average of
weights, then the epoch's own, so that the last candidate is the last epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sceneshift.selection.candidates import Elsewhere, PooledTrial
from sceneshift.selection.registry import STRATEGIES
from sceneshift.selection.regret import Pool
from sceneshift.selection.views import SourceView
from sceneshift.studies.cell_scores import ACROSS_PAIRS
from sceneshift.studies.design import GROUPS, StudyDesign
from sceneshift.studies.published_rows import ESTIMATES, SCORE, TARGET_FIGURES, PublishedBatch


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """A batch's candidates as arrays.

    Args:
        pair: The pair.
        method: The method.
        group: The pair's group of scenes.
        epochs: (E,) epoch of each candidate.
        averages: (E,) whether it is the running average.
        target: (C, R, E) by figure of :data:`TARGET_FIGURES`, 0..1; NaN where there is no such candidate.
        scores: (C, R, E) by strategy; NaN where it has none.
        rows: The published rows, by configuration, seed, epoch and average.
    """

    pair: str
    method: str
    group: str
    epochs: NDArray[np.int64]
    averages: NDArray[np.bool_]
    target: Mapping[str, NDArray[np.float64]]
    scores: Mapping[str, NDArray[np.float64]]
    rows: pd.DataFrame

    @classmethod
    def of(cls, batch: PublishedBatch, design: StudyDesign) -> "Candidates":
        """Arrange a batch's rows; strategies that need other pairs' rows are not among the scores."""
        evaluated = sorted(int(epoch) for epoch in batch.rows["epoch"].unique())
        places = {epoch: place for place, epoch in enumerate(evaluated)}
        rows = batch.rows
        shape = len(design.configurations[batch.facts.method]), design.num_seeds, 2 * len(evaluated)
        at = (
            rows["configuration"].to_numpy(),
            rows["seed"].to_numpy(),
            2 * rows["epoch"].map(places).to_numpy() + ~rows["is_average"].to_numpy(),
        )

        def arranged(name: str) -> NDArray[np.float64]:
            values = np.full(shape, np.nan)
            values[at] = rows[name].to_numpy(dtype=np.float64)
            return values

        names = [name.removeprefix(SCORE) for name in rows if name.startswith(SCORE)]
        return cls(
            pair=batch.facts.pair,
            method=batch.facts.method,
            group=GROUPS[batch.facts.pair],
            epochs=np.repeat(evaluated, 2),
            averages=np.tile([True, False], len(evaluated)),
            target={name: arranged(name) for name in TARGET_FIGURES},
            scores={name: arranged(SCORE + name) for name in names if name in STRATEGIES},
            rows=rows.set_index(["configuration", "seed", "epoch", "is_average"]),
        )

    def pool(self, scores: NDArray[np.float64], figure: str = "target_oa") -> Pool | None:
        """The scores of a strategy, with what candidates reach; None if one of the seeds has none to choose by.

        Args:
            scores: (C, R, E).
            figure: Which of :data:`TARGET_FIGURES` is reached.
        """
        known = np.where(np.isfinite(self.target[figure]), scores, np.nan)
        trained = np.isfinite(self.target[figure]).any(axis=(0, 2))
        if not trained.any() or not np.isfinite(known[:, trained]).any(axis=(0, 2)).all():
            return None
        # Rounding to float32 leaves 1 + 1e-8.
        return Pool(scores=known[:, trained], accuracy=np.clip(self.target[figure][:, trained], 0, 1))

    def choice(self, scores: NDArray[np.float64], seed: int) -> tuple[int, int] | None:
        """Configuration and place of the candidate with the highest score; of equals the earlier one."""
        known = np.isfinite(scores[:, seed]) & np.isfinite(self.target["target_oa"][:, seed])
        of_seed = np.where(known, scores[:, seed], -np.inf)
        best = int(np.argmax(of_seed))
        configuration, place = divmod(best, of_seed.shape[1])
        return None if np.isinf(of_seed[configuration, place]) else (configuration, place)

    def row(self, configuration: int, seed: int, place: int) -> dict[str, Any]:
        """What is published of a candidate."""
        key = configuration, seed, int(self.epochs[place]), bool(self.averages[place])
        found = self.rows.loc[key]
        return {
            "configuration": configuration,
            "epoch": key[2],
            "is_average": key[3],
            **{name: float(found[name]) for name in TARGET_FIGURES},
            **{name: float(found[name]) if name in found else float("nan") for name in ESTIMATES},
        }


def with_other_pairs(
    candidates: Candidates, others: Sequence[Candidates], *, without: str | None = None
) -> dict[str, NDArray[np.float64]]:
    """A batch's scores, those of leave-one-scene-out included where other groups have rows of the method.

    Args:
        candidates: The batch.
        others: Batches whose target scores may be read, as they are of other groups; the rest is left out here.
        without: A group that is not read either: that of the pair a strategy is being chosen for.

    Returns:
        (C, R, E) by strategy, in the order of the registry.
    """
    elsewhere = {
        other.pair: other
        for other in others
        if other.method == candidates.method and other.group not in (candidates.group, without)
    }
    found = dict(candidates.scores)
    if elsewhere:
        reached = {pair: _last_epoch(other) for pair, other in elsewhere.items()}
        shape = candidates.target["target_oa"].shape
        trials = [
            PooledTrial(
                number=configuration * shape[1] + seed,
                configuration=str(configuration),
                is_complete=True,
                epochs={int(candidates.epochs[-1]): {}},
                view=SourceView,
                outputs=dict,
                elsewhere=Elsewhere(
                    held_out=candidates.group,
                    groups={pair: other.group for pair, other in elsewhere.items()},
                    scores={pair: float(scores[configuration]) for pair, scores in reached.items()},
                ),
            )
            for configuration in range(shape[0])
            for seed in range(shape[1])
        ]
        scores = np.full(shape, np.nan)
        for candidate, score in STRATEGIES[ACROSS_PAIRS].scores(trials).items():
            configuration, seed = divmod(candidate.trial, shape[1])
            scores[configuration, seed, -1] = score
        found[ACROSS_PAIRS] = scores
    return {name: found[name] for name in STRATEGIES if name in found}


def _last_epoch(candidates: Candidates) -> NDArray[np.float64]:
    """(C,) OA on the target after the last epoch, mean over the seeds that were trained; NaN without any."""
    last = candidates.target["target_oa"][:, :, -1]
    known = np.isfinite(last)
    sums, counts = np.where(known, last, 0).sum(axis=1), known.sum(axis=1)
    means: NDArray[np.float64] = np.divide(sums, counts, out=np.full(len(last), np.nan), where=counts > 0)
    return means
