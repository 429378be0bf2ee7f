"""The last screen of a search."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sceneshift.commands import program
from sceneshift.commands.ui import how_to_open
from sceneshift.engine.search_result import SearchResult
from sceneshift.report.score_table import render_scores
from sceneshift.report.separation import label_use, separation_lines
from sceneshift.report.study_record import BEST, REFITTED
from sceneshift.report.units import unit_lines
from sceneshift.report.verdict import FLOORS_TOLD
from sceneshift.selection.views import Reads
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.models import LoggedModel
from sceneshift.tracking.registry import CANDIDATE


def render_screen(result: SearchResult, backend: TrackingBackend) -> str:
    """Render a search's results: verdicts, scores, and where everything is stored."""
    summary, folder = result.summary, result.directory / "report"
    assert summary is not None
    trials, best = summary["trials"], summary["best"]
    ended = ", ended by the time budget" if trials["ended by time budget"] else ""
    config = "\n".join(f"  {name:<20} {value}" for name, value in best["config"].items())
    largest = ", ".join(f"{pair} {100 * share:.1f}" for pair, share in summary["largest target class"].items())
    parts = [
        "\n" + "\n".join(verdict["sentence"] for verdict in summary["verdicts"]),
        f"\nStudy {summary['study']} (profile {summary['profile']}): {trials['complete']} trials complete, "
        f"{trials['pruned']} stopped early, {trials['fail']} failed{ended}; {summary['wall_s']:.0f} s in all.",
        f"\nBest configuration: trial {best['trial']}, chosen by {summary['selection']}.\n{config}",
        *_how_chosen(summary),
        f"\n{render_scores(summary['scores'], profile=summary['profile'])}",
        *_what_is_registered(summary["registered"]),
        FLOORS_TOLD,
        *unit_lines(summary.get("units", {})),
        *separation_lines(summary["separation"]),
        *_missing_defaults(summary["defaults"]),
        f"Target labels were opened {_times(summary['times the target was opened'])}, when the study closed. "
        + label_use(
            next((row["split"] for row in summary["separation"] if row["side"] == "test"), None),
            summary.get("choice", {}).get("reads", Reads.NOTHING),
        ),
        f"'majority class' always answers the source's largest class. Share of the target's own largest class "
        f"(OA): {largest}.",
        *(line for model in result.models for line in _registered(model, storage=folder.parents[1])),
        *_how_to_map(result.models, storage=folder.parents[1]),
        f"\nReport             {folder / 'index.html'}",
        f"Trials             {folder.parent / 'optuna.db'}",
        f"Open the MLflow UI {how_to_open(backend, folder.parents[1])}",
        f"This study         {backend.study_link(result.experiment_id, result.run_id)}",
        f"Its trials         {backend.trials_link(result.experiment_id)}",
    ]
    return "\n".join(parts)


def _how_chosen(summary: Mapping[str, Any]) -> list[str]:
    """Which strategy chose, which score steered, and what accuracy was estimated; nothing for earlier versions."""
    return [f"\n{line}" for line in summary.get("choice sentences", ())]


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
    words = [*program.other("promote"), "--model", model.name, "--version", model.version]
    words += [] if storage == Path("results").resolve() else ["--storage-path", str(storage)]
    return [
        f"{line}). The champion stays until you have seen both side by side:",
        f"  {shlex.join(words)}",
    ]


def _how_to_map(models: Sequence[LoggedModel], *, storage: Path) -> list[str]:
    """How a scene is mapped with the first model that was registered."""
    if not models:
        return []
    model = models[0]
    words = [*program.other("predict"), "--model", f"models:/{model.name}@{model.alias}", "--scene", "FILE"]
    words += ["--out", "maps"] + ([] if storage == Path("results").resolve() else ["--storage-path", str(storage)])
    return [f"\nMap a scene        {shlex.join(words)}"]


def _missing_defaults(reference: Mapping[str, Any]) -> list[str]:
    if reference["state"] == "complete":
        return []
    why = reference["reason"] or "no reason was recorded"
    return [f"The defaults are not in the table: their trial did not run to its end ({reference['state']}: {why})."]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def render_closed(result: SearchResult) -> str:
    """Render the results of a search that was already closed; the target is not read again."""
    folder = result.directory / "report"
    finished = sum(record.is_finished for record in result.records)
    return (
        f"\nThis study is closed: {finished} trials are done, and the target is not looked at again.\n\n"
        f"{(folder / 'scores.md').read_text()}\nPictures, tables   {folder}\n"
        "Give a larger --num-samples to continue."
    )
