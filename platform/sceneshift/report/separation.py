"""The separation of the sides of splits, as the same two counts in tables, on screens, and in MLflow.

A pixel inside a training patch was seen by the network during training; the patch of a pixel that overlaps a training
patch shares pixels with it (:meth:`sceneshift.splits.split.Split.separation`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sceneshift.report.tables import markdown_table
from sceneshift.selection.views import Reads
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import Split

_LEAKS = (
    "LEAKS: training patches hold pixels of that side, or were drawn without regard to it. Figures on it are too high "
    "for ground never seen; a split by blocks or fields keeps a guard band."
)


def label_use(test_split: str | None, reads: str = Reads.NOTHING) -> str:
    """How target labels were used in training and selection: one sentence for every screen and report.

    Args:
        test_split: The kind of the split that made the test side within one scene; None across scenes.
        reads: What the strategy that chose reads of the target, one of :class:`sceneshift.selection.views.Reads`.
    """
    if reads == Reads.LABELS:
        return (
            "Target labels CHOSE trial and epoch (oracle): these figures are a bound, no result. None was trained on."
        )
    if reads == Reads.PIXELS:
        return f"{label_use(test_split)} Unlabelled target pixels reached selection."
    if test_split is None:
        return "No target label reached training or selection."
    if test_split in ("masks", "fixed"):
        return "The masks say which pixels test; none of their labels reached training or selection."
    return (
        "The split was stratified by all of the scene's labels, including the test side's; those reached training and "
        "selection in no other way."
    )


def validation_side(part: str | None) -> str:
    """What the validation pixels of a source are called.

    Args:
        part: Which of the pair's sources it is; None for an only one.
    """
    return "validation" if part is None else f"validation {part}"


def separation_rows(pair: ScenePair, split: Split, part: str | None = None) -> list[dict[str, Any]]:
    """One row per side that is in the same scene as training pixels, as plain values; separate targets need none.

    Args:
        pair: The pair.
        split: The split of one of its sources.
        part: Which of them that is; None for an only one.
    """
    sides = [("test", pair.test_split), (validation_side(part), None if split.kind == "all" else split)]
    return [
        {
            "pair": pair.name,
            "side": side,
            "split": side_split.kind,
            "guard": side_split.guard,
            "leaks": side_split.leaks,
            "patch size": (near := side_split.separation()).patch_size,
            "pixels": near.num_pixels,
            "inside a training patch": near.num_inside_training_patch,
            "with an overlapping patch": near.num_overlapping_patches,
            "not scored": [name for k, name in enumerate(pair.class_names) if k not in side_split.scored_classes],
        }
        for side, side_split in sides
        if side_split is not None
    ]


def render_separation(rows: Sequence[Mapping[str, Any]]) -> str:
    """Render the rows as a Markdown table, with classes not scored and the meaning of a leak; empty without rows."""
    if not rows:
        return ""
    near = ("inside a training patch", "with an overlapping patch")
    columns = ("pair", "scored pixels", "split", "patch", "in all", *near)
    lines = [
        [
            *(row["pair"], row["side"], _how(row), str(row["patch size"]), str(row["pixels"])),
            *(_counted(row[key], row["pixels"]) for key in near),
        ]
        for row in rows
    ]
    table = markdown_table(columns, lines, right=[i > 2 for i in range(len(columns))])
    left_out = [f"{row['pair']}, {row['side']} pixels:{_not_scored(row)}." for row in rows if row["not scored"]]
    leaks = [_LEAKS] if any(row["leaks"] for row in rows) else []
    return "\n\n".join([table.rstrip(), *left_out, *leaks]) + "\n"


def separation_of(pair: ScenePair, sources: Sequence[SourceDomain]) -> list[dict[str, Any]]:
    """The rows of all sources of a pair."""
    return [row for source in sources for row in separation_rows(pair, source.split, source.part)]


def separation_metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The counts as metrics ``separation/<pair>/<side>/…``."""
    return {
        f"separation/{row['pair']}/{row['side']}/{name}": float(row[key])
        for row in rows
        for name, key in (
            ("pixels", "pixels"),
            ("inside_training_patch", "inside a training patch"),
            ("overlapping_patch", "with an overlapping patch"),
        )
    }


def separation_tags(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """One tag ``separation.<pair>.<side>`` per row, with a description."""
    return {f"separation.{row['pair']}.{row['side']}": _in_words(row) for row in rows}


def separation_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per row, for a screen."""
    return [f"{row['pair']}, {row['side']} pixels: {_in_words(row)}{_not_scored(row, before=';')}." for row in rows]


def _in_words(row: Mapping[str, Any]) -> str:
    return (
        f"{_how(row)}; patch {row['patch size']}: of {row['pixels']} pixels {row['inside a training patch']} inside a "
        f"training patch, {row['with an overlapping patch']} with an overlapping patch"
    )


def _not_scored(row: Mapping[str, Any], *, before: str = "") -> str:
    return f"{before} not scored, on one side alone: {', '.join(row['not scored'])}" if row["not scored"] else ""


def _how(row: Mapping[str, Any]) -> str:
    guard = f", guard {row['guard']}" if row["guard"] else ""
    return f"{row['split']}{guard}{', LEAKS' if row['leaks'] else ''}"


def _counted(count: int, total: int) -> str:
    return f"{count} ({100 * count / total:.1f} %)"
