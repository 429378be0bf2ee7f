"""How separate the sides of splits are: the same two counts in tables, on screens, and in MLflow.

A pixel inside a training patch was shown to the network in training; one whose patch overlaps a training patch shares
pixels with it (:meth:`sceneshift.splits.split.Split.separation`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sceneshift.report.tables import markdown_table
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.split import Split

_LEAKS = (
    "LEAKS: training patches hold pixels of that side, or were drawn without regard to it. Figures on it are too high "
    "for ground never seen; a split by blocks or fields keeps a guard band."
)


def label_use(test_split: str | None) -> str:
    """What target labels had to do with training and selection: one sentence for every screen and report.

    Args:
        test_split: The kind of the split that made the test side within one scene; None across scenes.
    """
    if test_split is None:
        return "No target label reached training or selection."
    if test_split in ("masks", "fixed"):
        return "The masks say which pixels test; no label of theirs reached training or selection."
    return (
        "The split was stratified by all of the scene's labels, those of the test side too; nothing else of the test "
        "side's labels reached training or selection."
    )


def separation_rows(pair: ScenePair, split: Split) -> list[dict[str, Any]]:
    """One row a side that is scored beside training pixels, as plain values; a target of its own needs none.

    Args:
        pair: The pair.
        split: Of its source.
    """
    sides = [("test", pair.test_split), ("validation", None if split.kind == "all" else split)]
    return [
        {
            "pair": pair.name,
            "side": side,
            "split": told.kind,
            "guard": told.guard,
            "leaks": told.leaks,
            "patch size": (near := told.separation()).patch_size,
            "pixels": near.num_pixels,
            "inside a training patch": near.num_inside_training_patch,
            "with an overlapping patch": near.num_overlapping_patches,
            "not scored": [name for k, name in enumerate(pair.class_names) if k not in told.scored_classes],
        }
        for side, told in sides
        if told is not None
    ]


def render_separation(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table, the classes not scored, and what a leak means; empty without rows."""
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
    """A tag ``separation.<pair>.<side>`` a row, in words."""
    return {f"separation.{row['pair']}.{row['side']}": _in_words(row) for row in rows}


def separation_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a row, for a screen."""
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
