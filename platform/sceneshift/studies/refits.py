"""Refits: the configurations that strategies chose, trained once more on all fields.

A choice is a configuration and an epoch. A configuration is trained once per seed, up to the latest epoch at which it
was chosen, and scored at every epoch. Where the average of weights was chosen, the refit keeps its own weights, as in a
search: the average begins where validation flattens, and nothing validates once all fields train.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from sceneshift.studies.cell_files import CellFiles
from sceneshift.studies.design import Cell, StudyDesign
from sceneshift.studies.pool import Study, Task
from sceneshift.studies.published_rows import PublishedBatch, batch_path, read_batch, write_batch
from sceneshift.studies.publishing import gather_batch


def refit_tasks(design: StudyDesign, choices: pd.DataFrame, *, pair: str, method: str) -> list[Task]:
    """The trainings that a batch's choices ask for.

    Args:
        design: The design.
        choices: As in :class:`sceneshift.studies.tables.StudyTables`.
        pair: The pair.
        method: The method.
    """
    own = choices[(choices["pair"] == pair) & (choices["method"] == method)]
    lasts = own.groupby("configuration")["epoch"].max()
    return [
        (Cell(pair=pair, method=method, configuration=int(number), seed=seed, is_refit=True), int(epoch))
        for number, epoch in lasts.items()
        for seed in range(design.num_refit_seeds)
    ]


def pending_refits(study: Study, tasks: Sequence[Task]) -> list[Task]:
    """The refits of one batch that are neither done nor published up to the epoch that is asked for."""
    published = _published(study, tasks)
    lasts = {} if published is None else published.rows.groupby(["configuration", "seed"])["epoch"].max().to_dict()
    diverged = () if published is None else published.facts.diverged
    waiting = []
    for cell, last_epoch in tasks:
        done = CellFiles(cell.folder(study.places.work)).done(study.design.key())
        is_done = done is not None and (done["diverged"] is not None or done["epochs"] >= last_epoch)
        is_published = lasts.get((cell.configuration, cell.seed), 0) >= last_epoch or cell.name in diverged
        if not is_done and not is_published:
            waiting.append((cell, last_epoch))
    return waiting


def publish_refits(study: Study, tasks: Sequence[Task]) -> Path | None:
    """Publish the refits of one batch that are done, in addition to those published before.

    Args:
        study: The study.
        tasks: All that its choices ask for.

    Returns:
        The file; None if nothing is done.

    Raises:
        StudyError: A file is damaged.
        StorageError: The file can't be written.
    """
    cells = [cell for cell, _ in tasks]
    batch = gather_batch(study.design, cells, study.places, num_expected=len(cells))
    if batch.facts.num_cells == 0:
        return None
    if (before := _published(study, tasks)) is not None:
        batch = _together(before, batch, num_expected=len(cells))
    path = batch_path(study.out, cells[0].pair, cells[0].method, is_refit=True)
    write_batch(path, batch)
    return path


def _published(study: Study, tasks: Sequence[Task]) -> PublishedBatch | None:
    cell, _ = tasks[0]
    path = batch_path(study.out, cell.pair, cell.method, is_refit=True)
    return read_batch(path, study.design) if path.exists() else None


def _together(before: PublishedBatch, now: PublishedBatch, *, num_expected: int) -> PublishedBatch:
    """What was published of trainings that the work folder no longer has, and all that it has."""
    seconds = {**before.facts.seconds, **now.facts.seconds}
    names = before.rows.apply(lambda row: f"c{row['configuration']:03d}-s{row['seed']}", axis=1)
    kept = before.rows[~names.isin([*now.facts.seconds])]
    diverged = {*before.facts.diverged} - {*now.facts.seconds} | {*now.facts.diverged}
    facts = replace(
        now.facts,
        num_cells=len(seconds),
        seconds=seconds,
        diverged=sorted(diverged),
        is_complete=num_expected <= len(seconds),
    )
    return PublishedBatch(facts=facts, rows=pd.concat([kept, now.rows], ignore_index=True))
