"""What training in bfloat16 does to accuracy: the same trainings in float32 and in bfloat16, several seeds each.

    python benchmarks/bfloat16_training.py

One configuration that learns, on the laptop profile's sources and splits. The two take turns, seed by seed, in one
process. Reported are validation and target accuracy after the last epoch, mean and standard deviation over seeds, and
how far the mean of bfloat16 is from float32's in standard deviations of float32's seeds. Nothing is chosen by these
scores.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro

# In this script's folder.
from machine import DeviceName, resolve_device
from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.catalogue.target import open_target
from sceneshift.commands.tune_arguments import TuneArgs
from sceneshift.execution.cluster import ALLOCATOR
from sceneshift.methods.s2amsnet import S2AMSnetConfig
from sceneshift.search.prepared import prepare
from sceneshift.training.evaluation import map_scene
from sceneshift.training.loop import train
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan

SPACE = Path(__file__).parents[1] / "search_spaces" / "s2amsnet.py"
FIGURES = ("oa", "aa", "kappa")


@dataclass(frozen=True, kw_only=True)
class Args:
    """How long and how often."""

    epochs: int = 30
    """Epochs of each training."""

    seeds: int = 3
    """Trainings in each format."""

    threads: int = 1
    """Threads of torch."""

    device: DeviceName = "cpu"
    """Where it trains."""


def target_scores(runs: Sequence[PairRun]) -> dict[str, dict[str, float]]:
    """OA, AA and kappa on each pair's target."""
    scores = {}
    for run in runs:
        name = run.pair_name
        cube = run.normalization.apply(load_pair(NamedPair(name=name)).target.cube)
        device = next(run.classifier.parameters()).device
        class_map = map_scene(run.classifier, cube, patch_size=run.config.patch_size, device=device)
        scores[name] = open_target(NamedPair(name=name)).score(class_map).as_dict()
    return scores


def main(args: Args) -> None:
    """Train, score, print a table."""
    torch.set_num_threads(args.threads)
    device = resolve_device(args.device)
    study = prepare(TuneArgs(profile="laptop"), method="s2amsnet", space_path=SPACE)
    config = S2AMSnetConfig(
        patch_size=7,
        batch_size=32,
        width=64,
        generator_channels=16,
        init_std=0.1,
        renormalize=True,
        lambda_src=1.0,
        noise_scale=0.1,
    )
    by_precision: dict[str, list[dict[str, float]]] = {"float32": [], "bfloat16": []}
    seconds = dict.fromkeys(by_precision, 0.0)
    for seed in range(args.seeds):
        plan = TrainingPlan(method="s2amsnet", config=config, epochs=args.epochs, seed=seed)
        for precision, rows in by_precision.items():
            started = time.perf_counter()
            epochs: list[dict[str, float]] = []
            runs = train(
                replace(plan, precision=precision),
                study.sources,
                report=lambda epoch, epochs=epochs: epochs.append(epoch.metrics),
                device=device,
            )
            seconds[precision] += time.perf_counter() - started
            target = target_scores(runs)
            row = {}
            for run in runs:
                pair = run.pair_name
                row |= {f"{pair} val {figure}": epochs[-1][f"val/{pair}/{figure}"] for figure in FIGURES}
                row |= {f"{pair} target {figure}": target[pair][figure] for figure in FIGURES}
            rows.append(row)
            print(f"seed {seed}, {precision}: {seconds[precision]:.0f} s so far", flush=True)
    print(f"\n| figure | float32 | bfloat16 | apart | of which {args.seeds} seeds |\n|---|---|---|---|---|")
    for name in by_precision["float32"][0]:
        full, half = (np.array([row[name] for row in rows]) for rows in by_precision.values())
        spread = full.std(ddof=1)
        inside = "inside" if full.min() <= half.mean() <= full.max() else "outside"
        print(
            f"| {name} | {full.mean():.3f} ± {spread:.3f} | {half.mean():.3f} ± {half.std(ddof=1):.3f} | "
            f"{(half.mean() - full.mean()) / spread:+.1f} std | mean {inside} float32's range |"
        )
    print(f"\nseconds of training: {', '.join(f'{name} {value:.0f}' for name, value in seconds.items())}")


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        # Read by glibc before Python starts: the allocator that trials have.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})
    main(tyro.cli(Args, description=__doc__))
