"""Does harm to real searches at random moments, and counts what was lost: nothing may be.

    make chaos                                             # two of every kind, a quarter of an hour
    make chaos ARGS="--kills 50 --kinds driver --seed 0"   # as many kills of the driver

A study of six trials (S2AMSnet on an embedded pair, small) is run once unharmed. Then studies like it are run, one
trial at a time, and are harmed: the driver, a trial's process, a worker of Ray Train, a node, all of Ray are killed by
SIGKILL; the disk is filled; the MLflow server goes away; losses become NaN; memory runs short. A search that
ended of it is resumed once. Then Optuna's database, MLflow's and the result table are read by SQL and compared with
each other, and with the unharmed run: lost, doubled, wrong, left running. What is seen is printed and written as JSON.
The exit status is 1 where anything was.

Takes processes it has started itself, and no others.
"""

import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import events
from diverging_space import EXPLODES_ABOVE
from records import Faults, Trial, check_against, check_study
from searches import Search

from sceneshift.commands.command_line import read_arguments

TRIALS = 6


@dataclass(frozen=True, kw_only=True)
class Args:
    """What is done, and how often."""

    kills: int = 2
    """Times each kind of harm is done."""

    kinds: tuple[str, ...] = tuple(events.KINDS)
    """Which kinds."""

    seed: int = 0
    """Seed of the moments."""

    directory: Path | None = None
    """Where studies are kept; by default a temporary directory, which stays where something was lost."""

    json: Path | None = None
    """Where the figures are written. Default: chaos.json in the directory."""


@dataclass
class Row:
    """What one kind came to."""

    kind: str
    events: int = 0
    studies: int = 0
    resumes: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    left_running: int = 0
    orphans: int = 0
    seconds: float = 0.0
    skipped: str = ""

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.left_running)


def run_kind(kind: str, args: Args, root: Path, unharmed: dict[int, Trial], notes: list[str]) -> Row:
    """Harm studies until it has been done as often as asked."""
    row, started = Row(kind), time.monotonic()
    if reason := events.why_not(kind):
        row.skipped = reason
        return row
    rng = random.Random(f"{args.seed} {kind}")
    while row.events < args.kills:
        name = f"{kind}-{row.studies}"
        most = min(args.kills - row.events, events.MOST_A_STUDY.get(kind, 1))
        harm = events.KINDS[kind](root, name, rng, most)
        trials, faults = check_study(root, name, mlflow_db=harm.mlflow_db, num_trials=TRIALS)
        if harm.unlike:
            faults.add(check_diverged(trials))
        else:
            faults.add(check_against(trials, unharmed))
        row.studies += 1
        row.events += harm.events
        row.resumes += harm.resumes
        row.orphans += harm.orphans
        for what, found in vars(faults).items():
            setattr(row, what, getattr(row, what) + len(found))
            notes += [f"{name}: {what}: {one}" for one in found]
        notes += [f"{name}: {note}" for note in harm.notes]
        row.seconds = time.monotonic() - started
        print(f"{name}: {harm.events} events, {harm.resumes} resumes, " + ("faults" if faults else "whole"), flush=True)
        if harm.events == 0:
            notes.append(f"{name}: the search ended before anything could be done to it")
            break
    return row


def check_diverged(trials: dict[int, Trial]) -> Faults:
    """Trials whose learning rate explodes are marked as diverged, the others are not."""
    faults = Faults()
    for number, trial in trials.items():
        exploding = trial.params["fuse"] > EXPLODES_ABOVE
        if exploding != (trial.state == "FAIL" and "not finite" in trial.reason):
            faults.wrong.append(f"trial {number}: explodes {exploding}, state {trial.state}, reason {trial.reason!r}")
    return faults


def table(rows: list[Row]) -> str:
    """The rows for people."""
    columns = ("kind", "events", "studies", "resumes", "lost", "doubled", "wrong", "left running", "orphans", "seconds")
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [row.kind, row.events, row.studies, row.resumes, row.lost, row.doubled, row.wrong, row.left_running]
        cells += [row.orphans, f"{row.seconds:.0f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |" + (f" skipped: {row.skipped}" if row.skipped else ""))
    return "\n".join(lines)


def main(args: Args) -> int:
    """Run everything; 0 where nothing was lost."""
    unknown = set(args.kinds) - events.KINDS.keys()
    if unknown or args.kills < 1:
        print(f"error: kinds {sorted(unknown)}, kills {args.kills}; known kinds: {', '.join(events.KINDS)}")
        return 2
    root = args.directory or Path(tempfile.mkdtemp(prefix="chaos-"))
    root.mkdir(parents=True, exist_ok=True)
    print(f"kept in {root}", flush=True)
    began = time.monotonic()
    search = Search(root, "unharmed", log=root / "unharmed.log")
    search.start()
    if search.wait(events.PATIENCE_S) != 0:
        print(f"error: the unharmed search failed; see {search.log}")
        return 2
    unharmed, faults = check_study(root, "unharmed", mlflow_db=root / "mlflow.db", num_trials=TRIALS)
    print(f"unharmed: {time.monotonic() - began:.0f} s, " + ("faults" if faults else "whole"), flush=True)
    notes = [f"unharmed: {what}: {one}" for what, found in vars(faults).items() for one in found]
    rows: list[Row] = []
    for kind in args.kinds:
        rows.append(run_kind(kind, args, root, unharmed, notes))
        figures = {"seed": args.seed, "rows": [vars(row) for row in rows], "notes": notes}
        (args.json or root / "chaos.json").write_text(json.dumps(figures, indent=2))
    print(f"\n{table(rows)}")
    if notes:
        print("\n" + "\n".join(notes))
    return 0 if all(row.clean for row in rows) and not faults else 1


if __name__ == "__main__":
    sys.exit(main(read_arguments(Args, __doc__ or "")))
