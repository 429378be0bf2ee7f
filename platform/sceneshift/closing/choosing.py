"""Choosing a search's trial and epoch once its trials have ended; for the oracle, the target's labels are read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue.pair_spec import Recipe
from sceneshift.catalogue.target import open_target
from sceneshift.errors import StudyError
from sceneshift.search.prepared import PreparedSearch
from sceneshift.search.trial_store import TrialStore
from sceneshift.selection.candidates import Choice
from sceneshift.selection.outputs import pooled_trial
from sceneshift.selection.strategy import SourceBlocks, Strategy
from sceneshift.selection.views import Reads
from sceneshift.splits.pair import ScenePair


def choose_trial(search: PreparedSearch, store: TrialStore) -> Choice:
    """Let the search's strategy choose. Before the oracle reads the target's labels, the store counts it.

    Raises:
        StudyError: No candidate has a finite score, or a record is missing or damaged.
    """
    labels = None
    if search.strategy.reads is Reads.LABELS:
        store.count_opening()
        labels = target_labels(search.data.recipes)
    choice = search.strategy.choose(search.pooled(store.records(), labels=labels))
    if choice is None:
        raise StudyError(
            f"selection {search.strategy.name!r} gives no trial that ran to its end a finite score; resume the study "
            "with more trials (--num-samples), or choose again with report.py --selection source-blocks."
        )
    return choice


def choose_epoch(
    strategy: Strategy[Any], *, epochs: Mapping[int, Mapping[str, float]], location: str, recipes: Sequence[Recipe]
) -> Choice:
    """Let a strategy choose among the epochs of one training that ran to its end.

    Args:
        strategy: What chooses.
        epochs: Metrics by epoch.
        location: The folder of the training's checkpoints.
        recipes: What its pairs are made from; the oracle reads their targets' labels.

    Raises:
        StudyError: No epoch has a finite score, or the record is missing or damaged.
    """
    labels = target_labels(recipes) if strategy.reads is Reads.LABELS else None
    trial = pooled_trial(
        strategy,
        number=0,
        configuration="",
        is_complete=True,
        epochs=epochs,
        location=location,
        labels=labels,
    )
    choice = strategy.choose([trial])
    if choice is None:
        raise StudyError(f"selection {strategy.name!r} gives no epoch a finite score; choose by another strategy.")
    return choice


def target_labels(recipes: Sequence[Recipe]) -> dict[str, NDArray[np.int64]]:
    """(H, W) class ids 1..K of each pair's target, 0 where unlabelled or, within one scene, not of the test side."""
    return {recipe.name: open_target(recipe).ground_truth() for recipe in recipes}


def choice_as_dict(strategy: Strategy[Any], choice: Choice) -> dict[str, Any]:
    """A choice for summaries: what chose, by which score, what it read, and which score steered the search."""
    return {
        "strategy": strategy.name,
        "reads": strategy.reads.value,
        "trial": choice.trial,
        "epoch": choice.epoch,
        "averaged weights": choice.is_average,
        "score": choice.score,
        "steered by": strategy.metric,
    }


def choice_of(summary: Mapping[str, Any]) -> Choice | None:
    """The choice in a summary; None for a summary of an earlier version, which has none."""
    entry = summary.get("choice")
    if entry is None:
        return None
    return Choice(
        trial=int(entry["trial"]),
        epoch=int(entry["epoch"]),
        score=float(entry["score"]),
        is_average=bool(entry["averaged weights"]),
    )


def choice_sentence(entry: Mapping[str, Any]) -> str:
    """One sentence for tables and pages from :func:`choice_as_dict`."""
    weights = "averaged weights up to " if entry["averaged weights"] else ""
    score = f"score {entry['score']:.4g}"
    if entry["strategy"] == SourceBlocks.name:  # an accuracy: in percent, as in tables
        score = f"validation AA {100 * entry['score']:.1f}"
    return (
        f"Chosen by {entry['strategy']}, which reads {entry['reads']}: trial {entry['trial']}, {weights}epoch "
        f"{entry['epoch']}, {score}. The search was steered by {entry['steered by']}."
    )


def seen_of_target(strategy: Strategy[Any], pair: ScenePair) -> str:
    """What was seen of a pair's target before it was scored, for titles."""
    if pair.test_split is not None:
        pixels = "test pixels never trained on" + (", by a split that leaks" if pair.test_split.leaks else "")
        seen = {
            Reads.NOTHING: "",
            Reads.PIXELS: ", chosen by them unlabelled",
            Reads.LABELS: ", CHOSEN BY THEIR LABELS",
        }
        return pixels + seen[strategy.reads]
    return {
        Reads.NOTHING: "target never seen",
        Reads.PIXELS: "never trained on the target, chosen by its unlabelled pixels",
        Reads.LABELS: "never trained on the target, CHOSEN BY ITS LABELS (oracle)",
    }[strategy.reads]
