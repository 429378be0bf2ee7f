"""Costs of a search besides training: seconds to the first step, and seconds of a trial outside its training steps.

    python benchmarks/trial_overhead.py --trials 5 --epochs 4
    python benchmarks/trial_overhead.py --starts 5 --baseline /path/to/another/checkout

Starts ``experiments/tune_s2amsnet.py`` as a user would, with the laptop profile, in a temporary directory with a Ray, a
trial store and an MLflow file of its own, and reads the trial store when the study is closed. A trial's time runs
from the last result of the trial that had its place before it to its own last result. From it the seconds in training
steps (the cutting of their patches included) are taken away; the rest is divided into parts:

* beginning: the actor handed over, configuration suggested and sent, modules built, first result recorded;
* calibration, validation: the forward passes that score an epoch, and batch norm before them;
* checkpoint: weights hashed, state written;
* reporting: result through Tune into the trial store (SQLite), ASHA's decision, and back, from the second epoch on.

The first trials, one per place, begin new processes and count for the start only.

With ``--baseline``, searches of one epoch are started in turn from another checkout and from this one, and only the
seconds to the first step are compared; its dependencies are those of this interpreter.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import optuna
import tyro

from sceneshift.search.trial_record import TrialRecord

ROOT = Path(__file__).parents[1]
NAME = "overhead"
PARTS = ("beginning", "calibration", "validation", "checkpoint", "reporting")


@dataclass(frozen=True, kw_only=True)
class Args:
    """Size of the search."""

    trials: int = 5
    """Trials in all."""

    epochs: int = 4
    """Epochs of a trial that is not stopped early."""

    at_once: int = 1
    """Concurrent trials."""

    cpus_per_trial: float = 1
    """CPUs of a trial, also its threads."""

    profile: str = "laptop"
    """Profile of search_spaces/s2amsnet.py."""

    json: Path | None = None
    """Where rows are written: one for the start, one per trial."""

    baseline: Path | None = None
    """Another checkout, whose seconds to the first step are compared."""

    starts: int = 5
    """Searches begun from each checkout, with --baseline."""


def search(args: Args, directory: Path, root: Path = ROOT) -> tuple[dict[str, float], list[TrialRecord]]:
    """Run the search of a checkout; returns Unix times of its start and of lines it prints, and its stored trials."""
    flags = {
        "--profile": args.profile,
        "--num-samples": args.trials,
        "--epochs": args.epochs,
        "--max-concurrent-trials": args.at_once,
        "--cpus-per-trial": args.cpus_per_trial,
        "--time-budget-s": 3600,
        "--storage-path": directory,
        "--experiment-name": NAME,
    }
    own = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")}
    own["PYTHONPATH"] = str(root / "platform")
    times = {"begun": time.time()}
    with subprocess.Popen(
        [sys.executable, "experiments/tune_s2amsnet.py", *(str(word) for flag in flags.items() for word in flag)],
        cwd=root,
        env=own,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            # "study" is printed just before Ray begins, "search" when Ray and MLflow are there.
            times.setdefault(line.split(" ", 1)[0].strip(), time.time())
    if process.returncode != 0:
        raise SystemExit(f"the search ended with status {process.returncode}")
    study = optuna.load_study(study_name=NAME, storage=f"sqlite:///{directory / NAME / 'optuna.db'}")
    return times, [TrialRecord.from_optuna(trial) for trial in study.trials]


def seconds_of(record: TrialRecord, begun: float) -> dict[str, float]:
    """Where a trial's time went, from when its place was free to its last result."""
    epochs = [record.epochs[number] for number in sorted(record.epochs)]
    known = [epoch["time/epoch_s"] + epoch["time/checkpoint_s"] for epoch in epochs]
    recorded = [epoch["time/recorded_unix_s"] for epoch in epochs]
    waits = [at - before - own for before, at, own in zip([begun, *recorded], recorded, known, strict=False)]
    parts = {
        part: sum(epoch[f"time/{part}_s"] for epoch in epochs)
        for part in ("steps", "calibration", "validation", "checkpoint")
    }
    wall = recorded[-1] - begun
    return {
        **parts,
        "beginning": waits[0],
        "reporting": sum(waits[1:]),
        "epochs": len(epochs),
        "wall": wall,
        "outside steps": wall - parts["steps"],
    }


def seconds_to_first_step(args: Args, root: Path) -> float:
    """Begin a search of one epoch from a checkout."""
    with tempfile.TemporaryDirectory() as directory:
        times, records = search(replace(args, trials=args.at_once, epochs=1), Path(directory), root)
    return first_step(records[0]) - times["begun"]


def first_step(record: TrialRecord) -> float:
    """When a trial's first step began, in Unix time."""
    first = record.epochs[1]
    return first["time/recorded_unix_s"] - first["time/checkpoint_s"] - first["time/epoch_s"]


def compare_starts(args: Args, baseline: Path) -> None:
    """Begin searches from both checkouts in turn, and print the medians of the seconds to the first step."""
    seconds: dict[str, list[float]] = {"baseline": [], "here": []}
    for _ in range(args.starts):
        for name, root in (("baseline", baseline.resolve()), ("here", ROOT)):
            seconds[name].append(seconds_to_first_step(args, root))
            print(f"{name:<10} {seconds[name][-1]:6.2f} s", flush=True)
    medians = {name: median(each) for name, each in seconds.items()}
    print(
        f"process to first step, median of {args.starts}: {medians['baseline']:.1f} s before, {medians['here']:.1f} s "
        f"here; ratio {medians['baseline'] / medians['here']:.2f}"
    )


def main(args: Args) -> None:
    """Search, then print the start and the median over trials."""
    if args.baseline is not None:
        compare_starts(args, args.baseline)
        return
    with tempfile.TemporaryDirectory() as directory:
        times, records = search(args, Path(directory))
    ends = sorted(record.epochs[record.last_epoch]["time/recorded_unix_s"] for record in records)
    step = first_step(records[0])
    start = {
        "process to first step": step - times["begun"],
        "ray.init to first step": step - times["study"],
        "search begun to first step": step - times["search"],
    }
    rows = [
        {"trial": record.number, **dict(record.config), **seconds_of(record, begun)}
        for record, begun in zip(records[args.at_once :], ends, strict=False)
    ]
    for name, seconds in start.items():
        print(f"{name:<28} {seconds:6.2f} s")
    print(f"\n{len(rows)} trials after the first {args.at_once}, median seconds:\n")
    print("| | a trial | an epoch |\n|---|---|---|")
    for part in ("wall", "steps", "outside steps", *PARTS):
        per_epoch = "" if part == "beginning" else f"{median(row[part] / row['epochs'] for row in rows):.3f}"
        print(f"| {part} | {median(row[part] for row in rows):.3f} | {per_epoch} |")
    without = [row["outside steps"] - row["calibration"] - row["validation"] for row in rows]
    print(f"| outside steps, calibration and validation | {median(without):.3f} | |")
    if args.json is not None:
        args.json.write_text(json.dumps([{"start": start}, *rows], indent=2))


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
