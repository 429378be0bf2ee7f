"""Running a study's trainings, several at a time, so that they can be interrupted anywhere and resumed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sceneshift.errors import StudyError
from sceneshift.studies import turns
from sceneshift.studies.cell_files import CellFiles
from sceneshift.studies.cells import Places, train_cell
from sceneshift.studies.design import Cell, StudyDesign
from sceneshift.studies.processes import run_in_processes
from sceneshift.studies.published_rows import batch_path, read_facts, write_batch
from sceneshift.studies.publishing import gather_batch

#: A training, and the epoch it may end after.
Task = tuple[Cell, int]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study that is run: its design and where its files are.

    Args:
        design: The design.
        places: Where trainings leave their files.
        out: Where rows are published.
    """

    design: StudyDesign
    places: Places
    out: Path


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a batch's remaining trainings are expected to take.

    Args:
        pair: The pair.
        method: The method.
        num_left: Trainings that are not done.
        seconds: Of one training; NaN where none was timed.
        num_timed: Trainings of this batch that were timed; 0 where the figure is the mean of the method's others.
    """

    pair: str
    method: str
    num_left: int
    seconds: float
    num_timed: int

    def hours(self, jobs: int) -> float:
        """Hours of the batch with the given number of concurrent trainings."""
        return self.num_left * self.seconds / 3600 / jobs


def is_published(study: Study, pair: str, method: str) -> bool:
    """Whether all trainings of a batch are published, so that none is needed, whatever the work folder has.

    Raises:
        StudyError: The file is damaged or of another design.
    """
    path = batch_path(study.out, pair, method)
    if not path.exists():
        return False
    facts = read_facts(path)
    if facts.design != study.design.key():
        raise StudyError(
            f"{path} is of design {facts.design}; this study is of {study.design.key()}. Give another --out."
        )
    return facts.is_complete


def pending(study: Study, pairs: Sequence[str], methods: Sequence[str]) -> list[Task]:
    """The trainings that are not done, batch by batch."""
    return [
        (cell, study.design.epochs)
        for pair in pairs
        for method in methods
        if not is_published(study, pair, method)
        for cell in study.design.cells(pair, method)
        if CellFiles(cell.folder(study.places.work)).done(study.design.key()) is None
    ]


def in_turn(tasks: Sequence[Task], num: int) -> list[Task]:
    """Some trainings, one batch after the other in turn and of a different configuration each."""
    return turns.in_turn(
        tasks,
        num,
        batch=lambda task: (task[0].pair, task[0].method),
        method=lambda task: task[0].method,
        configuration=lambda task: task[0].configuration,
    )


def publish(study: Study, pair: str, method: str) -> Path | None:
    """Publish a batch, or the part of it that is done.

    Returns:
        The file; None if nothing is done, or all of it is published already.

    Raises:
        StudyError: A file is damaged, or what is published has more trainings.
        StorageError: It can't be written.
    """
    if is_published(study, pair, method):
        return None
    cells = study.design.cells(pair, method)
    batch = gather_batch(study.design, cells, study.places, num_expected=len(cells))
    if batch.facts.num_cells == 0:
        return None
    path = batch_path(study.out, pair, method)
    write_batch(path, batch)
    return path


def run_pool(
    study: Study,
    tasks: Sequence[Task],
    *,
    jobs: int,
    on_done: Callable[[Cell, Mapping[str, Any]], None],
    on_published: Callable[[Path], None],
) -> None:
    """Train, and publish every batch that is then done.

    Args:
        study: The study.
        tasks: What to train.
        jobs: Trainings at a time, of one thread each.
        on_done: Called with each training and what its ``done.json`` says.
        on_published: Called with the file of each batch that was published.

    Raises:
        SceneshiftError: A training failed; those that are done are kept.
    """
    batches = dict.fromkeys((cell.pair, cell.method) for cell, _ in tasks)
    left = {batch: {cell for cell, _ in pending(study, [batch[0]], [batch[1]])} for batch in batches}
    for cell, values in run_tasks(study, tasks, jobs=jobs):
        on_done(cell, values)
        batch = cell.pair, cell.method
        left[batch].discard(cell)
        if not left[batch] and (path := publish(study, *batch)) is not None:
            on_published(path)


def run_tasks(study: Study, tasks: Sequence[Task], *, jobs: int) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Train; each training is yielded as soon as it is done.

    Args:
        study: The study.
        tasks: What to train, in this order.
        jobs: Trainings at a time; with 1, in this process.

    Raises:
        InvalidInputError: There is no job.
        StudyError: A process was killed.
        SceneshiftError: A training failed.
    """
    train = partial(_train_task, study.design, study.places)
    for (cell, _), values in run_in_processes(train, tasks, jobs=jobs):
        yield cell, values


def _train_task(design: StudyDesign, places: Places, task: Task) -> dict[str, Any]:
    cell, last_epoch = task
    return train_cell(design, cell, places, last_epoch=last_epoch)


def expected_times(study: Study, pairs: Sequence[str], methods: Sequence[str]) -> list[Expected]:
    """What remains, from the seconds that trainings took so far; published ones count as done."""
    left: dict[tuple[str, str], int] = {}
    timed: dict[tuple[str, str], list[float]] = {}
    for pair in pairs:
        for method in methods:
            batch = pair, method
            if is_published(study, pair, method):
                left[batch], timed[batch] = 0, [*read_facts(batch_path(study.out, pair, method)).seconds.values()]
                continue
            done = [CellFiles(c.folder(study.places.work)).done(study.design.key()) for c in study.design.cells(*batch)]
            left[batch] = done.count(None)
            timed[batch] = [values["seconds"]["all"] for values in done if values is not None]
    found = []
    for (pair, method), seconds in timed.items():
        of_method = [s for (_, other), all_s in timed.items() if other == method for s in all_s]
        known = seconds or of_method
        found.append(
            Expected(
                pair=pair,
                method=method,
                num_left=left[pair, method],
                seconds=float(np.mean(known)) if known else float("nan"),
                num_timed=len(seconds),
            )
        )
    return found
