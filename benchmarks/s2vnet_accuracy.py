"""Accuracy of S2VNet on Indian Pines, last epoch, over splits, seeds and departures towards the authors' release.

python benchmarks/s2vnet_accuracy.py --train-mask TR.tif --test-mask TE.tif              # every row, hours on one core
python benchmarks/s2vnet_accuracy.py --splits random --variants paper --seeds 0 1 2
python benchmarks/s2vnet_accuracy.py --table                                             # the table of what there is

Each training is one line of ``benchmarks/s2vnet_accuracy.jsonl``; what is there is not trained again. Nothing is chosen
by test labels, which stratify the splits at random and by blocks. Two scores of the same weights are kept: with
batch-norm statistics averaged again over the training pixels (what the platform reports) and with those that training
itself has kept. A third, of the first with the test pixels in random order instead of line by line, shows whether a
patch's class depends on the rest of the batch.

This is no file of ``comparisons/``: those are of pairs, and tune; here one scene is divided in three ways, nothing is
tuned, and the same weights are scored in three ways. ``comparisons/s2vnet.toml`` compares the same networks on pairs.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.svm import SVC

from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import InScene
from sceneshift.catalogue.target import TargetScorer, open_target
from sceneshift.methods.s2vnet import S2VNetConfig
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scores import Scores
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import everything_split
from sceneshift.training.evaluation import map_scene, predict_pixels
from sceneshift.training.loop import train
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan

RESULTS = Path(__file__).with_suffix(".jsonl")

#: What is changed of the defaults, by the name the table gives it.
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "release's endmembers": {"released_endmembers": True},
    "release's decoder input": {"released_decoder_input": True},
    "release's batch axis": {"released_batch_axis": True},
    "release's cosine": {"released_cosine": True},
}
SVM = "SVM"
SPLITS = ("fixed", "random", "blocks")


def recipe_of(split: str, seed: int, arguments: argparse.Namespace) -> InScene:
    """Indian Pines, a tenth of each class training unless the split is fixed by masks."""
    masks = {"train_mask": arguments.train_mask, "test_mask": arguments.test_mask} if split == "fixed" else {}
    return InScene(scene="indian_pines", split=split, patch_size=7, seed=seed, **masks)


def svm_scores(pair: ScenePair, door: TargetScorer) -> Scores:
    """RBF, C = 100, on spectra scaled band by band to [0, 1]."""
    normalization = Normalization.fit("minmax-per-band", pair.source.cube)
    spectra = normalization.apply(pair.source.cube).reshape(-1, pair.source.num_bands)
    labels = pair.source.labels.ravel()
    machine = SVC(C=100).fit(spectra[labels > 0], labels[labels > 0])
    return door.score(machine.predict(spectra).reshape(pair.target.shape))


def train_once(pair: ScenePair, variant: str, seed: int, epochs: int) -> tuple[PairRun, float]:
    """The run after its last epoch, with the statistics training has kept, and its seconds."""
    split = everything_split(pair.source, patch_size=7)
    source = SourceDomain(pair_name=pair.name, scene=pair.source, split=split)
    config = S2VNetConfig(calibrate_bn=False, **VARIANTS[variant])
    plan = TrainingPlan(method="s2vnet", config=config, epochs=epochs, seed=seed, evaluate_every=0)
    started = time.perf_counter()
    (run,) = train(plan, [source], report=lambda _: None)
    return run, time.perf_counter() - started


def in_random_order(run: PairRun, cube: NDArray[np.float32], pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Class ids of the whole map, pixels classified in random order; 0 where a pixel isn't asked for."""
    order = np.random.default_rng(0).permutation(pixels)
    sampler = PatchSampler(cube, patch_size=7, device="cpu")
    class_map = np.ones(cube.shape[0] * cube.shape[1], dtype=np.int64)
    class_map[order] = predict_pixels(run.classifier, sampler, order) + 1
    return class_map.reshape(cube.shape[:2])


def measure(split: str, seed: int, variant: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One row."""
    recipe = recipe_of(split, seed, arguments)
    pair = load_pair(recipe)
    assert pair.test_split is not None
    row: dict[str, Any] = {
        "split": split,
        "seed": seed,
        "variant": variant,
        "train": len(pair.test_split.train),
        "test": len(pair.test_split.validation),
        "separation": asdict(pair.test_split.separation(7)),
        "classes_scored": len(pair.test_split.scored_classes),
    }
    if variant == SVM:
        return row | {"scores": svm_scores(pair, open_target(recipe)).as_dict()}
    run, seconds = train_once(pair, variant, seed, arguments.epochs)
    cube = run.normalization.apply(pair.target.cube)
    maps = {"kept": map_scene(run.classifier, cube, patch_size=7, device="cpu")}
    run.config = replace(run.config, calibrate_bn=True)
    run.prepare_evaluation()
    maps["scores"] = map_scene(run.classifier, cube, patch_size=7, device="cpu")
    maps["random order"] = in_random_order(run, cube, pair.test_split.validation)
    door = open_target(recipe)
    scores = {name: door.score(class_map).as_dict() for name, class_map in maps.items()}
    return row | {"epochs": arguments.epochs, "train_s": round(seconds, 1), **scores}


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over seeds, as Markdown, in per cent."""
    lines = [
        "| split | network | seeds | OA | AA | kappa | OA, statistics of training | OA, random order |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for split in SPLITS:
        for variant in (SVM, *VARIANTS):
            found = [row for row in rows if (row["split"], row["variant"]) == (split, variant)]
            if found:
                cells = [_spread([row["scores"][figure] for row in found]) for figure in ("oa", "aa", "kappa")]
                cells += [
                    _spread([row[way]["oa"] for row in found]) if way in found[0] else ""
                    for way in ("kept", "random order")
                ]
                lines.append(f"| {split} | {variant} | {len(found)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.1f}{deviation}"


def main() -> int:
    """Train what is missing, one row after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # argparse adds what is given to a default, so the defaults come afterwards.
    parser.add_argument("--splits", nargs="+", action="extend", choices=SPLITS, help="default: all")
    parser.add_argument("--variants", nargs="+", action="extend", choices=[SVM, *VARIANTS], help="default: all")
    parser.add_argument("--seeds", nargs="+", action="extend", type=int, help="default: 0 1 2")
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--train-mask", help="of the fixed split")
    parser.add_argument("--test-mask", help="of the fixed split")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not arguments.table:
        for variant in arguments.variants or [SVM, *VARIANTS]:
            for split in arguments.splits or SPLITS:
                for seed in arguments.seeds or [0, 1, 2]:
                    if (split, seed, variant) in {(r["split"], r["seed"], r["variant"]) for r in _rows(arguments)}:
                        continue
                    row = measure(split, seed, variant, arguments)
                    with arguments.results.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(json.dumps(row), flush=True)
    print(table(_rows(arguments)))
    return 0


def _rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    path: Path = arguments.results
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
