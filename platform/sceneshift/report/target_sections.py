"""The report's sections on the results: scores, classes, confusions, maps, separation."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from sceneshift.report.confusion_table import confusion_table
from sceneshift.report.page import Bullets, Paragraph, Part, Section, Sheet
from sceneshift.report.per_class_picture import draw_per_class
from sceneshift.report.score_picture import draw_scores
from sceneshift.report.separation import label_use
from sceneshift.report.study_record import BEST, DEFAULTS, REFITTED, StudyRecord
from sceneshift.report.tables import Cell, Table, Value, digits, per_cent
from sceneshift.report.uncertainty import (
    FEW_FIELDS,
    FieldCounts,
    Interval,
    bootstrap_difference,
    bootstrap_fields,
)
from sceneshift.report.units import unit_lines
from sceneshift.report.verdict import FLOORS_TOLD

_FIGURES = ("oa", "aa", "kappa")
_NOT_CLOSED = "The study is not closed: the target has not been scored, and nothing here says how well it would be."
_NOT_NOTED = (
    "This study was closed by a version that noted no counts by field: {what} can't be shown. The target is not opened "
    "again for a report."
)


def scores_section(record: StudyRecord) -> Section:
    """Build the section on the scores on validation and target."""
    parts: list[Part] = []
    if record.summary is None:
        parts.append(Paragraph(text=_NOT_CLOSED, warns=True))
    else:
        parts.append(_scores_table(record.summary))
        if any(row["role"] == REFITTED for row in record.summary["scores"]):
            parts.append(
                Paragraph(
                    text=f"'{REFITTED}' is the chosen configuration trained once more, on pixels of every labelled "
                    "field; it is the model that was registered. Nothing is left to validate it on, and nothing was "
                    "chosen by its target score."
                )
            )
        if record.verdicts:
            parts.append(Paragraph(text=FLOORS_TOLD))
        parts += [Paragraph(text=line) for line in unit_lines(record.summary.get("units", {}))]
        largest = ", ".join(f"{p} {100 * share:.1f} %" for p, share in record.summary["largest target class"].items())
        parts.append(
            Paragraph(
                text="'majority class' always answers the source's largest class: what a figure has to beat. Always "
                f"answering the target's own largest class, which is unknown beforehand, would reach OA {largest}."
            )
        )
        for pair in record.pairs:
            if len(counts := record.field_counts(pair)) > 1:
                shown = {role: bootstrap_fields(found) for role, found in counts.items()}
                parts.append(draw_scores(pair, shown, registered=record.registered_role(pair)))
        rows = [row for pair in record.pairs for row in _interval_rows(record, pair)]
        if rows:
            parts.append(
                Table(
                    name="target_intervals",
                    caption="On the target, with 95 % intervals over fields drawn with replacement; the difference on "
                    "the same draws.",
                    columns=("pair", "what", "figure", "value", "from", "to"),
                    rows=rows,
                )
            )
            parts.append(_verdict(record))
        else:
            parts.append(Paragraph(text=_NOT_NOTED.format(what="intervals"), warns=True))
    return Section(
        anchor="scores",
        title="Scores",
        intro=(
            "OA is the share of correctly classified pixels, AA the mean of the classes' shares, kappa the agreement "
            "beyond chance. The winner was chosen by its validation score, which is therefore a little too good; the "
            "target was read only afterwards. The distance between the two is the shift between the scenes."
        ),
        parts=parts,
    )


def per_class_section(record: StudyRecord) -> Section:
    """Build the section on the accuracy of every class, with intervals over fields."""
    parts: list[Part] = []
    for pair in record.pairs:
        counts, noted = record.compared_counts(pair), record.pair_evidence(pair)
        if noted is None or not counts:
            continue
        intervals = {role: bootstrap_fields(found).per_class for role, found in counts.items()}
        parts.append(draw_per_class(pair, noted["classes"], dict(itertools.islice(intervals.items(), 2))))
        parts.append(_per_class_table(pair, noted, counts, intervals))
    if not parts:
        missing = _NOT_CLOSED if record.summary is None else _NOT_NOTED.format(what="accuracies by class")
        parts.append(Paragraph(text=missing, warns=True))
    else:
        parts.append(
            Bullets(
                items=(
                    "An interval contains 95 % of the outcomes when the class's fields are drawn with replacement. "
                    f"A class of one field has none; with fewer than {FEW_FIELDS} fields it is rough, and rather "
                    "too narrow.",
                    "It covers other fields of this scene, not other scenes, flights or seasons, and not another "
                    "training: each configuration was trained once, from one seed.",
                    "Within one scene a field that the split cuts counts as several, which narrows the intervals.",
                )
            )
        )
    return Section(
        anchor="classes",
        title="Accuracy by class",
        intro=(
            "The share of each class's target pixels that are correctly classified. Pixels of one field tend to be "
            "right or wrong together, so the intervals come from whole fields (connected pixels of one class), "
            "not from pixels."
        ),
        parts=parts,
    )


def confusion_section(record: StudyRecord) -> Section:
    """Build the section on which classes are confused with which."""
    parts: list[Part] = []
    for pair in record.pairs:
        counts, noted = record.compared_counts(pair), record.pair_evidence(pair)
        for role, found in counts.items():
            assert noted is not None
            parts.append(confusion_table(pair, role, found.scores().confusion, class_names=noted["classes"]))
        if not counts:
            alt = f"Confusion matrix of the best configuration on {pair}."
            parts += sheets(record, f"confusion_{pair}", alt, width=560)
    if not parts:
        missing = _NOT_CLOSED if record.summary is None else "The study's report has no confusion matrix."
        parts.append(Paragraph(text=missing))
    return Section(
        anchor="confusion",
        title="Confusion matrices",
        intro="Rows are the truth, columns the predictions; numbers are pixels, shades the share of the row.",
        parts=parts,
    )


def subpixel_sections(record: StudyRecord) -> list[Section]:
    """Build the section with unmixing results; none if the network doesn't unmix."""
    parts = [
        part
        for pair in record.pairs
        for kind, caption in (
            ("abundances", "Abundances"),
            ("endmembers", "Endmembers"),
            ("reconstruction", "Reconstruction error"),
        )
        for part in sheets(record, f"{kind}_{pair}", f"{caption} on the target of {pair}.")
    ]
    if not parts:
        return []
    return [
        Section(
            anchor="subpixels",
            title="Inside the pixels",
            intro="What the registered network unmixes on the target: abundances, endmembers, and what is left over.",
            parts=parts,
        )
    ]


