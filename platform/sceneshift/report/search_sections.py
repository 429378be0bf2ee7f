"""The report's sections on the search itself: the space, the trials, what stopping early saved, the cost."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sceneshift.report.page import Paragraph, Part, Section
from sceneshift.report.search_pictures import draw_history, draw_learning_curves, draw_timeline
from sceneshift.report.study_record import BEST, StudyRecord
from sceneshift.report.tables import Cell, Table, Value, digits, setting
from sceneshift.search.trial_record import TrialRecord


def searched_section(record: StudyRecord) -> Section:
    """Build the section on what was searched, with the space and the values of best and defaults."""
    evidence, summary = record.evidence or {}, record.summary or {}
    profile, plan = evidence.get("profile", {}), evidence.get("plan", {})
    tags = summary.get("tags", {})
    dirty = " with uncommitted changes" if tags.get("git.dirty") == "true" else ""
    largest = profile.get("pixels_per_class")
    facts: list[tuple[str, Value]] = [
        ("method", record.method),
        ("scene pairs or scene", ", ".join(record.pairs)),
        ("unit of the numbers", "; ".join(f"{pair}: {unit}" for pair, unit in summary.get("units", {}).items())),
        ("narrowed", "; ".join(evidence.get("narrowing", ()))),
        ("split of labelled pixels", str(record.settings["split"])),
        ("profile", record.settings["profile"] + (f" ({profile['description']})" if profile else "")),
        ("trials", _trials_text(record)),
        ("epochs of a trial that is not stopped", record.epochs),
        ("training pixels", "" if not profile else "all" if largest is None else f"at most {largest} per class"),
        ("seed", record.settings["seed"]),
        ("precision", record.settings["precision"]),
        ("trials at once", plan.get("trials at once")),
        ("search space", f"{evidence.get('search space', '')} (hash {record.space_hash})".strip()),
        ("hashes of the splits", _split_hashes(record)),
        ("commit", tags.get("git.commit", "") + dirty),
        (
            "versions",
            ", ".join(f"{k.removeprefix('version.')} {v}" for k, v in tags.items() if k.startswith("version.")),
        ),
        ("command", evidence.get("command")),
    ]
    parts: list[Part] = [
        Table(
            name="searched",
            caption="What was searched, and how to reproduce it.",
            columns=("", "this study"),
            rows=[(name, value) for name, value in facts if value not in (None, "")],
        ),
        _space_table(record),
    ]
    return Section(
        anchor="searched",
        title="What was searched",
        intro=(
            "A search tries configurations of one method, trial by trial, and keeps the one with the "
            f"{record.strategy.rule}. The first trial uses the published defaults, clipped "
            "to what the profile allows. The range is what a trial could draw from."
        ),
        parts=parts,
    )


def trials_section(record: StudyRecord) -> Section:
    """Build the section on all trials and their learning curves."""
    best = record.best
    parts: list[Part] = []
    number = None if best is None else best.number
    if (curves := draw_learning_curves(record.study, best=number, objective=record.metric)) is not None:
        parts.append(curves)
    above = [
        r
        for r in record.records
        if best is not None and r.state == "pruned" and r.value is not None and r.value > (best.value or 0)
    ]
    if above:
        above_text = ", ".join(f"trial {r.number} at epoch {r.last_epoch} ({r.value:.3f})" for r in above)
        parts.append(
            Paragraph(
                text=f"Ended early while above the winner's final value: {above_text}. Only trials that ran all "
                "their epochs "
                "can win, since one epoch's value is not another's; these might have won."
            )
        )
    if (history := draw_history(record.study, objective=record.metric)) is not None:
        parts.append(history)
    parts.append(_trials_table(record))
    return Section(
        anchor="trials",
        title="Trials and learning curves",
        intro=(
            f"Each line is one trial's objective after every epoch: {record.metric}, {_objective_text(record)}, "
            "averaged over the pairs. No target label is in it."
        ),
        parts=parts,
    )


def _objective_text(record: StudyRecord) -> str:
    if record.metric == "val/aa":
        return "the mean accuracy over classes on the sources' validation pixels"
    return f"the score of {record.strategy.name}"


def pruning_section(record: StudyRecord) -> Section:
    """Build the section on what stopping trials early saved."""
    rows: list[Sequence[Cell | Value]] = []
    saved_epochs, saved_s = 0, 0.0
    for stopped_by, stopped in (("by ASHA", record.stopped_by_asha), ("by the time budget", record.stopped_by_time)):
        epochs, seconds = not_spent(stopped, epochs=record.epochs)
        rows.append((stopped_by, len(stopped), sum(r.last_epoch for r in stopped), epochs, digits(seconds, 0)))
        if stopped_by == "by ASHA":
            saved_epochs, saved_s = epochs, seconds
    spent_epochs = sum(r.last_epoch for r in record.records)
    spent_s = sum(r.seconds or 0.0 for r in record.records)
    whole = spent_epochs + saved_epochs
    share = 100 * saved_epochs / whole if whole else 0.0
    share_s = 100 * saved_s / (spent_s + saved_s) if spent_s + saved_s else 0.0
    parts: list[Part] = [
        Paragraph(
            text=f"ASHA stopped {len(record.stopped_by_asha)} of {len(record.records)} trials. Had they all run to "
            f"epoch {record.epochs}, {saved_epochs} more epochs would have been trained ({share:.0f} % of what there "
            f"would have been), about {saved_s:.0f} s of training time ({share_s:.0f} %)."
        ),
        Table(
            name="pruning",
            caption="Epochs and seconds not spent; seconds are estimated from each stopped trial's own mean.",
            columns=("stopped", "trials", "epochs run", "epochs not run", "seconds not spent"),
            rows=rows,
        ),
        Paragraph(
            text="The saving may have a cost: a slow starter is stopped like a bad trial, and how well the "
            "stopped trials would have done is not known. What the time budget ended is not saved, "
            "but work left undone."
        ),
    ]
    return Section(
        anchor="pruning",
        title="What stopping early saved",
        intro=(
            "ASHA looks at trials after certain epochs and lets only the better ones continue. This section shows "
            "what that saved, compared with letting every trial run to its end."
        ),
        parts=parts,
    )


def compute_section(record: StudyRecord) -> Section:
    """Build the section on the compute spent, and the machine."""
    evidence, summary = record.evidence or {}, record.summary or {}
    epochs = [metrics for r in record.records for metrics in r.epochs.values()]
    seconds = sorted(m["time/epoch_s"] for m in epochs if "time/epoch_s" in m)
    starts = [r.started_ms / 1000 for r in record.records if r.started_ms is not None]
    ends = [m["time/recorded_unix_s"] for m in epochs if "time/recorded_unix_s" in m]
    rows: list[tuple[str, Cell | Value]] = [
        ("trials begun", len(record.records)),
        ("epochs trained", len(epochs)),
        ("training time, all trials together, s", digits(sum(seconds), 0)),
    ]
    if seconds:
        rows.append(("seconds per epoch, median", digits(seconds[len(seconds) // 2], 2)))
        rows.append(("seconds per epoch, fastest and slowest", f"{seconds[0]:.2f} and {seconds[-1]:.2f}"))
    if starts and ends:
        begun = datetime.fromtimestamp(min(starts), UTC)
        rows.append(("first trial began", f"{begun:%Y-%m-%d %H:%M} UTC"))
        rows.append(("from the first trial's start to the last epoch, s", digits(max(ends) - min(starts), 0)))
    for key, label in (
        ("time/steps_s", "training steps, s (included above)"),
        ("time/calibration_s", "batch-norm calibration, s (included above)"),
        ("time/validation_s", "validation, s (included above)"),
        ("time/checkpoint_s", "besides: checkpoints, s"),
    ):
        if any(key in m for m in epochs):
            rows.append((label, digits(sum(m.get(key, 0.0) for m in epochs), 0)))
    if "wall_s" in summary:
        rows.append(("the closing command, from its start, s", digits(float(summary["wall_s"]), 0)))
    rows += [(name, str(value)) for name, value in evidence.get("plan", {}).items()]
    rows += [(f"machine: {name}", value) for name, value in evidence.get("machine", {}).items()]
    parts: list[Part] = []
    if (timeline := draw_timeline(record.study)) is not None:
        parts.append(timeline)
    parts.append(Table(name="compute", caption="Compute spent.", columns=("", "this study"), rows=rows))
    if not evidence:
        parts.append(Paragraph(text="The machine is recorded when a study closes; this study has no such record."))
    return Section(
        anchor="compute",
        title="Compute spent",
        intro=(
            "Seconds are wall time of one trial's epochs; trials that run at once share the machine and slow each "
            "other, so sums over trials are not CPU time. The machine is that of the command that closed the study."
        ),
        parts=parts,
    )


def not_spent(stopped: Sequence[TrialRecord], *, epochs: int) -> tuple[int, float]:
    """Epochs and seconds that stopped trials would still have taken.

    Args:
        stopped: Trials stopped early; for each its own mean seconds per epoch are used.
        epochs: Epochs of a trial that runs to its end.
    """
    left = [(epochs - r.last_epoch, (r.seconds or 0.0) / r.last_epoch) for r in stopped if r.last_epoch]
    return sum(n for n, _ in left), sum(n * each for n, each in left)


def _space_table(record: StudyRecord) -> Table:
    distributions = {name: d for t in record.study.get_trials(deepcopy=False) for name, d in t.distributions.items()}
    shown = record.shown()
    roles = list(shown)
    rows: list[Sequence[Cell | Value]] = []
    for name, distribution in distributions.items():
        values = [setting(shown[role].params.get(name)) for role in roles]
        rows.append((name, *_range(distribution), *values))
    fixed = {key: value for role in roles for key, value in shown[role].config.items() if key not in distributions}
    rows += [(name, "fixed", "", *(setting(shown[role].config.get(name)) for role in roles)) for name in fixed]
    return Table(
        name="parameters",
        caption="The space, and the values of the best configuration next to the defaults. "
        "A dash: the trial did not draw it, as a switch was off.",
        columns=("parameter", "range", "scale", *roles),
        rows=rows,
    )


def _range(distribution: object) -> tuple[str, str]:
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(setting(c).shown for c in distribution.choices), "choice"
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return f"{distribution.low:g} to {distribution.high:g}", "log" if distribution.log else "linear"
    return str(distribution), ""


def _trials_table(record: StudyRecord) -> Table:
    names = list(dict.fromkeys(name for r in record.records for name in r.params))
    best = record.best
    rows: list[Sequence[Cell | Value]] = []
    for r in sorted(record.records, key=lambda r: r.number):
        role = BEST if best is not None and r.number == best.number else "defaults" if r.is_reference else ""
        value = None if r.value is None or not math.isfinite(r.value) else r.value
        rows.append(
            (
                r.number,
                role,
                r.state,
                digits(value, 4),
                r.last_epoch,
                digits(r.seconds, 0),
                r.reason or None,
                *(setting(r.params.get(name)) for name in names),
            )
        )
    return Table(
        name="trials",
        caption="All trials; numbers count from 0, as on the screen and in MLflow. The value is the objective at the "
        "last epoch run: of a stopped trial it can't be compared with that of one that ran to its end.",
        columns=("trial", "role", "state", record.metric, "epochs", "seconds", "reason", *names),
        rows=rows,
        wide=True,
    )


def _trials_text(record: StudyRecord) -> str:
    states = [r.state for r in record.records]
    counts = ", ".join(
        f"{states.count(state)} {words}"
        for state, words in (
            ("complete", "complete"),
            ("pruned", "stopped early"),
            ("fail", "failed"),
            ("running", "running"),
        )
        if state in states
    )
    asked = None if record.summary is None else record.summary["trials"]["asked for"]
    more = "" if asked is None or asked == len(states) else f" of {asked} asked for"
    return f"{len(states)}{more}: {counts}" if states else "none yet"


def _split_hashes(record: StudyRecord) -> str:
    # The second name is that of version 0.1.
    prefixes = ("split.hash.", "split hash of ")
    found = [(key, prefix) for key in record.settings for prefix in prefixes if key.startswith(prefix)]
    return ", ".join(f"{key.removeprefix(prefix)} {record.settings[key]}" for key, prefix in found)
