"""The report's section on what mattered: importances with their uncertainty, slices, contours, parallel coordinates."""

from collections.abc import Sequence

import optuna

from sceneshift.report.importances import FEW_TRIALS, Importance, compared_at_epoch, estimate_importances
from sceneshift.report.page import Paragraph, Part, Row, Section
from sceneshift.report.search_pictures import (
    draw_contour,
    draw_importances,
    draw_parallel_coordinates,
    draw_slices,
)
from sceneshift.report.study_record import StudyRecord
from sceneshift.report.tables import Table, per_cent

#: Number of parameters shown as slices and parallel coordinates, and of those shown pairwise as contours.
_MOST_SLICES, _MOST_CONTOURS = 5, 3


def importance_section(record: StudyRecord) -> Section:
    """Build the section: which parameters mattered, how certain that is, and how the objective depends on them."""
    epoch = record.compared_epoch
    compared = compared_at_epoch(record.study, epoch)
    num = len(compared.get_trials(deepcopy=False))
    importances = estimate_importances(compared)
    parts: list[Part] = []
    if not importances:
        parts.append(
            Paragraph(
                text=f"{num} trials reached epoch {epoch}: too few to say anything about importance (at least 4).",
                warns=True,
            )
        )
    else:
        parts += _importance_parts(importances, num=num, epoch=epoch)
        names = [i.name for i in importances]
        drawn = {name: d for t in compared.trials for name, d in t.distributions.items() if name not in names}
        alone = sorted(name for name, distribution in drawn.items() if distribution.single())
        for left_out, why in (
            (sorted(drawn.keys() - set(alone)), "only some trials have them"),
            (alone, "only one value was allowed"),
        ):
            if left_out:
                parts.append(Paragraph(text=f"Left out, {why}: {', '.join(left_out)}."))
        parts += _landscape_parts(compared, names, epoch=epoch, objective=record.metric)
    return Section(
        anchor="importance",
        title="What mattered",
        intro=(
            "Importance says how much of the difference between good and bad trials goes with one parameter "
            f"(PED-ANOVA). All trials are compared at epoch {epoch}, before the first is stopped, so that good and bad "
            "ones count alike. Two checks go with it: how far the figure moves when trials are drawn with "
            "replacement, and what it is when the objective is shuffled among the trials, which is pure chance."
        ),
        parts=parts,
    )


def _importance_parts(importances: Sequence[Importance], *, num: int, epoch: int) -> list[Part]:
    clear = [i.name for i in importances if i.stands_out]
    by_luck = len(importances) * 0.05
    text = (
        f"Above chance: {', '.join(clear)}. Of {len(importances)} parameters, {by_luck:.1f} would be so by luck alone."
        if clear
        else "No parameter is above chance: from these trials nothing can be said about which parameter matters, and "
        "the order below is noise."
    )
    if num < FEW_TRIALS:
        text = f"Only {num} trials, for {len(importances)} parameters: take it as a lead, not as a finding. {text}"
    return [
        Paragraph(text=text, warns=num < FEW_TRIALS or not clear),
        draw_importances(importances),
        Table(
            name="importances",
            caption=f"Importance of the objective at epoch {epoch} over {num} trials: share, 5th and 95th percentile "
            "over trials drawn with replacement, and 95th percentile of shuffled objectives.",
            columns=("parameter", "share, %", "from", "to", "chance", "above chance"),
            rows=[
                (
                    i.name,
                    per_cent(i.value),
                    per_cent(i.low),
                    per_cent(i.high),
                    per_cent(i.chance),
                    "yes" if i.stands_out else "no",
                )
                for i in importances
            ],
        ),
    ]


def _landscape_parts(compared: optuna.Study, names: Sequence[str], *, epoch: int, objective: str) -> list[Part]:
    # A study's first trials, which are given, may agree in what is drawn at random later.
    varied = [name for name in names if len({t.params[name] for t in compared.trials if name in t.params}) > 1]
    top = varied[:_MOST_SLICES]
    parts: list[Part] = []
    if (slices := draw_slices(compared, top, epoch=epoch, objective=objective)) is not None:
        parts += [
            Paragraph(text="Slices: each point is a trial. All other parameters differ between the points as well."),
            slices,
        ]
    first = varied[:_MOST_CONTOURS]
    contours = [
        picture
        for i, one in enumerate(first)
        for other in first[i + 1 :]
        if (picture := draw_contour(compared, one, other, epoch=epoch, objective=objective)) is not None
    ]
    if contours:
        parts += [
            Paragraph(
                text="Contours of the most important pairs: between the points, which are the trials, the surface is "
                "interpolated; where there are no points it is a guess."
            ),
            Row(pictures=contours),
        ]
    if (parallel := draw_parallel_coordinates(compared, top, epoch=epoch, objective=objective)) is not None:
        parts += [Paragraph(text="Parallel coordinates: each line is a trial, coloured by its objective."), parallel]
    return parts
