"""A training that has been checked and may begin: what it trains, where, and the settings checked on resume."""

import json
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from sceneshift.catalogue.units import describe_units, refuse_normalization
from sceneshift.engine.run_record import RunRecord, open_run_directory
from sceneshift.errors import InvalidInputError
from sceneshift.report.separation import separation_of, separation_tags
from sceneshift.search.prepared import writable_root
from sceneshift.selection.outputs import check_features
from sceneshift.selection.registry import find_strategy
from sceneshift.selection.strategy import Setting, SourceBlocks, Strategy
from sceneshift.tracking.provenance import SPEC_TAG, code_origin, code_tags
from sceneshift.training.data import LoadedData
from sceneshift.training.precision import check_precision
from sceneshift.training.spec import TrainSpec, flat

#: The criterion that chose the network a training keeps.
LAST_EPOCH = "none, the last epoch of one training"

#: The tag with the name of the strategy that chooses the epoch, where one does.
STRATEGY_TAG = "strategy"

#: Where a training can run; "auto" is "ray-train" with several workers, else "local".
TRAIN_EXECUTORS = ("auto", "local", "ray", "ray-train")

#: The devices a training can run on; "auto" is "cuda" if there is a GPU.
DEVICES = ("auto", "cpu", "cuda")

#: The fields of a specification that say where files are, but nothing about their content.
_PLACES = (
    *(f"data.{name}" for name in ("scene", "data_dir", "catalogue", "train_mask", "test_mask")),
    "compile",
    "evaluate_every",
)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a training runs and is stored; none of this changes its results, except for rounding.

    Args:
        name: Name of the run; by default method, data, split and time.
        experiment: MLflow experiment, and folder below ``storage_path``.
        storage_path: Directory under which everything is kept.
        executor: One of :data:`TRAIN_EXECUTORS`.
        device: One of :data:`DEVICES`.
        threads: CPU threads per worker; by default torch's choice, or the machine's threads divided among the workers.
        workers: Processes that train the network together, in Ray Train.
        resume: Continue the run of that name after its last epoch; a finished one is scored and mapped again.

    Raises:
        InvalidInputError: A value is unknown or out of range.
    """

    name: str | None = None
    experiment: str = "training"
    storage_path: str = "results"
    executor: str = "auto"
    device: str = "auto"
    threads: int | None = None
    workers: int = 1
    resume: bool = False

    def __post_init__(self) -> None:
        if self.executor not in TRAIN_EXECUTORS:
            raise InvalidInputError(f"executor = {self.executor!r}; expected one of {', '.join(TRAIN_EXECUTORS)}.")
        if self.device not in DEVICES:
            raise InvalidInputError(f"device = {self.device!r}; expected one of {', '.join(DEVICES)}.")
        for name in ("threads", "workers"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InvalidInputError(f"{name} = {value}; expected at least 1.")
        if self.workers > 1 and self.executor in ("local", "ray"):
            raise InvalidInputError(
                f"executor {self.executor!r} trains in one process; {self.workers} workers need 'ray-train'."
            )
        if self.resume and self.name is None:
            raise InvalidInputError("a run is resumed by its name; none was given.")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InvalidInputError("--device cuda: torch sees no GPU here; use --device cpu.")

    @property
    def in_ray(self) -> str | None:
        """The executor on Ray that trains, or None for this process."""
        if self.executor == "auto":
            return "ray-train" if self.workers > 1 else None
        return None if self.executor == "local" else self.executor

    @property
    def torch_device(self) -> torch.device:
        """The device for training and mapping."""
        return torch.device("cuda" if torch.cuda.is_available() and self.device != "cpu" else "cpu")


@dataclass(frozen=True, kw_only=True)
class PreparedTraining:
    """A training that has been checked and may begin.

    Args:
        spec: What is trained.
        options: Where it is trained and stored.
        name: The run's name.
        data: Scenes, splits and training pixels.
        directory: The run's local directory.
        selection: Name of the strategy that chooses the epoch; None keeps the last.
    """

    spec: TrainSpec
    options: RunOptions
    name: str
    data: LoadedData
    directory: Path
    selection: str | None = None

    @property
    def strategy(self) -> Strategy[Any]:
        """The strategy that chooses the epoch; source-blocks, which takes the last one, where none was asked for."""
        return find_strategy(self.selection or SourceBlocks.name)

    @property
    def selection_rule(self) -> str:
        """The criterion that chooses the network that is kept."""
        return LAST_EPOCH if self.selection is None else self.strategy.rule

    @property
    def checkpoint_location(self) -> str:
        """The directory or URI of the run's checkpoints."""
        return str(self.directory / "checkpoints")

    @property
    def trained_on(self) -> str:
        """The names of the pairs, or the name of the scene."""
        return " ".join(pair.name for pair in self.data.pairs)

    def separation(self) -> list[dict[str, Any]]:
        """How separate validation or test pixels are from training pixels."""
        return [row for pair in self.data.pairs for row in separation_of(pair, self.data.sources_of(pair.name))]

    def settings(self) -> dict[str, Any]:
        """The settings that must be the same on resume, as plain values."""
        # A training without a record has the settings of earlier versions, which knew none.
        left_out = _PLACES if self.spec.record else (*_PLACES, "record", "target_access")
        own = {name: value for name, value in flat(self.spec.as_dict()).items() if name not in left_out}
        # Only where something chooses: earlier versions always kept the last epoch.
        chosen = {} if self.selection is None else {"selection": self.selection}
        return {**own, **chosen, "trained_on": self.trained_on, **self.data.identity()}

    def origin(self) -> dict[str, str]:
        """Hashes of the code and data behind a result. On resume they may differ, which is reported."""
        return {**code_origin(), **self.data.origin()}

    def tags(self) -> dict[str, str]:
        """The tags that say where the run comes from."""
        stated = {pair.name: units for pair in self.data.pairs if (units := describe_units(pair)) is not None}
        return {
            **code_tags(),
            SPEC_TAG: json.dumps(self.spec.as_dict()),
            "method": self.spec.method,
            "trained_on": self.trained_on,
            "split": self.data.spec.split_name,
            "seed": str(self.spec.seed),
            "selection": self.selection_rule,
            **({} if self.selection is None else {STRATEGY_TAG: self.selection}),
            "record": "yes" if self.spec.record else "no",
            "target_access": self.spec.target_access,
            **self.data.hashes(),
            **{f"units.{name}": units for name, units in stated.items()},
            **separation_tags(self.separation()),
        }

    def open_directory(self, *, tracking: str) -> RunRecord:
        """Make the run's directory, or check that a resumed run is the same; see :func:`open_run_directory`.

        Args:
            tracking: Where MLflow stores the run.
        """
        return open_run_directory(
            self.directory,
            self.name,
            resume=self.options.resume,
            now=RunRecord(settings=self.settings(), origin=self.origin(), tracking=tracking, changes=()),
        )

    def params(self) -> dict[str, Any]:
        """The run's parameters in MLflow."""
        spec = self.spec.as_dict()
        return {
            "trained on": self.trained_on,
            "split": self.data.spec.split_name,
            **{name: spec[name] for name in ("method", "epochs", "seed", "precision")},
            **spec["config"],
        }


