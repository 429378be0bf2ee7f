"""A confusion matrix as a table whose cells are shaded: it reads on any ground, and can be copied."""

import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sceneshift.report.tables import Table

#: The shade of a whole row in one cell; text stays readable on it in light and dark.
_DARKEST = 0.62


class ConfusionTable(Table):
    """A table of counts, K rows of K after the class's name, shaded by the share of the row."""

    def html(self) -> str:
        """As HTML, column heads turned."""
        head = '<th scope="col"></th>' + "".join(
            f'<th scope="col" class="turned">{html.escape(column)}</th>' for column in self.columns[1:]
        )
        body = []
        for name, *counts in self.rows:
            numbers = [int(str(count)) for count in counts]
            total = max(1, sum(numbers))
            cells = "".join(_cell(count, count / total) for count in numbers)
            body.append(f'<tr><th scope="row">{html.escape(str(name))}</th>{cells}</tr>')
        return (
            f'<p class="caption">{html.escape(self.caption)}</p>\n<div class="scroll confusion"><table>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(body) + "\n</tbody></table></div>"
        )


def confusion_table(
    pair: str, role: str, confusion: NDArray[np.int64], *, class_names: Sequence[str]
) -> ConfusionTable:
    """Lay out a (K, K) confusion matrix.

    Args:
        pair: The pair on whose target it was counted.
        role: Whose map it was.
        confusion: Rows the truth, columns the prediction.
        class_names: K names.
    """
    return ConfusionTable(
        name=f"confusion_{pair}_{role}",
        caption=f"{pair}, {role}: rows the truth, columns the answer, pixels.",
        columns=("truth", *class_names),
        rows=[(name, *(int(count) for count in counts)) for name, counts in zip(class_names, confusion, strict=True)],
        wide=len(class_names) > 6,
    )


def _cell(count: int, share: float) -> str:
    zero = " zero" if count == 0 else ""
    return f'<td class="count{zero}" style="background:rgba(10,132,208,{_DARKEST * share:.3f})">{count}</td>'
