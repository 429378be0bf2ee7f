"""The sections of a comparison's page. The first sentence is the verdict; what many readers skip is folded.

All tables and pictures of a comparison are on its page; those of other strategies, budgets and protocols are folded.
"""

from collections.abc import Sequence
from dataclasses import replace

from sceneshift.comparison.captions import (
    BOLD,
    INTERVALS,
    groups_sentence,
    joins_sentence,
    notes_of_all,
    notes_of_grid,
    reference_words,
)
from sceneshift.comparison.chosen_settings import settings_table
from sceneshift.comparison.class_maps import PairMaps
from sceneshift.comparison.contrasts import Reference
from sceneshift.comparison.difference_tables import against_table, differences_table, floors_table
from sceneshift.comparison.map_picture import draw_maps
from sceneshift.comparison.pictures import draw_differences, draw_seconds
from sceneshift.comparison.results import ComparisonResults
from sceneshift.comparison.score_grid import DECISIVE, FIGURES, ScoreGrid
from sceneshift.comparison.tables import (
    accuracy_table,
    failed_table,
    per_class_table,
    scores_table,
    spread_table,
    strategies_table,
)
from sceneshift.comparison.verdict import findings, verdict_sentence
from sceneshift.report.page import Bullets, Folded, Paragraph, Part, Section
from sceneshift.report.tables import Table


def sections_of(results: ComparisonResults, grids: Sequence[ScoreGrid], maps: Sequence[PairMaps]) -> list[Section]:
    """The sections in order.

    Args:
        results: The comparison.
        grids: Its grids. The first is shown openly.
        maps: Class maps to show; may be empty.
    """
    first, notes = grids[0], notes_of_grid(results, grids[0])
    found = [
        _summary(results, first),
        Section(
            anchor="accuracies",
            title="Accuracies",
            intro="Means over seeds, on all labelled pixels of each target. Cuts of one flight are one group of "
            f"scenes; in the mean every group counts the same. {BOLD}",
            parts=_accuracies(first, notes),
        ),
        Section(
            anchor="settings",
            title="Chosen settings",
            intro="What was trained: configuration and epoch that the strategy chose, without target labels.",
            parts=_settings(results, first, notes),
        ),
        Section(
            anchor="differences",
            title="Paired differences",
            intro="Methods are compared on the same pair and seed. Best method and best floor were chosen by the "
            "target's labels, which favours them. Each interval is for itself: of twenty methods that equal the "
            "reference, about one is marked as better or worse by chance.",
            parts=_differences(first, notes),
        ),
        Section(
            anchor="seconds",
            title="Accuracy against time",
            intro=f"Mean {FIGURES[DECISIVE]} and mean seconds of the final training. Tuning is not counted.",
            parts=_seconds(first),
        ),
        Section(
            anchor="classes",
            title="Classes",
            intro="Accuracy per class by method, one table per pair.",
            parts=_classes(first, notes),
        ),
        Section(
            anchor="maps",
            title="Class maps",
            intro="The truth, each method's map, and below it which labelled pixels are right.",
            parts=[draw_maps(each) for each in maps],
        ),
        _spread(results, grids),
        _others(results, grids),
        _failed(results, grids),
        _run(results, grids),
    ]
    return [section for section in found if section.parts]


def _deciding(grids: Sequence[ScoreGrid]) -> list[ScoreGrid]:
    """For each protocol and budget, the grid of the first strategy: those of which everything is made."""
    found: dict[tuple[str, str], ScoreGrid] = {}
    for grid in grids:
        found.setdefault((grid.setting.protocol, grid.setting.budget), grid)
    return list(found.values())


def _summary(results: ComparisonResults, grid: ScoreGrid) -> Section:
    items = [*findings(grid), groups_sentence(grid), joins_sentence(results.joins)]
    parts: list[Part] = [Bullets(items=[item for item in items if item])]
    if grid.failed:
        parts.append(
            Paragraph(
                text=f"{len(grid.failed)} of the networks have no scores. They are left out of all means and named in "
                "the section on failed networks.",
                warns=True,
            )
        )
    return Section(
        anchor="summary",
        title="In short",
        intro=f"Protocol, budget and strategy: {grid.setting.title}. {INTERVALS}",
        parts=parts,
    )


