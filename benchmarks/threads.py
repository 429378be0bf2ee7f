"""Many trials of one thread, or one trial of many threads: what trains most on this machine's CPUs.

    python benchmarks/threads.py

For N CPUs, 1 trial x N threads, N trials x 1 thread, and N/2 trials x 2 threads where N > 2. Each trial is a process
that trains S2AMSnet on the source of west-east as the laptop profile would: one epoch to warm up, then all begin at
once and each trains the same number of epochs. Layouts take turns, so that a change of the machine meets all of them.
Steps per second are summed over trials; trials per hour follow from the profile's epochs and both its pairs, evaluation
and everything between the steps left out.
"""

import json
import math
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any

import torch
import tyro

from sceneshift.commands.tune_arguments import TuneArgs
from sceneshift.execution.cluster import ALLOCATOR
from sceneshift.methods.s2amsnet import S2AMSnetConfig
from sceneshift.search.prepared import PreparedStudy, prepare
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan

SPACE = Path(__file__).parents[1] / "search_spaces" / "s2amsnet.py"

CONFIGS = {
    "patch 7, width 64": S2AMSnetConfig(patch_size=7, width=64, generator_channels=16, batch_size=64),
    "patch 5, width 32": S2AMSnetConfig(patch_size=5, width=32, generator_channels=8, batch_size=32),
}


@dataclass(frozen=True, kw_only=True)
class Args:
    """How long and how often."""

    epochs: int = 2
    """Epochs measured in each trial."""

    repetitions: int = 3
    """Turns of each layout; their median is reported."""

    cpus: int | None = None
    """N; by default the CPUs this process may use."""

    json: Path | None = None
    """Where rows are written, one per configuration and layout."""


def prepared() -> PreparedStudy:
    """The laptop profile's splits; nothing is written."""
    return prepare(TuneArgs(profile="laptop"), method="s2amsnet", space_path=SPACE)


def steps_per_epoch(study: PreparedStudy, config: S2AMSnetConfig) -> list[int]:
    """Batches per epoch on each pair's source."""
    return [math.ceil(len(source.split.train) / config.batch_size) for source in study.sources]


def train_one(config: S2AMSnetConfig, threads: int, epochs: int, together: Barrier, speeds: "Queue[float]") -> None:
    """Train one trial in its own process; reports its steps per second."""
    torch.set_num_threads(threads)
    study = prepared()
    plan = TrainingPlan(method="s2amsnet", config=config, epochs=epochs + 1, seed=0)
    run = PairRun(plan, [study.sources[0]], torch.device("cpu"))
    run.train_epoch(1)
    together.wait(timeout=600)
    started = time.perf_counter()
    for _ in range(epochs):
        run.train_epoch(1)
    speeds.put(epochs * steps_per_epoch(study, config)[0] / (time.perf_counter() - started))


def steps_per_second(config: S2AMSnetConfig, *, trials: int, threads: int, epochs: int) -> float:
    """Steps per second, summed over trials that train at the same time."""
    context = multiprocessing.get_context("spawn")
    together, speeds = context.Barrier(trials), context.Queue()
    processes = [
        context.Process(target=train_one, args=(config, threads, epochs, together, speeds)) for _ in range(trials)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a trial failed; its error is above")
    return sum(speeds.get() for _ in processes)


def main(args: Args) -> None:
    """Measure and print a table."""
    cpus = args.cpus or len(os.sched_getaffinity(0))
    layouts = [(1, cpus), (cpus, 1)] + ([(cpus // 2, 2)] if cpus > 2 else [])
    study = prepared()
    rates: dict[tuple[str, int, int], list[float]] = {}
    for _ in range(args.repetitions):
        for name, config in CONFIGS.items():
            for trials, threads in layouts:
                rate = steps_per_second(config, trials=trials, threads=threads, epochs=args.epochs)
                rates.setdefault((name, trials, threads), []).append(rate)
    print("| configuration | trials x threads | steps/s, all trials (lowest to highest) | trials an hour |")
    print("|---|---|---|---|")
    rows: list[dict[str, Any]] = []
    for (name, trials, threads), measured in sorted(rates.items()):
        steps_per_trial = study.profile.epochs * sum(steps_per_epoch(study, CONFIGS[name]))
        an_hour = 3600 * median(measured) / steps_per_trial
        print(
            f"| {name} | {trials} x {threads} | {median(measured):.2f} ({min(measured):.2f} to {max(measured):.2f}) "
            f"| {an_hour:.0f} |"
        )
        rows.append({"config": name, "trials": trials, "threads": threads, "steps_per_s": measured, "an_hour": an_hour})
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        # Read by glibc before Python starts: the allocator that trials have.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})
    main(tyro.cli(Args, description=__doc__))
