"""The selection study, from the command line to its tables."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sceneshift.commands.durations import duration_text
from sceneshift.commands.selection_study_arguments import (
    Pool,
    Publish,
    Refits,
    Simulate,
    StudyCommand,
    StudyFlags,
    Table,
    TrainingFlags,
)
from sceneshift.errors import InvalidInputError
from sceneshift.own_folders import ensure_home
from sceneshift.safe_files import expanded
from sceneshift.search.space import load_space
from sceneshift.studies.cells import Places
from sceneshift.studies.design import STUDY_PAIRS, Cell, StudyDesign, open_design, read_design
from sceneshift.studies.one_run import only_one
from sceneshift.studies.pool import (
    Study,
    Task,
    expected_times,
    in_turn,
    pending,
    publish,
    run_pool,
    run_tasks,
)
from sceneshift.studies.refits import pending_refits, publish_refits, refit_tasks
from sceneshift.studies.result_files import published_batches, study_choices, study_tables, write_results
from sceneshift.studies.simulated_pairs import SimulatedPairFile, store_simulated_pairs

_ROOT = Path(__file__).resolve().parents[3]

#: The methods of the study; their space files have the same names.
_METHODS = ("s2amsnet", "cross_entropy")

_LABELS_ARE_READ = "TARGET LABELS ARE READ after every epoch: for research on selection; no target here is unseen."


def run_command(command: StudyCommand) -> int:
    """Run a command and print its results; returns the exit status.

    Raises:
        SceneshiftError: The arguments, the data or the machine don't allow it.
    """
    ensure_home()
    match command:
        case Pool():
            return _pool(command)
        case Publish():
            return _publish(command)
        case Table():
            return _table(command)
        case Refits():
            return _refits(command)
        case Simulate():
            return _simulate(command)


def _pool(command: Pool) -> int:
    _require_record_target(command)
    design = StudyDesign.draw(
        {method: load_space(method) for method in _METHODS},
        num_configurations=command.configurations,
        simulated=_simulated_pairs(),
        seed=command.seed,
        epochs=command.epochs,
        evaluate_every=command.evaluate_every,
    )
    pairs, methods = _batches(design, command)
    study = _study(open_design(expanded(command.out), design), command)
    with only_one(study.places.work, flag="--work"):
        tasks = pending(study, pairs, methods)
        print(
            f"Design {design.key()}: {len(design.configurations[methods[0]])} random configurations x "
            f"{design.num_seeds} seeds of {', '.join(methods)}\non {', '.join(pairs)}; {design.epochs} epochs, "
            f"{design.pixels_per_class} pixels per class. {len(tasks)} trainings are left.\n"
            f"{_LABELS_ARE_READ}",
            flush=True,
        )
        for pair in pairs:
            for method in methods:
                has_more = any((cell.pair, cell.method) == (pair, method) for cell, _ in tasks)
                if not has_more and (path := publish(study, pair, method)) is not None:
                    _tell_published(path)
        if command.time_trainings is not None:
            tasks = in_turn(tasks, command.time_trainings)
        tasks = tasks[: command.limit]
        progress = _Progress(study, tasks, jobs=command.jobs)
        run_pool(study, tasks, jobs=command.jobs, on_done=progress.done, on_published=_tell_published)
        print(render_expected(study, pairs, methods, jobs=command.jobs))
    return 0


def _publish(command: Publish) -> int:
    design = read_design(expanded(command.out))
    pairs, methods = _batches(design, command)
    study = _study(design, command)
    for pair in pairs:
        for method in methods:
            if (path := publish(study, pair, method)) is not None:
                _tell_published(path)
    return 0


def _table(command: Table) -> int:
    out = expanded(command.out)
    design = read_design(out)
    pairs, methods = _batches(design, command)
    tables = study_tables(design, out, pairs, methods)
    batches = published_batches(design, out, pairs)
    parts = [f"{b.facts.method} on {b.facts.pair}: {b.facts.num_cells} trainings" for b in batches]
    unfinished = "" if all(b.facts.is_complete for b in batches) else " NOT ALL TRAININGS ARE PUBLISHED YET."
    heading = f"Design {design.key()}, seed {design.seed}; {'; '.join(parts)}.{unfinished}"
    folder = out / "tables" / ("confirmation" if command.confirm else "study")
    for path in write_results(tables, folder, heading=heading):
        print(f"wrote {path}")
    return 0


def _refits(command: Refits) -> int:
    _require_record_target(command)
    design = read_design(expanded(command.out))
    pairs, methods = _batches(design, command)
    study = _study(design, command)
    choices = study_choices(design, study.out, pairs, methods)
    asked = {
        (pair, method): tasks
        for pair in pairs
        for method in methods
        if (tasks := refit_tasks(design, choices, pair=pair, method=method))
    }
    with only_one(study.places.work, flag="--work"):
        waiting = [task for tasks in asked.values() for task in pending_refits(study, tasks)]
        print(f"{len(waiting)} trainings on all fields are left.\n{_LABELS_ARE_READ}", flush=True)
        busy = {(cell.pair, cell.method) for cell, _ in waiting}
        for batch, tasks in asked.items():  # what a run that was interrupted has left
            if batch not in busy and (path := publish_refits(study, tasks)) is not None:
                _tell_published(path)
        waiting = waiting[: command.limit]
        left = {batch: {cell for cell, _ in waiting if (cell.pair, cell.method) == batch} for batch in asked}
        progress = _Progress(study, waiting, jobs=command.jobs)
        for cell, values in run_tasks(study, waiting, jobs=command.jobs):
            progress.done(cell, values)
            batch = cell.pair, cell.method
            left[batch].discard(cell)
            if not left[batch] and (path := publish_refits(study, asked[batch])) is not None:
                _tell_published(path)
    return 0


def _simulate(command: Simulate) -> int:
    files = [file for file in _simulated_pairs() if command.confirm or file.name in STUDY_PAIRS]
    folder = expanded(command.work).resolve() / "simulated"
    catalogue = store_simulated_pairs(files, folder, command.data_dir)
    print(f"{', '.join(file.name for file in files)}: --catalogue {catalogue}")
    return 0


def render_expected(study: Study, pairs: Sequence[str], methods: Sequence[str], *, jobs: int) -> str:
    """The table of expected hours, from the trainings that were timed."""
    rows = expected_times(study, pairs, methods)
    lines = [
        "",
        f"{'pair':<22} {'method':<14} {'left':>5} {'s each':>8} {'timed':>6} {f'hours, {jobs} at a time':>18}",
    ]
    for row in rows:
        known = not math.isnan(row.seconds)
        each, hours = (f"{row.seconds:.0f}", f"{row.hours(jobs):.1f}") if known else ("?", "?")
        timed = str(row.num_timed) if row.num_timed else "none*"
        lines.append(f"{row.pair:<22} {row.method:<14} {row.num_left:>5} {each:>8} {timed:>6} {hours:>18}")
    total = sum(row.hours(jobs) for row in rows if not math.isnan(row.seconds))
    unknown = ", without those marked ?" if any(math.isnan(row.seconds) for row in rows) else ""
    lines.append(f"{'together' + unknown:<58} {total:>18.1f}")
    if any(row.num_timed == 0 for row in rows):
        lines.append("* the mean of the method's trainings on other pairs")
    return "\n".join(lines)


class _Progress:
    """A line per training, with the time that is left: by what trainings of its batch or method took so far."""

    def __init__(self, study: Study, tasks: Sequence[Task], *, jobs: int) -> None:
        self._tasks, self._jobs, self._num_done = {cell for cell, _ in tasks}, jobs, 0
        self._num = len(tasks)
        pairs, methods = (dict.fromkeys(getattr(cell, name) for cell in self._tasks) for name in ("pair", "method"))
        self._seconds = {
            (row.pair, row.method): [row.seconds] * max(1, row.num_timed)
            for row in expected_times(study, [*pairs], [*methods])
            if not math.isnan(row.seconds)
        }

    def done(self, cell: Cell, values: Mapping[str, Any]) -> None:
        """A training is done."""
        self._num_done += 1
        self._tasks.discard(cell)
        seconds = values["seconds"]
        self._seconds.setdefault((cell.pair, cell.method), []).append(seconds["all"])
        diverged = f"; {values['diverged']}" if values["diverged"] else ""
        left = sum(self._expected(other) for other in self._tasks) / self._jobs
        print(
            f"{self._num_done}/{self._num} {cell.pair} {cell.method} {cell.name}: {seconds['all']:.0f} s, including "
            f"{seconds['looking']:.0f} s looking at the target, {seconds['scoring']:.0f} s scoring{diverged}; "
            f"about {duration_text(left)} left",
            flush=True,
        )

    def _expected(self, cell: Cell) -> float:
        own = self._seconds.get((cell.pair, cell.method))
        same = [s for (_, method), each in self._seconds.items() if method == cell.method for s in each]
        return float(np.mean(own or same or [s for each in self._seconds.values() for s in each]))


def _tell_published(path: Path) -> None:
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)", flush=True)


def _require_record_target(command: TrainingFlags) -> None:
    if not command.record_target:
        raise InvalidInputError(
            "the study needs the target's scores at every epoch, for which its labels are read while trainings run; "
            "say --record-target to do so. All that it writes is marked by it."
        )


def _simulated_pairs() -> list[SimulatedPairFile]:
    folder = _ROOT / "experiments" / "selection_study"
    return [SimulatedPairFile.read(path) for path in sorted(folder.glob("*.toml"))]


def _batches(design: StudyDesign, command: StudyFlags) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return design.chosen_pairs(command.pairs, confirm=command.confirm), design.chosen_methods(command.methods)


def _study(design: StudyDesign, command: Pool | Publish | Refits) -> Study:
    work = expanded(command.work).resolve()
    simulated = [file for file in _simulated_pairs() if command.confirm or file.name in design.pairs]
    for file in simulated:
        if design.simulated.get(file.name) != file.source_hash:
            raise InvalidInputError(
                f"{file.path} has changed since the design was stored; take the change back, or give another --out."
            )
    catalogue = store_simulated_pairs(simulated, work / "simulated", command.data_dir)
    places = Places(work=work, data_dir=command.data_dir, catalogue=str(catalogue))
    return Study(design=design, places=places, out=expanded(command.out))
