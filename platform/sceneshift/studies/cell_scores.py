"""Scores of a study's candidates under every strategy, from what trainings left.

A strategy that looks at one training is scored when that is done, a joint one with all trainings of a batch. Nothing
here reads a target label: the oracle is the best of the published target scores themselves.
"""

import math
from collections.abc import Mapping, Sequence

from sceneshift.selection.candidates import Metrics
from sceneshift.selection.joint_strategies import SeedStrategy
from sceneshift.selection.outputs import pooled_trial
from sceneshift.selection.registry import STRATEGIES
from sceneshift.selection.source_criteria import average_accuracy
from sceneshift.selection.source_strategies import LeaveOneSceneOut, SourceRandom
from sceneshift.selection.strategy import CandidateStrategy, SourceBlocks
from sceneshift.selection.views import Reads
from sceneshift.studies.cell_files import CellFiles, EpochAndAverage
from sceneshift.studies.target_scores import StudyPixels

#: Strategies whose score of a candidate is of one training alone, by name.
SINGLE_STRATEGIES = tuple(
    name
    for name, strategy in STRATEGIES.items()
    if isinstance(strategy, CandidateStrategy | SourceBlocks) and strategy.reads is not Reads.LABELS
)

#: The strategy that ranks configurations by other pairs' published rows.
ACROSS_PAIRS = LeaveOneSceneOut.name

#: Strategies that compare trainings of one batch, by name.
JOINT_STRATEGIES = tuple(
    name
    for name, strategy in STRATEGIES.items()
    if name not in (*SINGLE_STRATEGIES, ACROSS_PAIRS) and strategy.reads is not Reads.LABELS
)


def cell_scores(
    files: CellFiles, epochs: Mapping[int, Metrics], pixels: StudyPixels
) -> dict[str, dict[EpochAndAverage, float]]:
    """Score one training's candidates under every strategy that looks at one training.

    ``source-random`` is given pixels that a random split would validate on: those of the blocks that train which
    neither train nor validate. With a random split the network would also train on pixels of all blocks.

    Args:
        files: The training's.
        epochs: Its metrics by epoch.
        pixels: The study's pixels of the pair.

    Returns:
        By strategy and candidate; a candidate that a strategy may not choose is missing.
    """
    found: dict[str, dict[EpochAndAverage, float]] = {}
    nearby: dict[EpochAndAverage, float] = {
        (epoch, average): average_accuracy(logits, pixels.nearby_labels)
        for (epoch, average), logits in files.looks().nearby_logits.items()
        if not average
    }
    for name in SINGLE_STRATEGIES:
        if name == SourceRandom.name:
            found[name] = nearby
            continue
        trial = pooled_trial(
            STRATEGIES[name],
            number=0,
            configuration="",
            is_complete=True,
            epochs=epochs,
            location=str(files.folder),
        )
        scores = STRATEGIES[name].scores([trial])
        found[name] = {(candidate.epoch, candidate.is_average): score for candidate, score in scores.items()}
    return found


def joint_scores(
    cells: Mapping[tuple[int, int], tuple[CellFiles, Mapping[int, Metrics]]],
) -> dict[str, dict[tuple[int, int, EpochAndAverage], float]]:
    """Score a batch's candidates under the strategies that compare its trainings.

    Those that compare seeds are given all trainings; others, such as the agreement with the mean of all candidates,
    the trainings of one seed at a time, as a search would have them.

    Args:
        cells: Files and metrics of complete trainings, by configuration and seed.

    Returns:
        By strategy and by configuration, seed and candidate.
    """
    found: dict[str, dict[tuple[int, int, EpochAndAverage], float]] = {}
    order = sorted(cells)
    for name in JOINT_STRATEGIES:
        strategy = STRATEGIES[name]
        pools: Sequence[Sequence[tuple[int, int]]] = [order]
        if isinstance(strategy, SeedStrategy):
            if len({configuration for configuration, _ in order}) == len(order):
                continue  # one seed of each so far: nothing to compare
        else:
            pools = [[key for key in order if key[1] == seed] for seed in sorted({seed for _, seed in order})]
        found[name] = {}
        for pool in pools:
            trials = [
                pooled_trial(
                    strategy,
                    number=number,
                    configuration=str(key[0]),
                    is_complete=True,
                    epochs=cells[key][1],
                    location=str(cells[key][0].folder),
                )
                for number, key in enumerate(pool)
            ]
            for candidate, score in strategy.scores(trials).items():
                key = pool[candidate.trial]
                found[name][(*key, (candidate.epoch, candidate.is_average))] = score
    return found


def highest(
    scores: Mapping[tuple[int, int, EpochAndAverage], float], *, seed: int
) -> tuple[int, int, EpochAndAverage] | None:
    """The candidate of one seed with the highest finite score; of equals the earlier configuration and epoch."""
    finite = {key: score for key, score in scores.items() if key[1] == seed and math.isfinite(score)}
    return min(finite, key=lambda key: (-finite[key], key), default=None)
