"""The first screen of a study's report: verdict, scores, maps, what to do next."""

import shlex
from collections.abc import Sequence

from sceneshift.report.page import Bullets, Paragraph, Part, Section
from sceneshift.report.study_record import BEST, DEFAULTS, MAJORITY, REFITTED, StudyRecord
from sceneshift.report.tables import Cell, Table, Value
from sceneshift.report.target_sections import sheets

#: Roles that are shown in any case, in this order; floors come after them.
_NETWORKS = (REFITTED, BEST, DEFAULTS)


def first_section(record: StudyRecord) -> Section:
    """Build what a reader sees first."""
    parts: list[Part] = [*_warnings(record)]
    if record.verdicts:
        parts.append(Bullets(items=[str(verdict["sentence"]) for verdict in record.verdicts]))
    parts.append(Paragraph(text=_choice(record)))
    if record.summary is not None:
        parts.append(_table(record))
        parts += [Paragraph(text="What to do next:"), Bullets(items=_next_steps(record))]
        for pair in record.pairs:
            parts += sheets(record, f"map_{pair}", f"Truth, class map, and where it is right, on the target of {pair}.")
    return Section(anchor="first", title="Result", intro="", parts=parts)


def _warnings(record: StudyRecord) -> Sequence[Paragraph]:
    found = []
    if not record.is_closed:
        running = sum(not r.is_finished for r in record.records)
        found.append(
            f"This study is not closed ({len(record.records)} trials begun, {running} of them not ended). The page "
            "shows what is available; the winner may still change, and the target has not been scored."
        )
    elif record.is_stale:
        found.append(
            "Trials have been added since this study was closed. The results are from that closing; close the study "
            "again with --resume."
        )
    if record.settings["profile"] == "smoke-test":
        found.append("A smoke test: every part ran, but the figures mean nothing.")
    return [Paragraph(text=text, warns=True) for text in found]


def _choice(record: StudyRecord) -> str:
    """What was chosen, against the defaults, in a sentence."""
    best, defaults = record.best, record.defaults
    if best is None:
        return "No trial has run all its epochs yet: there is no winner."
    if best.is_reference:
        return "The search found nothing better than the defaults."
    text = f"Trial {best.number} was chosen by {record.strategy.name}"
    if record.metric == "val/aa" and best.value is not None:
        text += f": validation AA {100 * best.value:.1f}"
        if defaults is not None and defaults.is_complete and defaults.value is not None:
            text += f", against {100 * defaults.value:.1f} of the defaults"
    return f"{text}."


def _table(record: StudyRecord) -> Table:
    """A row per role, and per pair the scores on validation and target in one cell each."""
    assert record.summary is not None
    scores = {(row["pair"], row["role"]): row for row in record.summary["scores"]}
    roles = dict.fromkeys(role for _, role in scores)
    ordered = [*(role for role in _NETWORKS if role in roles), *(role for role in roles if role not in _NETWORKS)]
    ordered = [*(role for role in ordered if role != MAJORITY), *(role for role in ordered if role == MAJORITY)]
    rows: list[Sequence[Cell | Value]] = []
    for role in ordered:
        cells: list[Cell | Value] = []
        for pair in record.pairs:
            row = scores.get((pair, role))
            validation, target = (None, None) if row is None else (row["validation"], row["target"])
            cells += [None if validation is None else f"{100 * validation['aa']:.1f}", _both(target)]
        named = {record.registered_role(pair) for pair in record.pairs}
        rows.append((f"{role} (registered)" if role in named else role, *cells))
    return Table(
        name="first",
        caption="In per cent. Validation: AA on held-out blocks of the source. Target: OA / AA, read once the choice "
        "was made.",
        columns=("", *(f"{pair}, {what}" for pair in record.pairs for what in ("validation", "target"))),
        rows=rows,
    )


def _both(scores: "dict[str, float] | None") -> str | None:
    return None if scores is None else f"{100 * scores['oa']:.1f} / {100 * scores['aa']:.1f}"


def _next_steps(record: StudyRecord) -> Sequence[str]:
    storage = str(record.directory.parent)
    at = "" if storage.endswith("/results") else f" --storage-path {shlex.quote(storage)}"
    worse = [str(verdict["pair"]) for verdict in record.verdicts if verdict["outcome"] == "worse"]
    items = []
    if worse:
        items.append(
            f"A floor is better on {', '.join(worse)}: map with it ({_training_of_floor(record, worse[0])}), or give "
            "the network more: --profile paper, a larger --time-budget-s, more --num-samples with --resume."
        )
    items += [
        f"Look at trials and models, and choose: sceneshift ui{at}",
        f"Map a scene: sceneshift predict --model models:/{_a_model(record)} --scene FILE --out maps{at}",
    ]
    if record.settings.get("record"):
        items.append(
            f"Choose by another rule, without training: sceneshift report {shlex.quote(str(record.directory))} "
            "--selection NAME"
        )
    return items


def _training_of_floor(record: StudyRecord, pair: str) -> str:
    """The command that trains a pair's best floor as it was fitted."""
    assert record.summary is not None
    title = next(verdict["floor"] for verdict in record.verdicts if verdict["pair"] == pair)
    floor = next((each for each in record.summary["floors"][pair] if each["floor"] == title), None)
    if floor is None or "method" not in floor:  # of an earlier version
        return f"sceneshift train --method logistic_regression --pair {pair}"
    values = {"normalization": floor["normalization"], **floor["settings"]}
    words = [f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()]
    return f"sceneshift train --method {floor['method']} --pair {pair} --set {' '.join(words)}"


def _a_model(record: StudyRecord) -> str:
    """Name and alias of the first pair's registered model; of an earlier version's study a stand-in for the name."""
    assert record.summary is not None
    name = next(iter(record.summary.get("model names", {}).values()), "NAME")
    return f"{name}@{'smoke-test' if record.settings['profile'] == 'smoke-test' else 'champion'}"