def leakage_section(record: StudyRecord) -> Section:
    """Build the section on what could have made the figures too good."""
    summary = record.summary
    parts: list[Part] = []
    splits = [
        split for pair in record.pairs for split in (record.pair_evidence(pair) or {"splits": {}})["splits"].values()
    ]
    if record.settings["split"] == "random" or any(split["leaks"] for split in splits):
        parts.append(
            Paragraph(
                text="A split leaks: held-out pixels are inside training patches, or were drawn at random among "
                "training pixels. Accuracy on them is too good, and not comparable with a split by blocks or fields.",
                warns=True,
            )
        )
    items = [
        "Chosen by: " + (str(summary["selection"]) if summary else record.strategy.rule) + ".",
        "Target labels were "
        + {0: "never opened", 1: "opened once"}.get(record.openings, f"opened {record.openings} times")
        + ". "
        + label_use(str(record.settings["split"]) if record.is_within_one_scene else None, record.strategy.reads)
        + (
            " Reading the target repeatedly and changing the search in between amounts to fitting it."
            if record.openings > 1
            else ""
        ),
        "Another study on the same target also reads it, which is not counted here.",
    ]
    flights = _one_flight(record)
    if flights:
        items.append(f"Source and target are cut from one flight ({flights}): light, sensor and season are the same.")
    rows = [row for pair in record.pairs for row in _separation_rows(pair, record.pair_evidence(pair))]
    if rows:
        parts.append(
            Table(
                name="separation",
                caption="How many held-out pixels are inside a training patch, and how many have a patch that "
                "overlaps one: for the winner's patch size, and for the largest, for which the splits are made.",
                columns=(
                    "pair",
                    "side",
                    "split",
                    "guard",
                    "training",
                    "held out",
                    "patch",
                    "inside",
                    "overlapping",
                ),
                rows=rows,
            )
        )
    else:
        parts.append(
            Paragraph(
                text="The separation of the sides is recorded when a study closes; this study has no such record. The "
                f"split is by {record.settings['split']}."
            )
        )
    notes = [f"{pair}: {note}" for pair in record.pairs for note in (record.pair_evidence(pair) or {}).get("notes", ())]
    return Section(
        anchor="leakage",
        title="Leakage",
        intro=(
            "A patch shows a pixel's surroundings, so a held-out pixel near training pixels has been seen in part, and "
            "its score says less about a new scene. A guard band keeps held-out pixels out of training patches."
        ),
        parts=[*parts, Bullets(items=[*items, *notes])],
    )


def _scores_table(summary: Mapping[str, Any]) -> Table:
    rows: list[Sequence[Cell | Value]] = []
    for row in summary["scores"]:
        cells: list[Cell | Value] = []
        for side in ("validation", "target"):
            scores = row[side]
            if scores is None:
                cells += [None, None, None]
                continue
            cells += [per_cent(scores["oa"]), per_cent(scores["aa"]), digits(scores["kappa"], 3)]
        rows.append((row["pair"], row["role"], row.get("normalization"), *cells, digits(row.get("seconds"), 1)))
    return Table(
        name="scores",
        caption=f"Scores, profile {summary['profile']}; OA and AA in per cent, seconds of choice and training.",
        columns=(
            "pair",
            "role",
            "normalization",
            "val OA",
            "val AA",
            "val kappa",
            "target OA",
            "target AA",
            "target kappa",
            "s",
        ),
        rows=rows,
    )


