"""Everything a training needs that can be checked before any compute is spent."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import Recipe
from sceneshift.catalogue.units import describe_units, refuse_normalization
from sceneshift.errors import InvalidInputError
from sceneshift.methods.method import MethodConfig
from sceneshift.methods.registry import find_method
from sceneshift.report.separation import separation_rows, separation_tags
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import Split
from sceneshift.study.arguments import repeatable_arguments
from sceneshift.study.preparation import writable_root
from sceneshift.study.run_record import RunRecord, open_run_directory
from sceneshift.study.scene_data import (
    SOURCE_FRACTION,
    definition_hashes,
    describe_pair,
    in_scene_recipe,
    pair_recipe,
    source_split,
)
from sceneshift.study.train_arguments import TrainArgs
from sceneshift.training.loop import TrainingPlan
from sceneshift.training.precision import check_precision

#: Share of each class's pixels that train within one scene, where the command line says nothing.
IN_SCENE_FRACTION = 0.1

#: What chose the network that a training keeps.
LAST_EPOCH = "none, the last epoch of one training"


@dataclass(frozen=True, kw_only=True)
class PreparedTraining:
    """A training that has been checked and may begin.

    Args:
        name: The run's name.
        arguments: The command line.
        plan: What is trained, and how long.
        device: Where.
        recipe: What the pair is made from; the closing opens the target by it.
        pair: Source, and target without labels.
        source: What trains.
        directory: The run's local directory.
    """

    name: str
    arguments: TrainArgs
    plan: TrainingPlan
    device: torch.device
    recipe: Recipe
    pair: ScenePair
    source: SourceDomain
    directory: Path

    @property
    def checkpoint_location(self) -> str:
        """Where the run keeps its checkpoints."""
        return str(self.directory / "checkpoints")

    @property
    def in_ray_train(self) -> bool:
        """Whether it trains inside Ray Train."""
        return self.arguments.trainer == "train" or self.arguments.workers_per_trial > 1

    @property
    def split_name(self) -> str:
        """How labelled pixels were divided, as tables call it."""
        arguments = self.arguments
        fraction = train_fraction(arguments)
        return arguments.split if fraction is None else f"{arguments.split} {fraction:g}"

    def separation(self) -> list[dict[str, Any]]:
        """How separate validation or test pixels are from those that train."""
        return separation_rows(self.pair, self.source.split)

    def settings(self) -> dict[str, Any]:
        """What a resumed training must agree with, as plain values."""
        plan, test = self.plan, self.pair.test_split
        return {
            "method": plan.method,
            "config": asdict(plan.config),
            "epochs": plan.epochs,
            "seed": plan.seed,
            "precision": plan.precision,
            "trained on": self.pair.name,
            "split": self.split_name,
            "split hash": self.source.split.content_hash,
            **({} if test is None else {"test split hash": test.content_hash}),
            **definition_hashes([self.recipe]),
            "source shape": self.source.scene.cube.shape,
            "target shape": self.pair.target.cube.shape,
            "classes": self.pair.class_names,
        }

    def origin(self) -> dict[str, str]:
        """The code and the data a result came from. A resumed training may differ in them, and says so."""
        from sceneshift.tracking.provenance import code_origin

        return {
            **code_origin(),
            "source data": self.source.scene.content_hash,
            "target data": self.pair.target.cube_hash,
        }

    def tags(self) -> dict[str, str]:
        """Where the run comes from."""
        from sceneshift.tracking.provenance import REPEAT_TAG, code_tags

        test = self.pair.test_split
        return {
            **code_tags(),
            REPEAT_TAG: json.dumps({"arguments": repeatable_arguments(self.arguments)}),
            "method": self.plan.method,
            "trained_on": self.pair.name,
            "split": self.split_name,
            "seed": str(self.plan.seed),
            "selection": LAST_EPOCH,
            "split.hash": self.source.split.content_hash,
            **({} if test is None else {"test_split.hash": test.content_hash}),
            "source.hash": self.source.scene.content_hash,
            "target.hash": self.pair.target.cube_hash,
            **({} if (units := describe_units(self.pair)) is None else {"units": units}),
            **separation_tags(self.separation()),
        }

    def announcement(self) -> list[str]:
        """What is about to happen, for the first lines a user sees."""
        plan, split, pair = self.plan, self.source.split, self.pair
        workers = self.arguments.workers_per_trial
        by = (f", {workers} workers" if workers > 1 else "") + (" in Ray Train" if self.in_ray_train else "")
        lines = [
            f"run                  {self.name}",
            f"kept in              {self.directory}",
            f"method               {plan.method}, {plan.epochs} epochs, seed {plan.seed}, {plan.precision}, "
            f"{self.device.type}{by}",
            f"                     {_as_words(asdict(plan.config))}",
            *self.recipe.catalogue.announcement(),
        ]
        return [*lines, *describe_pair(pair, split)]

    def open_directory(self, *, tracking: str) -> RunRecord:
        """Make the run's directory, or check that a resumed run is the same; see :func:`open_run_directory`."""
        return open_run_directory(
            self.directory,
            self.name,
            resume=self.arguments.resume,
            now=RunRecord(settings=self.settings(), origin=self.origin(), tracking=tracking, changes=()),
        )


