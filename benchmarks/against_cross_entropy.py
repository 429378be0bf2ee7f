"""What the adversarial training buys: S2AMSnet against its discriminator with plain cross-entropy.

    python benchmarks/against_cross_entropy.py --study results/NAME --seeds 3

For the best and the default configuration of a closed study, three things are trained per seed, one after the other in
one process: S2AMSnet for the study's epochs; the same discriminator (patch, width, batch, learning rate, augmentation,
calibrated batch norm, same split and training pixels) by cross-entropy for as many epochs; and again for as many
seconds of training as S2AMSnet took. All are scored on the targets after the last epoch. Nothing is chosen by these
scores; the study's own count of openings of the target does not include them.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import tyro

from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.catalogue.target import open_target
from sceneshift.commands.tune_arguments import TuneArgs
from sceneshift.execution.cluster import ALLOCATOR
from sceneshift.methods.cross_entropy import CrossEntropyConfig
from sceneshift.methods.registry import find_method
from sceneshift.search.prepared import prepare
from sceneshift.search.space import load_space
from sceneshift.search.trial_record import TrialRecord
from sceneshift.search.trial_store import TrialStore
from sceneshift.seeding import derive_seed
from sceneshift.splits.source import SourceDomain
from sceneshift.training.evaluation import map_scene
from sceneshift.training.loop import run_epoch
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan

SPACE = Path(__file__).parents[1] / "search_spaces" / "s2amsnet.py"


@dataclass(frozen=True, kw_only=True)
class Args:
    """A closed study, and how often each training is repeated."""

    study: Path
    """Directory of the study."""

    seeds: int = 3
    """Trainings of each kind."""

    threads: int = 1
    """Threads of torch."""


def train_for(
    plan: TrainingPlan, sources: Sequence[SourceDomain], *, seconds: float | None = None
) -> tuple[list[PairRun], int, float]:
    """Train for the plan's epochs, or for as many full epochs as begin within some seconds of training.

    Returns:
        The runs, the epochs, and the seconds spent in them (training and validation, as a trial counts them).
    """
    runs = [PairRun(plan, [source], torch.device("cpu")) for source in sources]
    epochs, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds if seconds is not None else epochs < plan.epochs:
        epochs += 1
        run_epoch(runs, epochs)
    return runs, epochs, time.perf_counter() - started


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


def shared_config(record: TrialRecord) -> CrossEntropyConfig:
    """The part of a trial's configuration that cross-entropy has too."""
    known = {field.name for field in fields(CrossEntropyConfig)}
    return CrossEntropyConfig.from_mapping({k: v for k, v in record.config.items() if k in known})


def main(args: Args) -> None:
    """Compare and print a table."""
    torch.set_num_threads(args.threads)
    summary = json.loads((args.study / "report" / "summary.json").read_text())
    tags = summary["tags"]
    arguments = TuneArgs(
        pairs=tuple(tags["pairs"].split()),
        profile=summary["profile"],
        epochs=summary["epochs"],
        seed=int(tags["seed"]),
        storage_path=str(args.study.parent),
        experiment_name=args.study.name,
        resume=True,
    )
    prepared = prepare(arguments, method=summary["method"], space_path=SPACE)
    assert load_space(SPACE).source_hash == tags["search_space.hash"], "the study was made with another search space"
    store = TrialStore.reopen(
        prepared.store_path,
        name=prepared.name,
        seed=arguments.seed,
        profile=prepared.profile,
        settings=prepared.settings(),
    )
    headings = (f"{pair} OA / AA / kappa" for pair in arguments.pairs)
    print("| configuration | method | epochs | s | " + " | ".join(headings) + " |")
    print("|---|---|---|---|" + "---|" * len(arguments.pairs), flush=True)
    for role in ("best", "defaults"):
        record = store.record(summary[role]["trial"])
        adversarial = find_method(summary["method"]).config_type.from_mapping(record.config)
        trained: dict[str, list[tuple[int, float, dict[str, dict[str, float]]]]] = {}
        for seed in range(args.seeds):
            common = {"epochs": prepared.profile.epochs, "seed": derive_seed(seed, "comparison", role)}
            runs, epochs, seconds = train_for(
                TrainingPlan(method=summary["method"], config=adversarial, **common), prepared.sources
            )
            trained.setdefault(summary["method"], []).append((epochs, seconds, target_scores(runs)))
            plain = TrainingPlan(method="cross_entropy", config=shared_config(record), **common)
            for kind, limit in (("same epochs", None), ("same seconds", seconds)):
                runs, epochs, spent = train_for(plain, prepared.sources, seconds=limit)
                trained.setdefault(f"cross-entropy, {kind}", []).append((epochs, spent, target_scores(runs)))
        for method, trainings in trained.items():
            mean_epochs, mean_seconds = (np.mean([training[i] for training in trainings]) for i in (0, 1))
            figures = [[scores[pair] for _, _, scores in trainings] for pair in arguments.pairs]
            print_row(role, method, f"{mean_epochs:.0f}", f"{mean_seconds:.0f}", figures)


def print_row(role: str, method: str, epochs: str, seconds: str, pairs: list[list[dict[str, float]]]) -> None:
    """Mean and, over several trainings, standard deviation."""
    cells = []
    for scores in pairs:
        parts = []
        for figure, factor, digits in (("oa", 100, 1), ("aa", 100, 1), ("kappa", 1, 2)):
            values = factor * np.array([s[figure] for s in scores])
            spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
            parts.append(f"{values.mean():.{digits}f}{spread}")
        cells.append(" / ".join(parts))
    print(f"| {role} | {method} | {epochs} | {seconds} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        # Read by glibc before Python starts: the allocator that trials have, for both methods.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})
    main(tyro.cli(Args, description=__doc__))
