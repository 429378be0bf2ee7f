"""What the adversarial training buys: a study's S2AMSnet against its discriminator with plain cross-entropy.

    python benchmarks/against_cross_entropy.py --study results/NAME --seeds 3

For the study's best and default configurations, the same discriminator (patch, width, batch, learning rate,
augmentation, calibrated batch norm, same split and training pixels) is trained by cross-entropy on the sources, once
for as many epochs as the study's trials and once for as many seconds as the trial took. Both are scored on the
targets, which are looked at for this comparison only: nothing is chosen by it.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import tyro

from sceneshift.methods.cross_entropy import CrossEntropyConfig
from sceneshift.scenes.catalogue import load_pair
from sceneshift.scenes.source import SourceDomain
from sceneshift.scenes.target import open_target
from sceneshift.search.ledger import Ledger, TrialRecord
from sceneshift.search.space import load_space
from sceneshift.seeding import derive_seed
from sceneshift.study.arguments import TuneArgs
from sceneshift.study.preparation import prepare
from sceneshift.training.evaluation import map_scene
from sceneshift.training.loop import PairRun, TrainingPlan, run_epoch

SPACE = Path(__file__).parents[1] / "search_spaces" / "s2amsnet.py"


@dataclass(frozen=True, kw_only=True)
class Args:
    """A closed study, and how often each training is repeated."""

    study: Path
    """Directory of the study."""

    seeds: int = 3
    """Trainings of each kind."""

    threads: int = 1
    """Threads of torch; those of the study's trials make seconds comparable."""


def train_cross_entropy(
    config: CrossEntropyConfig, sources: Sequence[SourceDomain], *, seed: int, epochs: int | None, seconds: float | None
) -> tuple[list[PairRun], int]:
    """Train for a number of epochs, or for as many whole epochs as fit into a number of seconds."""
    plan = TrainingPlan(method="cross_entropy", config=config, epochs=epochs or 1, seed=seed)
    runs = [PairRun(plan, source, torch.device("cpu")) for source in sources]
    done, started = 0, time.perf_counter()
    while done < epochs if epochs is not None else time.perf_counter() - started < seconds:
        run_epoch(runs)
        done += 1
    return runs, done


def target_scores(runs: Sequence[PairRun]) -> dict[str, dict[str, float]]:
    """OA, AA and kappa on each pair's target."""
    told = {}
    for run in runs:
        name = run.source.pair_name
        cube = load_pair(name).target.cube
        class_map = map_scene(run.classifier, cube, patch_size=run.config.patch_size, device="cpu")
        told[name] = open_target(name).score(class_map).as_dict()
    return told


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
        seed=int(tags["seed"]),
        storage_path=str(args.study.parent),
        experiment_name=args.study.name,
        resume=True,
    )
    prepared = prepare(arguments, method=summary["method"], space_path=SPACE)
    assert load_space(SPACE).source_hash == tags["search_space.hash"], "the study was made with another search space"
    ledger = Ledger.reopen(
        prepared.ledger_path,
        name=prepared.name,
        seed=arguments.seed,
        profile=prepared.profile,
        settings=prepared.settings(),
    )
    rows = {(row["pair"], row["role"]): row["target"] for row in summary["scores"]}
    print(
        "| configuration | method | epochs | s | " + " | ".join(f"{p} OA / AA / kappa" for p in arguments.pairs) + " |"
    )
    print("|---|---|---|---|" + "---|" * len(arguments.pairs))
    for role in ("best", "defaults"):
        record = ledger.record(summary[role]["trial"])
        adversarial = [[rows[pair, role]] for pair in arguments.pairs]
        print_row(role, summary["method"], f"{record.last_epoch}", f"{record.seconds:.0f}", adversarial)
        for kind, epochs, seconds in (("same epochs", record.last_epoch, None), ("same seconds", None, record.seconds)):
            told, counts, started = [], [], time.perf_counter()
            for seed in range(args.seeds):
                runs, done = train_cross_entropy(
                    shared_config(record),
                    prepared.sources,
                    seed=derive_seed(seed, "cross-entropy", role),
                    epochs=epochs,
                    seconds=seconds,
                )
                told.append(target_scores(runs))
                counts.append(done)
            wall = (time.perf_counter() - started) / args.seeds
            figures = [[scores[pair] for scores in told] for pair in arguments.pairs]
            print_row(role, f"cross-entropy, {kind}", f"{np.mean(counts):.0f}", f"{wall:.0f}", figures)


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
    main(tyro.cli(Args, description=__doc__))
