"""The last screen of a search, and its table as Markdown."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sceneshift.report.separation import label_use, separation_lines
from sceneshift.report.study_record import BEST, REFITTED
from sceneshift.report.tables import markdown_table
from sceneshift.report.units import unit_lines
from sceneshift.report.verdict import FLOORS_TOLD
from sceneshift.tracking.models import LoggedModel
from sceneshift.tracking.registry import CANDIDATE
from sceneshift.tracking.search_run import SearchRun

_HEADINGS = ("OA", "AA", "kappa")

#: Columns of text at the left of the table.
_NUM_TEXTS = 3


def render_table(rows: Sequence[Mapping[str, Any]], *, profile: str) -> str:
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
    return markdown_table(header, body, right=[i >= _NUM_TEXTS for i in range(len(header))])


def render_screen(summary: Mapping[str, Any], *, models: Sequence[LoggedModel], mirror: SearchRun, folder: Path) -> str:
    """Everything a user wants to know when a search has ended."""
    trials, best = summary["trials"], summary["best"]
    ended = ", ended by the time budget" if trials["ended by time budget"] else ""
    config = "\n".join(f"  {name:<20} {value}" for name, value in best["config"].items())
    largest = ", ".join(f"{pair} {100 * share:.1f}" for pair, share in summary["largest target class"].items())
    backend = mirror.backend
    parts = [
        "\n" + "\n".join(verdict["sentence"] for verdict in summary["verdicts"]),
        f"\nStudy {summary['study']} (profile {summary['profile']}): {trials['complete']} trials complete, "
        f"{trials['pruned']} stopped early, {trials['fail']} failed{ended}; {summary['wall_s']:.0f} s in all.",
        f"\nBest configuration: trial {best['trial']}, chosen by {summary['selection']}.\n{config}",
        f"\n{render_table(summary['scores'], profile=summary['profile'])}",
        *_what_is_registered(summary["registered"]),
        FLOORS_TOLD,
        *unit_lines(summary.get("units", {})),
        *separation_lines(summary["separation"]),
        *_missing_defaults(summary["defaults"]),
        f"Target labels were opened {_times(summary['times the target was opened'])}, when the study closed. "
        + label_use(next((row["split"] for row in summary["separation"] if row["side"] == "test"), None)),
        f"'majority class' always answers the source's largest class. Share of the target's own largest class "
        f"(OA): {largest}.",
        *(line for model in models for line in _registered(model, storage=folder.parents[1])),
        f"\nPictures, tables   {folder}",
        f"Trials             {folder.parent / 'optuna.db'}",
        f"Open the MLflow UI {backend.ui_command()}",
        f"This study         {backend.study_link(mirror.experiment_id, mirror.run_id)}",
        f"Its trials         {backend.trials_link(mirror.experiment_id)}",
    ]
    return "\n".join(parts)


def _what_is_registered(registered: Mapping[str, str]) -> list[str]:
    refitted = [pair for pair, role in registered.items() if role == REFITTED]
    if not refitted:
        return [f"'{BEST}' is the network that was chosen, and the one that is registered."]
    of = "" if len(refitted) == len(registered) else f" of {', '.join(refitted)}"
    return [
        f"'{BEST}' is the network that was chosen; '{REFITTED}' is its configuration trained once more, on pixels of "
        f"every labelled field, and the network{of} that is registered."
    ]


def _registered(model: LoggedModel, *, storage: Path) -> list[str]:
    line = f"Registered {model.uri} (version {model.version}"
    if model.alias != CANDIDATE:
        return [line + (f"; before it: version {model.replaced})" if model.replaced else ")")]
    words = ["python", "experiments/promote.py", "--model", model.name, "--version", model.version]
    words += [] if storage == Path("results").resolve() else ["--storage-path", str(storage)]
    return [
        f"{line}). The champion stays until you have seen both side by side:",
        f"  {shlex.join(words)}",
    ]


def _missing_defaults(reference: Mapping[str, Any]) -> list[str]:
    if reference["state"] == "complete":
        return []
    why = reference["reason"] or "no reason was recorded"
    return [f"The defaults are not in the table: their trial did not run to its end ({reference['state']}: {why})."]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _figures(scores: Mapping[str, float] | None) -> list[str]:
    if scores is None:
        return ["-"] * len(_HEADINGS)
    return [f"{100 * scores['oa']:.1f}", f"{100 * scores['aa']:.1f}", f"{scores['kappa']:.3f}"]
