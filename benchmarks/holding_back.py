"""What trials should hold back to be chosen by, and what trained networks lose by it.

    python benchmarks/holding_back.py            # trains what benchmarks/holding_back.jsonl lacks; can be interrupted
    python benchmarks/holding_back.py --table

For each seed there is a pool of configurations, drawn at random from S2AMSnet's space within patch 5, width 32 and 8
generator channels (``holding_back_pool.json``, so that another space does not change it). On each development pair
every configuration is trained in four ways, for as many epochs on as many pixels per class:

- ``blocks``: on the training side of one split by blocks, scored on the other side: what a trial does.
- ``second``: the same with blocks drawn again. Together with ``blocks``: one network per fold.
- ``rotate``: other blocks are held back in every epoch, in turn; scored after each epoch on those it held back, and
  the mean over the last turn is its score. The network has trained on them in other epochs.
- ``fields``: on pixels drawn over all labelled fields, scored on nothing: what is registered when the choice is made.

All are scored on the target after the last epoch. A way of holding back is judged by the ``fields`` network of the
configuration it chooses, on the target, at equal seconds: with two networks per configuration, only half as many
configurations are tried. Nothing else is chosen by the target.
"""

import json
import multiprocessing
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from scipy.stats import spearmanr

from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.catalogue.target import open_target
from sceneshift.execution.cluster import ALLOCATOR
from sceneshift.methods.registry import find_method
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scores import Scores
from sceneshift.seeding import derive_seed
from sceneshift.splits.blocks import block_split
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import everything_split
from sceneshift.training.evaluation import predict_pixels
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan

HERE = Path(__file__).parent
PAIRS = ("west-east", "sw-se")
WAYS = ("blocks", "second", "rotate", "fields")
#: Splits in turn of ``rotate``.
TURN = 4


@dataclass(frozen=True, kw_only=True)
class Args:
    """How much is trained, and where it is kept."""

    record: Path = HERE / "holding_back.jsonl"
    """One line of JSON per training; trainings in it are not repeated."""

    table: bool = False
    """Print the table of the record, and train nothing."""

    seeds: int = 3
    """Pools."""

    configurations: int = 8
    """Configurations per pool."""

    epochs: int = 12
    """Epochs of a training."""

    pixels_per_class: int = 60
    """Training pixels per class."""

    at_once: int = 2
    """Concurrent trainings, one thread each."""

    at_most: int | None = None
    """Maximum of trainings in this run."""


def pool(seed: int) -> list[dict[str, Any]]:
    """A seed's configurations."""
    drawn: dict[str, list[dict[str, Any]]] = json.loads((HERE / "holding_back_pool.json").read_text())
    return drawn[str(seed)]


def sources(pair_name: str, way: str, args: Args, seed: int) -> Iterator[SourceDomain]:
    """The source with the split, or the splits in turn, of a way."""
    pair = load_pair(NamedPair(name=pair_name))
    patch = 5
    if way == "fields":
        splits = [everything_split(pair.source, patch, seed=derive_seed(seed, "fields", pair_name))]
    else:
        names = {"blocks": ["first"], "second": ["second"], "rotate": ["first", "second", "third", "fourth"]}[way]
        splits = [
            block_split(pair.source, patch_size=patch, seed=derive_seed(seed, name, pair_name), validation_fraction=0.2)
            for name in names
        ]
    for split in splits:
        thinned = split.thinned(pair.source, pixels_per_class=args.pixels_per_class)
        yield SourceDomain(pair_name=pair_name, scene=pair.source, split=thinned)


def train(job: dict[str, Any], args: Args) -> dict[str, Any]:
    """Train one network one way and score it."""
    torch.set_num_threads(1)
    values = pool(job["seed"])[job["configuration"]]
    config = find_method("s2amsnet").config_type.from_mapping(values)
    seed = derive_seed(job["seed"], "training", job["configuration"])
    plan = TrainingPlan(method="s2amsnet", config=config, epochs=args.epochs, seed=seed)
    turn = list(sources(job["pair"], job["way"], args, job["seed"]))
    started = time.perf_counter()
    run = PairRun(plan, [turn[0]], torch.device("cpu"))
    validation, target, broken = [], [], ""
    pair = load_pair(NamedPair(name=job["pair"]))
    truth = open_target(NamedPair(name=job["pair"])).ground_truth().ravel()
    known = np.flatnonzero(truth)
    seen = PatchSampler(run.normalization.apply(pair.target.cube), patch_size=config.patch_size, device="cpu")
    looking = 0.0
    for epoch in range(1, args.epochs + 1):
        run.hold_back([turn[(epoch - 1) % len(turn)]])
        losses = run.train_epoch(epoch)
        if not np.isfinite(list(losses.values())).all():
            broken = f"diverged in epoch {epoch}"
            break
        run.prepare_evaluation()
        if job["way"] != "fields":
            validation.append(run.validate()[job["pair"]].as_dict())
        if epoch % 2 == 0 or epoch == args.epochs:
            begun = time.perf_counter()
            predicted = predict_pixels(run.classifier, seen, known)
            scores = Scores.from_labels(truth[known] - 1, predicted, num_classes=pair.source.num_classes)
            target.append({"epoch": epoch, **scores.as_dict()})
            looking += time.perf_counter() - begun
    seconds = time.perf_counter() - started - looking
    results = {"validation": validation, "target": target, "seconds": round(seconds, 2), "broken": broken}
    return {**job, "config": values, **results}


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """The identity of a training."""
    return row["seed"], row["configuration"], row["pair"], row["way"]


