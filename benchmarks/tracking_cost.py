"""What MLflow costs a trial: the same training with its records mirrored into MLflow and without, side by side.

    python benchmarks/tracking_cost.py --rounds 5 --epochs 10

Both sides train the defaults of the laptop profile of search_spaces/s2amsnet.py on the two embedded pairs and write
every epoch into a trial store, as a search does, in this one process; the sides alternate. The mirror writes to a
SQLite file from its own thread. In a search that thread runs in another process than the training; here it also
competes for Python's lock, so this is the more expensive case.

Two figures are printed: the ratio of the medians of wall time, which on a busy machine is mostly noise, and the CPU
seconds of the mirror's thread as a share of the trial's wall time, which is not.
"""

import json
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
import tyro

from machine import environment, print_environment
from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.methods.registry import find_method
from sceneshift.search.space import load_space
from sceneshift.search.trial_store import TrialStore
from sceneshift.splits.blocks import block_split
from sceneshift.splits.source import SourceDomain
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.datasets import training_input
from sceneshift.tracking.search_run import SearchRun
from sceneshift.training.loop import EpochReport, train
from sceneshift.training.plan import TrainingPlan

SPACE = Path(__file__).parents[1] / "search_spaces" / "s2amsnet.py"


@dataclass(frozen=True, kw_only=True)
class Args:
    """How much is measured."""

    rounds: int = 5
    """Trials per side."""

    epochs: int = 10
    """Epochs per trial."""

    threads: int = 1
    """Threads of the training."""

    json: Path | None = None
    """Where rows are written, one per trial."""


def sources_of(pairs: Sequence[str], patch_size: int, pixels_per_class: int | None) -> list[SourceDomain]:
    """The sources as the profile thins them."""
    sources = []
    for name in pairs:
        pair = load_pair(NamedPair(name=name))
        split = block_split(pair.source, patch_size=patch_size, seed=0)
        if pixels_per_class is not None:
            split = split.thinned(pair.source, pixels_per_class=pixels_per_class)
        sources.append(SourceDomain(pair_name=name, scene=pair.source, split=split))
    return sources


def main(args: Args) -> None:
    """Train with and without, in turn; print the figures."""
    torch.set_num_threads(args.threads)
    space = load_space(SPACE)
    profile = space.profile("laptop")
    default = space.default_trial(profile)
    method = find_method("s2amsnet")
    config = space.config(default, profile)
    sources = sources_of(space.pairs, space.largest_patch(profile), profile.pixels_per_class)
    plan = TrainingPlan(method="s2amsnet", config=method.config_type.from_mapping(config), epochs=args.epochs, seed=0)
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        store = TrialStore.create(
            root / "optuna.db", name="cost", seed=0, profile=profile, settings={}, first_params=[default.params]
        )
        mirror = SearchRun(
            TrackingBackend(uri=f"sqlite:///{root / 'mlflow.db'}", artifact_root=root / "artifacts"),
            study_name="cost",
            metric="val/aa",
            tags={},
            params={},
            training=[training_input(source, digest=source.scene.content_hash) for source in sources],
        )
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "mlflow-mirror"]
        assert thread.ident is not None
        clock = time.pthread_getcpuclockid(thread.ident)
        # The first trial warms caches and compiled loops up and counts for neither side.
        for index in range(1 + 2 * args.rounds):
            mirrored = index % 2 == 1
            number = store.ask(lambda trial: config).number

            def report(epoch: EpochReport, number: int = number, mirrored: bool = mirrored) -> None:
                store.report(number, epoch.epoch, epoch.metrics, {})
                if mirrored:
                    mirror.changed(store.record(number))
                else:
                    store.record(number)

            cpu, begun = time.clock_gettime(clock), time.perf_counter()
            train(plan, sources, report=report)
            wall = time.perf_counter() - begun
            while mirrored and mirror._waiting:
                time.sleep(0.1)
            time.sleep(1)  # what the thread writes a moment later belongs to this trial
            if index > 0:
                own = time.clock_gettime(clock) - cpu
                rows.append({"mirrored": mirrored, "wall_s": wall, "mirror_cpu_s": own})
                print(f"{'with' if mirrored else 'without'}  {wall:7.2f} s  mirror {own:6.3f} s CPU", flush=True)
        mirror.catch_up([])
        mirror.close("FINISHED")
    with_, without = ([row for row in rows if row["mirrored"] is side] for side in (True, False))
    walls = [median(row["wall_s"] for row in side) for side in (with_, without)]
    share = median(row["mirror_cpu_s"] / row["wall_s"] for row in with_)
    print_environment(environment(torch.device("cpu"), args.threads))
    print(f"median trial of {args.epochs} epochs: {walls[0]:.2f} s with MLflow, {walls[1]:.2f} s without")
    print(f"ratio {walls[0] / walls[1]:.4f}; CPU of the mirror: {100 * share:.2f} % of a trial")
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
