"""Results of comparisons drawn from known accuracies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.comparison.results import CellResult, ComparisonResults
from sceneshift.scores import Scores

CLASSES = ("soil_a", "tree & bush", "water")

#: Labelled target pixels of each class.
PIXELS = np.array([4000, 2000, 1000])

PAIRS = {"west-east": "indian_pines", "sw-se": "indian_pines", "samson-jasper_ridge": "samson+jasper_ridge"}


def simulate(
    accuracies: Mapping[str, float],
    *,
    pairs: Mapping[str, str] = PAIRS,
    seeds: Sequence[int] = range(5),
    spread: float = 0.01,
    floors: Sequence[str] = (),
    methods: Mapping[str, str] | None = None,
    failed: Sequence[tuple[str, str, int]] = (),
    settings: Sequence[tuple[str, str, str]] = (("tune-once", "40 epochs", "source-blocks"),),
    draw: int = 0,
) -> ComparisonResults:
    """Cells whose accuracy per class is normal around a label's mean.

    Args:
        accuracies: Mean accuracy by label.
        pairs: Group by pair.
        seeds: Seeds of the networks.
        spread: Standard deviation over seeds; floors have none.
        floors: Labels that are floors.
        methods: Method by label, where it is not the label.
        failed: Label, pair and seed of failed cells.
        settings: Protocol, budget and strategy.
        draw: Seed of the simulation.
    """
    rng = np.random.default_rng(draw)
    cells = []
    for protocol, budget, strategy in settings:
        for pair, group in pairs.items():
            for label, accuracy in accuracies.items():
                is_floor = label in floors
                for seed in seeds:
                    noise = 0.0 if is_floor else rng.normal(0, spread)
                    confusion = confusion_of(accuracy + noise)
                    cell = CellResult(
                        pair=pair,
                        group=group,
                        method=(methods or {}).get(label, label),
                        label=label,
                        is_floor=is_floor,
                        protocol=protocol,
                        budget=budget,
                        strategy=strategy,
                        seed=seed,
                        trained_on="fields",
                        configuration=0,
                        epoch=0 if is_floor else 40,
                        epochs=0 if is_floor else 40,
                        seconds=float(rng.uniform(0.5, 2) * (1 if is_floor else 30)),
                        **Scores(confusion).as_dict(),
                        confusion=confusion,
                        class_names=CLASSES,
                    )
                    cells.append(as_failed(cell) if (label, pair, seed) in failed else cell)
    return ComparisonResults(
        name="simulated",
        cells=tuple(cells),
        caption={"pairs": ", ".join(pairs), "split": "blocks", "profile": "laptop", "commit": "c0ffee"},
        joins=dict.fromkeys((strategy for _, _, strategy in settings), 1),
    )


def confusion_of(accuracy: float) -> np.ndarray:
    """(K, K) counts with one accuracy for every class, as far as pixels can be divided."""
    hits = np.round(PIXELS * np.clip(accuracy, 0, 1)).astype(np.int64)
    confusion = np.diag(hits)
    confusion[np.arange(len(PIXELS)), (np.arange(len(PIXELS)) + 1) % len(PIXELS)] = PIXELS - hits
    return confusion


def as_failed(cell: CellResult, reason: str = "the loss became infinite") -> CellResult:
    return replace(cell, oa=np.nan, aa=np.nan, kappa=np.nan, confusion=np.zeros_like(cell.confusion), failed=reason)


@pytest.fixture(scope="session")
def simulated() -> Callable[..., ComparisonResults]:
    return simulate
