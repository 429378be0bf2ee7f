"""The report of a study: one HTML page that opens offline, the same as Markdown, and every table in files."""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import sceneshift
from sceneshift.errors import StudyError, first_line
from sceneshift.report.first_screen import first_section
from sceneshift.report.importance_section import importance_section
from sceneshift.report.page import Bullets, Paragraph, Part, Section, render_html, render_markdown
from sceneshift.report.search_sections import compute_section, pruning_section, searched_section, trials_section
from sceneshift.report.study_record import BEST, DEFAULTS, MAJORITY, REFITTED, StudyRecord
from sceneshift.report.tables import Table
from sceneshift.report.target_sections import (
    confusion_section,
    leakage_section,
    per_class_section,
    scores_section,
    subpixel_sections,
)
from sceneshift.safe_files import replacing

_LOG = logging.getLogger(__name__)


def write_study_report(directory: Path, out: Path | None = None, *, closed_in: Path | None = None) -> Path:
    """Write a study's report.

    The target's labels are not read: the page shows what was recorded about the target when the study closed. The page
    of a study that is not closed shows what is available and says so.

    Args:
        directory: The study's directory, with its ``optuna.db``.
        out: Folder of ``index.html``, ``report.md`` and ``tables/``; by default the study's ``report/``.
        closed_in: The folder of a closing's files; by default the study's ``report/``.

    Returns:
        The page.

    Raises:
        StudyError: There is no study, a file of it is damaged, or the folder can't be written.
    """
    record = StudyRecord.read(directory, closed_in=closed_in)
    sections = study_sections(record)
    title = f"Study {record.name}"
    where = "within one scene" if record.is_within_one_scene else "across scenes"
    lead = f"A hyperparameter search of {record.method} {where}, profile {record.settings['profile']}."
    footer = f"Written by sceneshift {sceneshift.__version__} from {record.directory.name}/optuna.db and report/."
    folder = record.report_folder if out is None else out
    try:
        (folder / "tables").mkdir(parents=True, exist_ok=True)
        for section in sections:
            for part in section.parts:
                if isinstance(part, Table):
                    part.write(folder / "tables")
        with replacing(folder / "report.md") as temporary:
            temporary.write_text(render_markdown(title, lead, sections, footer=footer), encoding="utf-8")
        # The page comes last: if it is new, so is everything else.
        with replacing(folder / "index.html") as temporary:
            temporary.write_text(render_html(title, lead, sections, footer=footer), encoding="utf-8")
    except OSError as error:
        raise StudyError(
            f"the report can't be written to {folder} ({first_line(error)}); name another folder by --out."
        ) from error
    return folder / "index.html"


def write_report_or_note(directory: Path) -> None:
    """Write the report of a study that is being closed; if that fails, the closing continues with a warning.

    Args:
        directory: The study's directory.
    """
    try:
        write_study_report(directory)
    except Exception as error:  # a picture that can't be drawn must not prevent the study from closing
        _LOG.warning(
            "The report page could not be written (%s: %s). The study is whole;\n  %s\ntries again.",
            type(error).__name__,
            first_line(error),
            shlex.join(["sceneshift", "report", str(directory)]),
        )


def study_sections(record: StudyRecord) -> list[Section]:
    """The report's sections, in their order; all but the first are folded."""
    others = [
        summary_section(record),
        searched_section(record),
        scores_section(record),
        trials_section(record),
        importance_section(record),
        pruning_section(record),
        per_class_section(record),
        confusion_section(record),
        *subpixel_sections(record),
        leakage_section(record),
        compute_section(record),
    ]
    return [first_section(record), *(replace(section, is_folded=True) for section in others)]


def summary_section(record: StudyRecord) -> Section:
    """Build the section on the most important results, and what may be concluded from them."""
    parts: list[Part] = [Bullets(items=_findings(record)), Paragraph(text="What one may and may not conclude:")]
    parts.append(Bullets(items=_limits(record)))
    return Section(
        anchor="summary",
        title="What it supports",
        intro="The most important figures, and what they support. Other sections say how they were computed.",
        parts=parts,
    )


def _findings(record: StudyRecord) -> Sequence[str]:
    best, defaults = record.best, record.defaults
    items = []
    if best is None:
        items.append("No trial has run all its epochs yet: there is no winner.")
    else:
        winner = "the defaults themselves" if best.is_reference else f"trial {best.number}"
        text = f"Best by {record.strategy.name}: {winner}, {record.metric} {best.value:.3f}"
        if defaults is not None and not best.is_reference:
            of = "" if defaults.value is None else f" against {defaults.value:.3f} of the defaults"
            text += of if defaults.state == "complete" else f"; the defaults did not run to their end{of}"
        items.append(text + ".")
    items += (record.summary or {}).get("choice sentences", ())
    for pair in record.pairs if record.summary is not None else ():
        assert record.summary is not None
        target = {row["role"]: row["target"] for row in record.summary["scores"] if row["pair"] == pair}
        floor = [record.best_floor(pair)] if record.verdicts else []
        figures = ", ".join(
            f"{role} OA {100 * target[role]['oa']:.1f} AA {100 * target[role]['aa']:.1f} kappa "
            f"{target[role]['kappa']:.2f}".replace("-", "−")
            for role in (BEST, REFITTED, DEFAULTS, *floor, MAJORITY)
            if role in target
        )
        items.append(f"Target of {pair}: {figures}.")
    return items


def _limits(record: StudyRecord) -> Sequence[str]:
    num = len(record.records)
    complete = sum(r.state == "complete" for r in record.records)
    items = [
        f"{num} trials, {complete} of them run to the end: the best found, not the best there is. A search with "
        "another seed may well choose differently.",
        "Each configuration was trained once. How much two trainings of one configuration differ is not known from "
        "this study; a gap between best and defaults holds that luck too.",
    ]
    places = len(record.pairs)
    named = "one scene" if places == 1 and record.is_within_one_scene else f"{places} pair{'s' if places > 1 else ''}"
    items.append(
        f"The target figures are of {named}. They say nothing about other sensors, places or seasons"
        + (", and source and target come from one flight." if _all_one_flight(record) else ".")
    )
    items.append("Validation scores are from the training scenes; only the target columns are from unseen scenes.")
    return items


def _all_one_flight(record: StudyRecord) -> bool:
    noted = list(record.evidence["pairs"].values()) if record.evidence is not None else []
    return bool(noted) and all(record.source_flights(pair) == {pair["target"]["flight"]} for pair in noted)
