"""The study of practices, from the command line to its table and picture."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sceneshift.commands.durations import duration_text
from sceneshift.commands.practices_arguments import PracticesArgs
from sceneshift.comparison.practice_prices import as_markdown, draw_prices, prices
from sceneshift.comparison.practices import (
    PracticeDesign,
    PracticeTraining,
    first_configuration,
    train_practice,
)
from sceneshift.errors import MissingDataError, StorageError, StudyError, first_line
from sceneshift.own_folders import ensure_home
from sceneshift.safe_files import expanded, replacing
from sceneshift.search.space import load_space
from sceneshift.studies.json_files import read_json, write_json
from sceneshift.studies.one_run import only_one
from sceneshift.studies.processes import run_in_processes

#: The file of all trainings, and of their design.
ROWS = "rows.json"


def run_command(arguments: PracticesArgs) -> int:
    """Train what is left, then write table and picture; returns the exit status.

    Raises:
        SceneshiftError: The arguments, the data or the machine don't allow it.
    """
    ensure_home()
    out = expanded(arguments.out)
    if arguments.table:
        stored = read_json(out / ROWS, advice="put a copy back")
        if stored is None:
            raise MissingDataError(f"no rows at {out / ROWS}; train first, with --record-target.")
        return _write(out, stored["design"], stored["rows"])
    design = PracticeDesign(
        pairs=arguments.pairs,
        configurations={name: first_configuration(load_space(name), profile="laptop") for name in arguments.methods},
        num_seeds=arguments.seeds,
        epochs=arguments.epochs,
    )
    out.mkdir(parents=True, exist_ok=True)
    with only_one(out, flag="--out"):
        rows = _rows(out, design)
        done = {PracticeTraining(**{name: row[name] for name in ("pair", "method", "kind", "seed")}) for row in rows}
        left = [training for training in design.trainings() if training not in done]
        print(f"{len(left)} of {len(design.trainings())} trainings are left. TARGET LABELS ARE READ after every epoch.")
        asked = left[: arguments.limit]
        seconds = 0.0
        train = partial(_train, design, arguments.data_dir)
        for number, (training, row) in enumerate(run_in_processes(train, asked, jobs=arguments.jobs), 1):
            rows.append(row)
            write_json(out / ROWS, {"design": design.as_dict(), "rows": rows})
            seconds += row["seconds"]
            expected = seconds / number * (len(asked) - number) / arguments.jobs
            print(
                f"{number}/{len(asked)} {training.pair} {training.method} {training.kind} seed {training.seed}: "
                f"{row['seconds']:.0f} s; about {duration_text(expected)} left",
                flush=True,
            )
    return _write(out, design.as_dict(), rows)


def _train(design: PracticeDesign, data_dir: str | None, training: PracticeTraining) -> dict[str, Any]:
    return train_practice(design, training, data_dir=data_dir)


def _rows(out: Path, design: PracticeDesign) -> list[dict[str, Any]]:
    stored = read_json(out / ROWS, advice="delete it to train again")
    if stored is None:
        return []
    if stored["design"] != json.loads(json.dumps(design.as_dict())):
        raise StudyError(f"{out / ROWS} is of another design; nothing was trained. Give another --out.")
    rows: list[dict[str, Any]] = stored["rows"]
    return rows


def _write(out: Path, design: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> int:
    table = prices(rows)
    if table.empty:
        print("No pair and method has all kinds of training yet: no table.")
        return 0
    heading = (
        f"{design['epochs']} epochs, {design['pixels_per_class']} pixels per class, {len(rows)} trainings, on "
        f"{', '.join(design['pairs'])}. Target labels were read after every epoch: nothing here is a method's result."
    )
    files = {
        "practices.md": as_markdown(table, heading=heading).encode(),
        "practices.csv": table.round(2).to_csv(index=False).encode(),
        "practices.png": draw_prices(table).light,
    }
    for name, content in files.items():
        try:
            with replacing(out / name) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise StorageError(f"{out / name} can't be written ({first_line(error)}); give another --out.") from error
        print(f"wrote {out / name}")
    return 0
