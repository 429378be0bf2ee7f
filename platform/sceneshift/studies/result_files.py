"""Tables and picture of a study, made from published rows alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sceneshift.errors import StorageError, StudyError, first_line
from sceneshift.report.tables import Cell, Table, Value, digits, per_cent
from sceneshift.report.themes import BEST, DEFAULTS, OTHER, Picture, paint, plain_style
from sceneshift.safe_files import replacing
from sceneshift.selection.views import Reads
from sceneshift.studies.choices import Candidates
from sceneshift.studies.design import GROUPS, StudyDesign
from sceneshift.studies.published_rows import PublishedBatch, batch_path, read_batch
from sceneshift.studies.tables import BASELINES, NUM_DRAWS, StudyTables, make_choices, make_tables
from sceneshift.studies.target_scores import SCORED_PIXELS

#: Said of every table: what the figures are.
NOTE = (
    "Target labels were read after every epoch, for this comparison alone: no figure is one of an unseen target. "
    f"Scores are on at most {SCORED_PIXELS} labelled target pixels drawn at random. Only four groups of scenes are "
    f"independent: {'; '.join(dict.fromkeys(GROUPS.values()))}. Spectra of simulated pair A are of Indian Pines, of "
    "classes that no other pair has."
)

_CAPTIONS = {
    "summary": "The strategy reported for a pair is the one that lost least on the other groups of scenes; regrets in "
    "points of OA, mean over pairs and methods.",
    "reported": "Which strategy was best on the other groups, what it lost there and what it loses on the pair.",
    "strategies": "Every strategy's regret in points against the oracle, mean over pairs and methods, and Spearman's "
    "correlation of its score with OA on the target.",
    "batches": "The same by pair and method.",
    "choices": "What each strategy chose, by seed; refits are means over the seeds of trainings on all fields.",
    "estimates": "Accuracy as estimated without target labels, corrected by other groups' errors, and as it is. The "
    "estimate assumes the source's classes.",
}

_COLOURS = {Reads.NOTHING: BEST, Reads.PIXELS: DEFAULTS}


def published_batches(design: StudyDesign, out: Path, pairs: Sequence[str]) -> list[PublishedBatch]:
    """The published batches of pairs, in order; those that aren't there yet are left out.

    Raises:
        StudyError: A file is damaged, of another design, or holds what may not enter.
    """
    paths = [batch_path(out, pair, method) for pair in pairs for method in design.methods]
    return [batch for path in paths if path.exists() and len((batch := read_batch(path, design)).rows)]


def study_tables(design: StudyDesign, out: Path, pairs: Sequence[str], methods: Sequence[str]) -> StudyTables:
    """Make the tables of pairs. Strategies are judged on the study's own pairs, never on confirmation pairs.

    Raises:
        StudyError: Nothing is published, or a file can't be used.
    """
    shown, judged = _candidates(design, out, pairs, methods)
    refits = {}
    for batch in shown:
        path = batch_path(out, batch.pair, batch.method, is_refit=True)
        if path.exists():
            refits[batch.pair, batch.method] = read_batch(path, design).rows
    return make_tables(shown, judged, refits)


def study_choices(design: StudyDesign, out: Path, pairs: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
    """What every strategy chose, by pair, method and seed: the table of choices alone.

    Raises:
        StudyError: Nothing is published, or a file can't be used.
    """
    return make_choices(*_candidates(design, out, pairs, methods))


def _candidates(
    design: StudyDesign, out: Path, pairs: Sequence[str], methods: Sequence[str]
) -> tuple[list[Candidates], list[Candidates]]:
    """The batches that are shown, and those on which strategies are judged."""
    judged = [Candidates.of(batch, design) for batch in published_batches(design, out, design.pairs)]
    opened = [pair for pair in pairs if pair not in design.pairs]
    confirmed = [Candidates.of(batch, design) for batch in published_batches(design, out, opened)]
    shown = [batch for batch in (*judged, *confirmed) if batch.pair in pairs and batch.method in methods]
    return shown, judged


def write_results(tables: StudyTables, folder: Path, *, heading: str) -> list[Path]:
    """Write ``tables.md``, one CSV file per table, and ``regret.png``.

    Args:
        tables: The tables.
        folder: Where to.
        heading: What the page begins with: design, and what is published of it.

    Returns:
        The files.

    Raises:
        StorageError: They can't be written.
    """
    pages = [f"# Choosing without target labels\n\n{heading}\n\n{NOTE}\n"]
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, caption in _CAPTIONS.items():
            frame: pd.DataFrame = getattr(tables, name)
            if frame.empty:
                continue
            table = Table(
                name=name,
                caption=caption,
                columns=[_heading(column) for column in frame],
                rows=[[_cell(column, value) for column, value in row.items()] for row in frame.to_dict("records")],
            )
            pages.append(f"## {name.capitalize()}\n\n{table.markdown()}")
            paths.append(folder / f"{name}.csv")
            with replacing(paths[-1]) as temporary:
                temporary.write_text(table.csv(), encoding="utf-8", newline="")
        pages.append(
            f"Intervals: 95 % of {NUM_DRAWS} bootstrap draws of configurations and seeds within each pair and method; "
            "they are about these pairs and methods, not about new ones.\n\n![Regret by strategy](regret.png)\n"
        )
        for name, content in (("tables.md", "\n".join(pages).encode()), ("regret.png", draw_regrets(tables).light)):
            paths.append(folder / name)
            with replacing(paths[-1]) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        raise StorageError(f"{folder} can't be written ({first_line(error)}); give another --out.") from error
    return paths


def draw_regrets(tables: StudyTables) -> Picture:
    """Draw every strategy's regret: a dot per pair and method, and the mean with its interval.

    Raises:
        StudyError: There is no strategy to draw.
    """
    frame, batches = tables.strategies, tables.batches
    if frame.empty:
        raise StudyError("no strategy could choose on what is published; publish more trainings.")
    baselines = [name for name in BASELINES if name in set(frame["strategy"])]
    own = frame[~frame["strategy"].isin(baselines)].sort_values("regret_oa")
    groups = [own[own["reads"] == str(reads)] for reads in _COLOURS]
    names = [*(name for group in groups for name in group["strategy"]), *baselines]
    colours = [*(colour for group, colour in zip(groups, _COLOURS.values(), strict=True) for _ in range(len(group)))]
    colours += [OTHER] * len(baselines)
    with plain_style():
        figure = Figure(figsize=(7.6, 1.2 + 0.26 * len(names)), layout="constrained")
        ax = figure.subplots()
        rows = np.arange(len(names))[::-1]
        for y, name, colour in zip(rows, names, colours, strict=True):
            row = frame[frame["strategy"] == name].iloc[0]
            each = batches[batches["strategy"] == name]["regret_oa"].to_numpy()
            ax.plot(each, np.full(len(each), y), "o", color=colour, alpha=0.35, markersize=3.5, zorder=2)
            if np.isfinite(row.get("regret_oa_low", np.nan)):
                ax.plot([row["regret_oa_low"], row["regret_oa_high"]], [y, y], color=colour, linewidth=2.5, zorder=3)
            ax.plot(row["regret_oa"], y, "D", color=colour, markersize=5.5, zorder=4)
        for reads, colour in _COLOURS.items():
            ax.plot([], [], "D-", color=colour, label=f"reads {reads}")
        ax.plot([], [], "D", color=OTHER, label="no strategy")
        ax.plot([], [], "o", color=OTHER, alpha=0.35, markersize=3.5, label="one pair and method")
        ax.set_yticks(rows, names)
        ax.set_xlim(left=0)
        ax.set_xlabel("points of OA lost against the oracle (lower is better)")
        ax.grid(axis="x")
        ax.set_axisbelow(True)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return paint(figure, alt="Points of OA that each strategy loses against choosing by target labels.")


def _heading(column: str) -> str:
    return column.replace("_", " ").replace("target oa", "OA").replace("target aa", "AA").replace("target ", "")


#: Columns that are shares of pixels.
_SHARES = ("oa", "oracle_oa", "estimate", "uncorrected", "low", "high")


def _cell(column: str, value: Any) -> Cell | Value:  # noqa: ANN401
    if isinstance(value, bool | np.bool_):
        return Cell(value=bool(value), shown="yes" if value else "no")
    if isinstance(value, int | np.integer):
        return int(value)
    if not isinstance(value, float):
        return None if value is None else str(value)
    if column in _SHARES or (("target_" in column or "refit_target_" in column) and "kappa" not in column):
        return per_cent(value)
    if column in ("num_refits",):
        return digits(value, 0)
    return digits(value, 2 if "spearman" in column or "kappa" in column else 1)
