"""Practices of the field that raise published figures, each a fault that is switched on here to be priced.

Most published releases choose or report the epoch by target labels; some also load the checkpoint that is best on the
target back into the network at every look, so that training is rewound to it while the optimizer goes on; many divide a
scene's pixels at random, so that patches of training and test pixels overlap; and most repeat one seed. This module
trains a network with and without each; :mod:`sceneshift.comparison.practice_prices` says what each adds.

Target labels are read after every epoch: nothing here is a result of a method.
"""

import copy
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from sceneshift.errors import InvalidInputError
from sceneshift.methods.registry import find_method
from sceneshift.scores import Scores
from sceneshift.search.space import FixedTrial, SearchSpace
from sceneshift.seeding import derive_seed
from sceneshift.studies.cells import loaded_batch, study_pixels
from sceneshift.studies.target_scores import Looker, StudyPixels
from sceneshift.tracking.provenance import code_tags
from sceneshift.training.data import DataSpec
from sceneshift.training.loop import run_epoch
from sceneshift.training.pair_run import PairRun
from sceneshift.training.spec import TrainSpec

#: How networks are trained: without a fault, on a random split of the source, or rewound to the checkpoint best on the
#: target at every look. The other faults need no training of their own.
KINDS = ("plain", "random-split", "rewound")


@dataclass(frozen=True, kw_only=True)
class PracticeDesign:
    """What is trained to price the practices.

    Args:
        pairs: Names of pairs with one source each.
        configurations: By method, the settings it is trained with.
        num_seeds: Seeds of each method on each pair.
        epochs: Of every training.
        pixels_per_class: Training pixels per class, at most.
        seed: Decides splits and the seeds of trainings.
    """

    pairs: tuple[str, ...]
    configurations: Mapping[str, Mapping[str, Any]]
    num_seeds: int = 5
    epochs: int = 40
    pixels_per_class: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_seeds", "epochs", "pixels_per_class"):
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{name} = {getattr(self, name)}; expected at least 1.")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "pairs": list(self.pairs)}

    def trainings(self) -> tuple["PracticeTraining", ...]:
        """All trainings, seed by seed, so that a part of them says something of all."""
        return tuple(
            PracticeTraining(pair=pair, method=method, kind=kind, seed=seed)
            for seed in range(self.num_seeds)
            for pair in self.pairs
            for method in self.configurations
            for kind in KINDS
        )


@dataclass(frozen=True, kw_only=True, order=True)
class PracticeTraining:
    """One training.

    Args:
        pair: The pair.
        method: The method.
        kind: One of :data:`KINDS`.
        seed: Number of the seed, 0-based.
    """

    pair: str
    method: str
    kind: str
    seed: int


def first_configuration(space: SearchSpace, *, profile: str) -> dict[str, Any]:
    """The settings of a search's second trial, which suit short trainings; of its first where it has no other.

    Weights are not averaged: what is rewound would not be what is looked at.

    Args:
        space: The method's search space.
        profile: The profile that limits it.
    """
    limits = space.profile(profile)
    first, *others = space.enqueued(limits)
    return {**space.config(FixedTrial(others[0] if others else first), limits), "average_from": 1.0}


def train_practice(design: PracticeDesign, training: PracticeTraining, *, data_dir: str | None) -> dict[str, Any]:
    """Train a network, looking at its target after every epoch.

    Args:
        design: The design.
        training: Which of its trainings.
        data_dir: Folder of the scenes' files.

    Returns:
        Plain values: the training, and by epoch OA and AA of the target and of the source's held-out pixels, 0..1.

    Raises:
        SceneshiftError: The data isn't there, or a setting doesn't fit it.
    """
    torch.set_num_threads(1)
    spec = _spec(design, training, data_dir)
    data = loaded_batch(spec.data)
    pixels = study_pixels(spec.data)
    looker = Looker(spec, data, pixels)
    run = PairRun(spec, data.sources, torch.device("cpu"))
    values: dict[str, list[float]] = {name: [] for name in ("target_oa", "target_aa", "source_oa", "source_aa")}
    best, best_weights = -1.0, copy.deepcopy(run.method.classifier.state_dict())
    began = time.perf_counter()
    for epoch in range(1, spec.epochs + 1):
        metrics = run_epoch([run], epoch)
        reached = look_at_target(run, looker, pixels)
        for name in ("oa", "aa"):
            values[f"target_{name}"].append(reached[name])
            values[f"source_{name}"].append(metrics[f"val/{name}"])
        if reached["oa"] > best:
            best, best_weights = reached["oa"], copy.deepcopy(run.method.classifier.state_dict())
        if training.kind == "rewound":
            run.method.classifier.load_state_dict(best_weights)  # the optimizer goes on with what it has
    return {
        **asdict(training),
        **values,
        "seconds": time.perf_counter() - began,
        "target_labels_read": True,
        "code": code_tags(),
    }


def look_at_target(run: PairRun, looker: Looker, pixels: StudyPixels) -> dict[str, float]:
    """OA, AA and kappa of a network on the labelled target pixels that a study looks at, 0..1.

    Args:
        run: The network's training.
        looker: Predicts them.
        pixels: The pixels with their labels.
    """
    look = looker.candidates({"pairs": {run.pair_name: run.state_dict()}})[False]
    num_classes = run.sources[0].scene.num_classes
    return Scores.from_labels(pixels.target_labels, look.target, num_classes=num_classes).as_dict()


def _spec(design: PracticeDesign, training: PracticeTraining, data_dir: str | None) -> TrainSpec:
    config = find_method(training.method).config_type.from_mapping(design.configurations[training.method])
    spec = TrainSpec(
        method=training.method,
        config=config,
        epochs=design.epochs,
        # The same for all kinds, so that they begin with the same weights and are compared in pairs.
        seed=derive_seed(design.seed, "practices", training.seed),
        data=DataSpec(
            pairs=(training.pair,),
            patch_size=config.patch_size,
            pixels_per_class=design.pixels_per_class,
            seed=design.seed,
            data_dir=data_dir,
        ),
    )
    if training.kind != "random-split":
        return spec
    return replace(spec, data=replace(spec.data, split="random"))