def _accuracies(grid: ScoreGrid, notes: str) -> list[Part]:
    first, *others = (_noted(accuracy_table(grid, figure), f"{BOLD} {notes}") for figure in FIGURES)
    return [first, Folded(title=" and ".join(list(FIGURES.values())[1:]), parts=others)]


def _settings(results: ComparisonResults, grid: ScoreGrid, notes: str) -> list[Part]:
    table = settings_table(results, grid.setting)
    return [] if table is None else [_noted(table, notes)]


def _differences(grid: ScoreGrid, notes: str) -> list[Part]:
    floors = floors_table(grid)
    parts: list[Part] = [] if floors is None else [_noted(floors, notes)]
    for reference in Reference:
        picture, table = draw_differences(grid, reference), against_table(grid, reference)
        if picture is None or table is None:
            parts.append(Paragraph(text=f"There is no {reference} with scores, or nothing to compare with it."))
            continue
        folded = Folded(title="The same as a table", parts=[_noted(table, notes)])
        parts += [Paragraph(text=f"Against {reference_words(grid, reference)}:"), picture, folded]
    return parts


def _seconds(grid: ScoreGrid) -> list[Part]:
    picture = draw_seconds(grid)
    return [] if picture is None else [picture]


def _classes(grid: ScoreGrid, notes: str) -> list[Part]:
    return [Folded(title=pair, parts=[_noted(per_class_table(grid, pair), notes)]) for pair in grid.scored_pairs]


def _spread(results: ComparisonResults, grids: Sequence[ScoreGrid]) -> Section:
    table = _noted(spread_table(_deciding(grids)), notes_of_all(results))
    return Section(
        anchor="spread",
        title="Spread",
        intro="Training one configuration with other seeds varies in another way than tuning and training anew. The "
        "two are never pooled.",
        parts=[Folded(title="Standard deviations of both kinds", parts=[table])],
    )


def _others(results: ComparisonResults, grids: Sequence[ScoreGrid]) -> Section:
    parts: list[Part] = []
    if (table := strategies_table(grids)) is not None:
        parts.append(_noted(table, notes_of_all(results)))
    deciding = _deciding(grids)
    for grid in grids[1:]:
        notes = notes_of_grid(results, grid)
        shown: list[Part] = [Paragraph(text=verdict_sentence(grid))]
        if grid in deciding:
            shown += [Bullets(items=findings(grid)), *_accuracies(grid, notes), *_differences(grid, notes)]
            shown += [*_seconds(grid), *_classes(grid, notes)]
        else:
            shown.append(_noted(accuracy_table(grid), f"{BOLD} {notes}"))
        shown += _settings(results, grid, notes)
        parts.append(Folded(title=grid.setting.title, parts=shown))
    return Section(
        anchor="others",
        title="Other strategies, budgets and protocols",
        intro="The same comparison with configurations and epochs chosen, or networks trained, in another way. Which "
        "of them looks best here is known from target labels, and is no recommendation.",
        parts=parts,
    )


def _failed(results: ComparisonResults, grids: Sequence[ScoreGrid]) -> Section:
    table = failed_table(grids)
    return Section(
        anchor="failed",
        title="Failed networks",
        intro="Networks without scores are left out of all means.",
        parts=[Paragraph(text="None failed.") if table is None else _noted(table, notes_of_all(results))],
    )


def _run(results: ComparisonResults, grids: Sequence[ScoreGrid]) -> Section:
    notes = notes_of_all(results)
    return Section(
        anchor="run",
        title="How it was run",
        intro="What all figures have in common, and every figure in long form.",
        parts=[
            Paragraph(text=notes),
            Folded(title="All scores", parts=[_noted(scores_table(grids), notes)]),
            Folded(
                title="All differences", parts=[_noted(differences_table(_deciding(grids)), f"{INTERVALS} {notes}")]
            ),
        ],
    )


def _noted(table: Table, notes: str) -> Table:
    return replace(table, notes=notes)