def prepare_training(arguments: TrainArgs) -> PreparedTraining:
    """Read and check everything a training needs.

    Raises:
        InvalidInputError: An argument or the data doesn't allow the training.
        MissingDataError: The data isn't there.
    """
    method = find_method(arguments.method)
    config = method.config_type.from_mapping(arguments.settings())
    device = _device(arguments)
    check_precision(arguments.precision, on_gpu=device.type == "cuda")
    plan = TrainingPlan(
        method=arguments.method,
        config=config,
        epochs=arguments.epochs or method.published_epochs,
        seed=arguments.seed,
        precision=arguments.precision,
        compile=arguments.compile,
        evaluate_every=arguments.evaluate_every,
    )
    plan.check_workers(arguments.workers_per_trial)
    if arguments.compile and device.type == "cpu":
        raise InvalidInputError("--compile is for GPUs; on a CPU the hot loops are compiled as it is.")
    root = writable_root(arguments.storage_path)
    recipe = _recipe(arguments, config)
    pair = load_pair(recipe)
    refuse_normalization(pair, config.normalization)
    source = SourceDomain(pair_name=pair.name, scene=pair.source, split=_source_split(arguments, config, pair))
    name = arguments.run_name or f"{arguments.method}-{pair.name}-{arguments.split}-{datetime.now():%Y%m%d-%H%M%S}"
    return PreparedTraining(
        name=name,
        arguments=arguments,
        plan=plan,
        device=device,
        recipe=recipe,
        pair=pair,
        source=source,
        directory=root / arguments.experiment_name / name,
    )


def train_fraction(arguments: TrainArgs) -> float | None:
    """The share of each class's pixels that train; None where a split has none."""
    if arguments.split in ("fixed", "all"):
        return None
    if arguments.train_fraction is not None:
        return arguments.train_fraction
    return IN_SCENE_FRACTION if arguments.scene is not None else SOURCE_FRACTION


def _recipe(arguments: TrainArgs, config: MethodConfig) -> Recipe:
    if arguments.pair is not None:
        return pair_recipe(arguments, arguments.pair)
    assert arguments.scene is not None
    return in_scene_recipe(
        arguments,
        arguments.scene,
        fraction=train_fraction(arguments) or IN_SCENE_FRACTION,
        patch_size=config.patch_size,
        seed=arguments.seed,
    )


def _source_split(arguments: TrainArgs, config: MethodConfig, pair: ScenePair) -> Split:
    return source_split(
        pair,
        # Within one scene the test side is all that is held back.
        arguments.split if pair.test_split is None else "all",
        fraction=train_fraction(arguments) or SOURCE_FRACTION,
        patch_size=config.patch_size,
        seed=arguments.seed,
    )


def _device(arguments: TrainArgs) -> torch.device:
    available = torch.cuda.is_available()
    if arguments.device == "cuda" and not available:
        raise InvalidInputError("--device cuda: torch sees no GPU here; use --device cpu.")
    return torch.device("cuda" if available and arguments.device != "cpu" else "cpu")


def _as_words(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in config.items())


def training_counts(training: PreparedTraining) -> list[int]:
    """Training pixels of each class, K numbers."""
    labels = training.source.labels_of(training.source.split.train)
    return [int(n) for n in np.bincount(labels, minlength=training.source.scene.num_classes)]