def _interval_rows(record: StudyRecord, pair: str) -> list[Sequence[Cell | Value]]:
    counts, floor = record.field_counts(pair), record.best_floor(pair)
    rows: list[Sequence[Cell | Value]] = []
    for role, found in counts.items():
        intervals = bootstrap_fields(found)
        rows += [_interval_row(pair, role, name, getattr(intervals, name)) for name in _FIGURES]
    pairs = [(BEST, DEFAULTS)] if floor is None else [(record.registered_role(pair), floor), (BEST, DEFAULTS)]
    for one, other in pairs:
        if set(counts) >= {one, other}:
            difference = bootstrap_difference(counts[one], counts[other])
            rows += [_interval_row(pair, f"{one} − {other}", name, difference[name]) for name in _FIGURES]
    return rows


def _interval_row(pair: str, role: str, name: str, interval: Interval) -> Sequence[Cell | Value]:
    numbers = (interval.value, interval.low, interval.high)
    shown = [digits(n, 3) for n in numbers] if name == "kappa" else [per_cent(n) for n in numbers]
    return (pair, role, {"oa": "OA, %", "aa": "AA, %", "kappa": "kappa"}[name], *shown)


def _verdict(record: StudyRecord) -> Paragraph:
    """Whether best and defaults can be distinguished on the targets."""
    found = []
    for pair in record.pairs:
        counts = record.field_counts(pair)
        if not set(counts) >= {BEST, DEFAULTS}:
            continue
        where = f"on {pair} with its {len(counts[BEST].classes)} fields"
        aa = bootstrap_difference(counts[BEST], counts[DEFAULTS])["aa"]
        if not aa.is_known:
            found.append(f"{where} no interval can be had")
        elif aa.low > 0:
            found.append(f"{where} the best is ahead of the defaults in AA by more than the fields vary")
        elif aa.high < 0:
            found.append(f"{where} the defaults are ahead of the best in AA by more than the fields vary")
        else:
            found.append(f"{where} best and defaults can't be distinguished in AA (the interval holds 0)")
    text = "; ".join(found) + ". One training each: seeds are not in it." if found else "The defaults have no map here."
    return Paragraph(text=text[0].upper() + text[1:])


def _per_class_table(
    pair: str,
    noted: Mapping[str, Any],
    counts: Mapping[str, FieldCounts],
    intervals: Mapping[str, Sequence[Interval]],
) -> Table:
    any_counts = next(iter(counts.values()))
    fields, pixels = any_counts.fields_per_class, any_counts.scores().confusion.sum(axis=1)
    rows: list[Sequence[Cell | Value]] = []
    for k, name in enumerate(noted["classes"]):
        cells = [cell for role in counts for cell in (per_cent(value) for value in _ends(intervals[role][k]))]
        scored = "" if k in noted["scored classes"] else " *"
        rows.append((name + scored, noted["training pixels"][k], int(pixels[k]), int(fields[k]), *cells))
    headings = [heading for role in counts for heading in (f"{role}, %", "from", "to")]
    return Table(
        name=f"per_class_{pair}",
        caption=f"Accuracy by class on the target of {pair}, with 95 % intervals over fields; pixels that trained and "
        "pixels of the target. *: not in the validation score.",
        columns=("class", "trained", "target", "fields", *headings),
        rows=rows,
    )


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _separation_rows(pair: str, noted: Mapping[str, Any] | None) -> list[Sequence[Cell | Value]]:
    rows: list[Sequence[Cell | Value]] = []
    for side, split in (noted or {"splits": {}})["splits"].items():
        for counted in split["separation"]:
            rows.append(
                (
                    pair,
                    side,
                    split["kind"],
                    split["guard"],
                    split["training pixels"],
                    counted["num_pixels"],
                    counted["patch_size"],
                    counted["num_inside_training_patch"],
                    counted["num_overlapping_patches"],
                )
            )
    return rows


def _one_flight(record: StudyRecord) -> str:
    noted = [found for pair in record.pairs if (found := record.pair_evidence(pair)) is not None]
    flights = {
        found["target"]["flight"] for found in noted if found["target"]["flight"] in record.source_flights(found)
    }
    return ", ".join(sorted(flights))


def sheets(record: StudyRecord, name: str, alt: str, *, width: int | None = None) -> list[Part]:
    """A picture of the closing, if there is one.

    Args:
        record: The study.
        name: Its file's name without ending.
        alt: What it shows.
        width: In CSS pixels; by default its own.
    """
    path = record.report_folder / f"{name}.png"
    return [Sheet(png=path.read_bytes(), alt=alt, width=width)] if path.exists() else []
