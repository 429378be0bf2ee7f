"""The table of scores on validation and target, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from sceneshift.report.tables import markdown_table

_HEADINGS = ("OA", "AA", "kappa")

#: Columns of text at the left of the table.
_NUM_TEXTS = 3


def render_scores(rows: Sequence[Mapping[str, Any]], *, profile: str) -> str:
    """Scores on validation and target as a Markdown table; OA and AA in per cent.

    Args:
        rows: ``pair``, ``role``, ``normalization``, ``seconds``, ``validation`` and ``target`` with ``oa``, ``aa``,
            ``kappa``; ``validation`` is None if no pixels were held back.
        profile: The profile's name, for the heading.
    """
    header = [
        "pair",
        f"profile {profile}",
        "normalization",
        *(f"val {f}" for f in _HEADINGS),
        *(f"target {f}" for f in _HEADINGS),
        "s",
    ]
    body = [
        [
            row["pair"],
            row["role"],
            row["normalization"] or "-",
            *_figures(row["validation"]),
            *_figures(row["target"]),
            "-" if row["seconds"] is None else f"{row['seconds']:.1f}",
        ]
        for row in rows
    ]
    return markdown_table(header, body, right=[i >= _NUM_TEXTS for i in range(len(header))])


def _figures(scores: Mapping[str, float] | None) -> list[str]:
    if scores is None:
        return ["-"] * len(_HEADINGS)
    return [f"{100 * scores['oa']:.1f}", f"{100 * scores['aa']:.1f}", f"{scores['kappa']:.3f}"]
