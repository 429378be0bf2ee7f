"""The scores of a comparison as arrays: one grid of methods, pairs and seeds per protocol, budget and strategy.

Shape letters: M methods, P pairs, S seeds, K classes.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.comparison.results import CellResult, ComparisonResults
from sceneshift.comparison.statistics import group_means
from sceneshift.errors import StudyError, nearest_name
from sceneshift.scores import Scores

#: Accuracies on the target, and their names in tables.
FIGURES: Mapping[str, str] = {"aa": "AA", "oa": "OA", "kappa": "kappa"}

#: The figure that verdicts, pictures and narrow tables are of, as in the report of a search.
DECISIVE = "aa"

#: The method that others are compared with unless a label is given: empirical risk minimization.
ERM = "cross_entropy"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the cells of a grid have in common.

    Args:
        protocol: How configurations were tuned.
        budget: Budget of every training.
        strategy: The strategy that chose configurations and epochs.
    """

    protocol: str
    budget: str
    strategy: str

    @property
    def slug(self) -> str:
        """A part of file names."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.protocol} {self.budget} {self.strategy}".lower()).strip("-")

    @property
    def title(self) -> str:
        """A part of headings."""
        return f"{self.protocol}, {self.budget}, {self.strategy}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreGrid:
    """The scores of one setting. Failed networks and networks that were not trained are NaN.

    Args:
        setting: The setting.
        labels: The M methods' names in tables.
        pairs: The P pairs.
        groups: The independent group of each pair.
        seeds: The S seeds, ascending.
        values: (M, P, S) by figure: ``oa``, ``aa``, ``kappa`` as fractions, and ``seconds``.
        floors: The labels of spectral floors.
        erm: The label that others are compared with; None if it is not in the grid.
        trained_on: What the networks were trained on: ``fields``, ``blocks`` or both.
        confusions: By label and pair, the (K, K) confusion matrices of the seeds that have scores.
        class_names: By pair, its K classes; pairs without scores are left out.
        failed: The cells without scores.
    """

    setting: Setting
    labels: Sequence[str]
    pairs: Sequence[str]
    groups: Sequence[str]
    seeds: Sequence[int]
    values: Mapping[str, NDArray[np.float64]]
    floors: frozenset[str]
    erm: str | None
    trained_on: Sequence[str]
    confusions: Mapping[tuple[str, str], Sequence[NDArray[np.int64]]]
    class_names: Mapping[str, tuple[str, ...]]
    failed: Sequence[CellResult]

    @property
    def networks(self) -> list[str]:
        """The labels that are no floors."""
        return [label for label in self.labels if label not in self.floors]

    @property
    def scored_pairs(self) -> list[str]:
        """The pairs on which some method has scores."""
        values = self.values[DECISIVE]
        return [pair for index, pair in enumerate(self.pairs) if not np.isnan(values[:, index]).all()]

    @property
    def num_groups(self) -> int:
        """The number of groups that have scores."""
        return len({self.group_of(pair) for pair in self.scored_pairs})

    def group_of(self, pair: str) -> str:
        """The group of a pair."""
        return self.groups[self.pairs.index(pair)]

    def title(self, label: str) -> str:
        """A label as tables show it: floors are marked."""
        return f"{label} (floor)" if label in self.floors else label

    def of(self, label: str, figure: str = DECISIVE) -> NDArray[np.float64]:
        """(P, S) figures of one method."""
        found: NDArray[np.float64] = self.values[figure][self.labels.index(label)]
        return found

    def on(self, label: str, pair: str, figure: str = DECISIVE) -> NDArray[np.float64]:
        """(S,) figures of one method on one pair."""
        found: NDArray[np.float64] = self.of(label, figure)[self.pairs.index(pair)]
        return found

    def has_all(self, label: str) -> bool:
        """Whether a method has scores, and on every pair on which some method has."""
        return bool(self.scored_pairs) and all(not np.isnan(self.on(label, pair)).all() for pair in self.scored_pairs)

    def mean(self, label: str, figure: str = DECISIVE) -> float:
        """The mean over groups; NaN where a pair lacks scores: a mean over fewer pairs can't be compared."""
        if not self.has_all(label):
            return math.nan
        return float(np.mean(list(group_means(self.of(label, figure), self.groups).values())))

    def recalls(self, label: str, pair: str) -> NDArray[np.float64]:
        """(S', K) accuracies per class by seed, of the seeds that have scores; NaN for a class without pixels."""
        found = [Scores(confusion).recall for confusion in self.confusions.get((label, pair), ())]
        return np.stack(found) if found else np.empty((0, len(self.class_names.get(pair, ()))))


