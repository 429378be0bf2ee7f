"""A confusion matrix as a table with shaded cells: readable on any background, and can be copied."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sceneshift.report.tables import Table

#: The shade of a cell that holds its whole row; text on it stays readable in light and dark mode.
_DARKEST = 0.62


class ConfusionTable(Table):
    """A table of counts, K rows of K after the class's name, shaded by the share of the row."""

    kind = "confusion"

    @property
    def shaded(self) -> list[tuple[str, list[tuple[int, float]]]]:
        """Per row, the class, and for each cell the count and the opacity of its shade."""
        rows = [(str(name), [int(str(count)) for count in counts]) for name, *counts in self.rows]
        return [(name, [(n, _DARKEST * n / max(1, sum(counts))) for n in counts]) for name, counts in rows]


def confusion_table(
    pair: str, role: str, confusion: NDArray[np.int64], *, class_names: Sequence[str]
) -> ConfusionTable:
    """Build the table of a (K, K) confusion matrix.

    Args:
        pair: The pair on whose target it was counted.
        role: The role of the network or floor.
        confusion: Rows are the truth, columns the prediction.
        class_names: K names.
    """
    return ConfusionTable(
        name=f"confusion_{pair}_{role}",
        caption=f"{pair}, {role}: rows the truth, columns the answer, pixels.",
        columns=("truth", *class_names),
        rows=[(name, *(int(count) for count in counts)) for name, counts in zip(class_names, confusion, strict=True)],
        wide=len(class_names) > 6,
    )