def check_selection(spec: TrainSpec, selection: str) -> None:
    """Refuse a strategy that can't choose among the epochs of one training.

    Raises:
        InvalidInputError: There is no such strategy, or it lacks what it needs.
    """
    evaluations = 1 if spec.evaluate_every == 0 else math.ceil(spec.epochs / spec.evaluate_every)
    find_strategy(selection).check(
        Setting(
            record=spec.record,
            target_access=spec.target_access,
            split=spec.data.split,
            num_seeds=1,
            num_candidates=evaluations,
            validates=spec.data.validates and spec.data.split != "all",
        )
    )


def prepare_training(spec: TrainSpec, options: RunOptions, selection: str | None = None) -> PreparedTraining:
    """Read and check everything a training needs.

    Raises:
        InvalidInputError: A value or the data doesn't allow the training.
        MissingDataError: The data isn't there.
    """
    if selection is not None:
        check_selection(spec, selection)
    spec.check_workers(options.workers)
    on_gpu = options.torch_device.type == "cuda"
    check_precision(spec.precision, on_gpu=on_gpu)
    if spec.compile and not on_gpu:
        raise InvalidInputError("--compile is for GPUs; on a CPU the hot loops are compiled as it is.")
    root = writable_root(options.storage_path)
    data = spec.data.load()
    for pair in data.pairs:
        spec.check_sources(pair.name, len(pair.sources))
        refuse_normalization(pair, spec.config.normalization)
        if selection is not None:
            bands, classes = pair.sources[0].num_bands, len(pair.class_names)
            check_features(find_strategy(selection), spec, bands=bands, classes=classes)
    trained_on = "-".join(pair.name for pair in data.pairs)
    name = options.name or f"{spec.method}-{trained_on}-{spec.data.split}-{datetime.now():%Y%m%d-%H%M%S}"
    return PreparedTraining(
        spec=spec,
        options=options,
        name=name,
        data=data,
        directory=root / options.experiment / name,
        selection=selection,
    )