def make_grids(results: ComparisonResults, *, erm: str | None = None) -> list[ScoreGrid]:
    """Arrange a comparison's cells, one grid per setting in order of appearance.

    Args:
        results: The comparison.
        erm: The label that others are compared with; by default the first of method :data:`ERM`.

    Raises:
        StudyError: There is no cell, a cell appears twice, scores are not fractions, or cells contradict each other.
    """
    if not results.cells:
        raise StudyError(f"comparison {results.name} has no cells; train some first.")
    labels = list(dict.fromkeys(cell.label for cell in results.cells))
    if erm is not None and erm not in labels:
        raise StudyError(
            f"no method is labelled {erm!r}{nearest_name(erm, labels)}; expected one of {', '.join(labels)}."
        )
    if erm is None:
        erm = next((cell.label for cell in results.cells if cell.method == ERM), None)
    _check_consistent(results.cells)
    by_setting: dict[Setting, list[CellResult]] = {}
    for cell in results.cells:
        setting = Setting(protocol=cell.protocol, budget=cell.budget, strategy=cell.strategy)
        by_setting.setdefault(setting, []).append(cell)
    return [_grid(setting, cells, erm) for setting, cells in by_setting.items()]


def has_scores(cell: CellResult) -> bool:
    """Whether a cell has scores; one that failed has none, whatever its figures say."""
    return not cell.failed and all(math.isfinite(getattr(cell, figure)) for figure in FIGURES)


def _grid(setting: Setting, cells: Sequence[CellResult], erm: str | None) -> ScoreGrid:
    labels = list(dict.fromkeys(cell.label for cell in cells))
    groups = {cell.pair: cell.group for cell in cells}
    pairs = list(groups)
    seeds = sorted({cell.seed for cell in cells})
    values = {name: np.full((len(labels), len(pairs), len(seeds)), np.nan) for name in (*FIGURES, "seconds")}
    confusions: dict[tuple[str, str], list[NDArray[np.int64]]] = {}
    seen: set[tuple[int, int, int]] = set()
    for cell in sorted(cells, key=lambda cell: cell.seed):
        place = labels.index(cell.label), pairs.index(cell.pair), seeds.index(cell.seed)
        if place in seen:
            raise StudyError(
                f"{cell.label} on {cell.pair} with seed {cell.seed} appears twice under {setting.title}; expected one "
                "cell each. Give methods that are listed twice labels of their own."
            )
        seen.add(place)
        if has_scores(cell):
            for name, array in values.items():
                array[place] = getattr(cell, name)
            confusions.setdefault((cell.label, cell.pair), []).append(cell.confusion)
    return ScoreGrid(
        setting=setting,
        labels=labels,
        pairs=pairs,
        groups=list(groups.values()),
        seeds=seeds,
        values=values,
        floors=frozenset(cell.label for cell in cells if cell.is_floor),
        erm=erm if erm in labels else None,
        trained_on=sorted({cell.trained_on for cell in cells if has_scores(cell)}, reverse=True),
        confusions=confusions,
        class_names={cell.pair: cell.class_names for cell in cells if has_scores(cell)},
        failed=[cell for cell in cells if not has_scores(cell)],
    )


def _check_consistent(cells: Sequence[CellResult]) -> None:
    groups: dict[str, str] = {}
    floors: dict[str, bool] = {}
    classes: dict[str, tuple[str, ...]] = {}
    for cell in cells:
        where = f"{cell.label} on {cell.pair} with seed {cell.seed}"
        if groups.setdefault(cell.pair, cell.group) != cell.group:
            raise StudyError(f"{where} is of group {cell.group}, other cells of {groups[cell.pair]}; expected one.")
        if floors.setdefault(cell.label, cell.is_floor) != cell.is_floor:
            raise StudyError(f"{where}: the label is of a floor and of a network; give them labels of their own.")
        if not has_scores(cell):
            continue
        if classes.setdefault(cell.pair, cell.class_names) != cell.class_names:
            raise StudyError(
                f"{where} has classes {', '.join(cell.class_names)}, other cells {', '.join(classes[cell.pair])}; "
                "expected the same."
            )
        if not (0 <= cell.oa <= 1 and 0 <= cell.aa <= 1 and -1 <= cell.kappa <= 1):
            raise StudyError(
                f"{where}: OA {cell.oa:g}, AA {cell.aa:g}, kappa {cell.kappa:g}; expected fractions, OA and AA 0..1 "
                "and kappa -1..1."
            )
