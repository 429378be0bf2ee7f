"""The table of scores on validation and target, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

_HEADINGS = ("OA", "AA", "kappa")

#: Columns of text at the left of the table.
_NUM_TEXTS = 3


def render_scores(rows: Sequence[Mapping[str, Any]], *, profile: str) -> str:
    """Scores on validation and target as a Markdown table; OA and AA in per cent.

    Args:
        rows: ``pair``, ``role``, ``normalization``, ``seconds``, ``validation`` and ``target`` with ``oa``, ``aa``,
            ``kappa``; no ``validation`` (None) where no pixels were held back.
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
    widths = [max(len(line[i]) for line in [header, *body]) for i in range(len(header))]
    lines = [_line(header, widths), "|" + "|".join("-" * (w + 2) for w in widths) + "|"]
    return "\n".join([*lines, *(_line(line, widths) for line in body)]) + "\n"


def _figures(scores: Mapping[str, float] | None) -> list[str]:
    if scores is None:
        return ["-"] * len(_HEADINGS)
    return [f"{100 * scores['oa']:.1f}", f"{100 * scores['aa']:.1f}", f"{scores['kappa']:.3f}"]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if i < _NUM_TEXTS else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"