def read(record: Path) -> list[dict[str, Any]]:
    """The trainings that are done."""
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def main(args: Args) -> None:
    """Train what is missing, or print the table."""
    if args.table:
        print(table(read(args.record)))
        return
    done = {key(row) for row in read(args.record)}
    jobs = [
        {"seed": seed, "configuration": number, "pair": pair, "way": way}
        for number in range(args.configurations)
        for seed in range(args.seeds)
        for pair in PAIRS
        for way in WAYS
    ]
    missing = [job for job in jobs if key(job) not in done][: args.at_most]
    print(f"{len(jobs) - len(missing)} of {len(jobs)} trainings are done or not requested", flush=True)
    args.record.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(args.at_once) as processes, args.record.open("a") as file:
        for count, row in enumerate(processes.imap_unordered(_Train(args), missing), start=1):
            file.write(json.dumps(row) + "\n")
            file.flush()
            left = (time.monotonic() - started) / count * (len(missing) - count)
            print(f"{count}/{len(missing)} {key(row)} {row['seconds']:.0f} s, {left / 60:.0f} min left", flush=True)


@dataclass(frozen=True)
class _Train:
    args: Args

    def __call__(self, job: dict[str, Any]) -> dict[str, Any]:
        return train(job, self.args)


Pool = dict[int, dict[str, dict[str, dict[str, Any]]]]


def pools(rows: list[dict[str, Any]]) -> dict[int, Pool]:
    """By seed and configuration, then pair and way: the configurations of which every training is done."""
    found: dict[int, Pool] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for row in rows:
        found[row["seed"]][row["configuration"]][row["pair"]][row["way"]] = row
    return {
        seed: {n: c for n, c in pool.items() if all(len(c[pair]) == len(WAYS) for pair in PAIRS)}
        for seed, pool in sorted(found.items())
    }


def validated(row: dict[str, Any]) -> float:
    """What a training is chosen by: validation AA after the last epoch, over the last turn where it rotates."""
    if row["broken"]:
        return -1.0
    last = row["validation"][-TURN:] if row["way"] == "rotate" else row["validation"][-1:]
    return float(np.mean([scores["aa"] for scores in last]))


def chosen_by(kind: str, configuration: dict[str, dict[str, dict[str, Any]]], pairs: Sequence[str]) -> float:
    """The objective of a configuration, the mean over pairs."""
    ways = {"one split": ["blocks"], "one network per fold": ["blocks", "second"], "another fold per epoch": ["rotate"]}
    return float(np.mean([validated(configuration[pair][way]) for pair in pairs for way in ways[kind]]))


def worth(configuration: dict[str, dict[str, dict[str, Any]]], pair: str, figure: str) -> float:
    """The target figure of the network trained on every field, after its last epoch; 0 where it diverged."""
    row = configuration[pair]["fields"]
    return 0.0 if row["broken"] else float(row["target"][-1][figure])


def outcome(kind: str, pool: Pool, pair: str, figure: str) -> float:
    """The target figure of what a kind chooses from a pool: the mean over all half pools where it costs twice."""
    numbers = sorted(pool)
    size = max(1, len(numbers) // 2) if kind == "one network per fold" else len(numbers)
    if kind == "chance":
        return float(np.mean([worth(pool[n], pair, figure) for n in numbers]))
    if kind == "best of the pool":
        return max(worth(pool[n], pair, figure) for n in numbers)
    return float(
        np.mean(
            [
                worth(pool[max(some, key=lambda n: chosen_by(kind, pool[n], PAIRS))], pair, figure)
                for some in combinations(numbers, size)
            ]
        )
    )


def table(rows: list[dict[str, Any]]) -> str:
    """What was chosen by each way at equal seconds, and how validation correlates with the target."""
    found = pools(rows)
    sizes = ", ".join(str(len(pool)) for pool in found.values())
    seconds = {way: np.median([row["seconds"] for row in rows if row["way"] == way]) for way in WAYS}
    lines = [
        f"{len(rows)} trainings; pools of {sizes} complete configurations; median seconds of a training: "
        + ", ".join(f"{way} {s:.0f}" for way, s in seconds.items()),
        "",
        "| chosen by (mean over both pairs) | "
        + " | ".join(f"{pair} OA / AA, on every field" for pair in PAIRS)
        + " | rank correlation with the target's AA |",
        "|---|" + "---|" * (len(PAIRS) + 1),
    ]
    for kind in ("one split", "one network per fold", "another fold per epoch", "chance", "best of the pool"):
        cells = []
        for pair in PAIRS:
            figures = []
            for figure in ("oa", "aa"):
                values = np.array([100 * outcome(kind, pool, pair, figure) for pool in found.values() if pool])
                figures.append(f"{values.mean():.1f} ± {values.std(ddof=1):.1f}")
            cells.append(" / ".join(figures))
        correlations = []
        if kind not in ("chance", "best of the pool"):
            for pair in PAIRS:
                by_pool = [
                    spearmanr(
                        [chosen_by(kind, pool[n], [pair]) for n in sorted(pool)],
                        [worth(pool[n], pair, "aa") for n in sorted(pool)],
                    ).statistic
                    for pool in found.values()
                    if len(pool) > 2
                ]
                correlations.append(f"{pair} {np.mean(by_pool):+.2f}")
        lines.append(f"| {kind} | {' | '.join(cells)} | {', '.join(correlations) or '-'} |")
    lost = [
        100 * (worth(c, pair, "aa") - c[pair]["blocks"]["target"][-1]["aa"])
        for pool in found.values()
        for c in pool.values()
        for pair in PAIRS
        if not (c[pair]["blocks"]["broken"] or c[pair]["fields"]["broken"])
    ]
    lines += [
        "",
        f"On every field instead of one side of the split: {np.mean(lost):+.1f} points of target AA, better in "
        f"{sum(v > 0 for v in lost)} of {len(lost)}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        # Read by glibc before Python starts: the allocator that trials have.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})
    main(tyro.cli(Args, description=__doc__))
