"""The command line of the training script. Imports nothing heavy, so that ``--help`` answers immediately."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from sceneshift.commands.command_line import read_arguments
from sceneshift.commands.examples import EXAMPLES
from sceneshift.commands.flags import (
    SELECTION_HELP,
    ComputeFlags,
    FileFlags,
    RecordFlags,
    SplitFlags,
    check_cut,
    check_name,
    check_record,
    check_train_fraction,
    check_wavelengths,
    named_split,
)
from sceneshift.errors import InvalidInputError
from sceneshift.methods.registry import METHODS

if TYPE_CHECKING:
    from sceneshift.engine.prepared_training import RunOptions
    from sceneshift.training.spec import TrainSpec

#: Settings of a method that have their own flag.
OWN_FLAGS = ("patch_size", "batch_size", "lr")


@dataclass(frozen=True, kw_only=True)
class TrainArgs(SplitFlags, FileFlags, ComputeFlags, RecordFlags):
    """Train one network, on one scene or on the source of a scene pair, and map the whole scene or the target.

    MLFLOW_TRACKING_URI is honoured; without it a SQLite file is used.
    """

    #: What ``--help`` shows together.
    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "": (
            *("method", "scene", "pair", "split", "epochs", "patch_size", "set", "run_name", "resume", "from_run"),
            *("seed", "list_settings"),
        ),
        "data": (
            *("by_field", "train_fraction", "pixels_per_class", "train_mask", "test_mask", "cut_to_overlap"),
            *("data_dir", "catalogue", "labels", "class_names", "label_values", "unlabelled_values"),
            *("wavelengths_nm", "cube_variable", "labels_variable"),
        ),
        "training": (
            "batch_size",
            "lr",
            "preset",
            "evaluate_every",
            "selection",
            "target_access",
            "record",
            "precision",
            "compile",
        ),
        "resources": ("device", "threads", "executor", "workers_per_trial"),
        "output": ("experiment_name", "storage_path"),
    }

    method: Annotated[str, tyro.conf.arg(help=f"What is trained: {', '.join(METHODS)}.")] = ""

    from_run: str | None = None
    """Repeat an MLflow run, a trial of a search or a training, with its seed, settings, pixels and data, and report
    whether the results are the same. Everything else is taken from that run."""

    scene: str | None = None
    """A scene, by name or as a file, divided by --split into training and test pixels; alternatively give --pair. What
    the file doesn't say is given by --labels, --class-names, --label-values and --wavelengths-nm."""

    pair: str | None = None
    """A scene pair, source-target: trains on the source, tests on all labelled pixels of the target. Several sources
    are joined by +, as in nw+sw-se."""

    split: Literal["blocks", "fields", "random", "fixed", "all"] = "blocks"
    """How labelled pixels are split: blocks or fields (connected pixels of one class stay together) with a guard band;
    random (common in the literature, but leaks: patches cover both sides); fixed by two masks. With --pair, the
    source is split into training and validation pixels; all: use all pixels for training."""

    train_fraction: float | None = None
    """Share of each class's pixels used for training. Default: 0.1 with --scene, 0.8 with --pair."""

    pixels_per_class: int | None = None
    """Maximum of training pixels per class and source, drawn from those of the split. Default: all of them."""

    patch_size: int | None = None
    """Side of the patches in pixels. Default: the method's."""

    batch_size: int | None = None
    """Patches per step. Default: the method's."""

    lr: float | None = None
    """Learning rate. Default: the method's."""

    epochs: int | None = None
    """Passes over the training pixels. Default: the method's, as published."""

    preset: str | None = None
    """Start from one of the method's presets instead of its defaults; other flags and --set change single settings.
    released is S2AMSnet as its authors' code behaves."""

    set: tuple[str, ...] = ()
    """Any other setting of the method, as name=value: --set lambda_sad=0.5 width=64. To list them: --method METHOD
    --list-settings."""

    list_settings: bool = False
    """List the settings of --method with their defaults, and train nothing."""

    seed: int = 0
    """Seed of the split, the initial weights and all random draws."""

    evaluate_every: int = 0
    """Epochs between two evaluations; 0: only at the end. Without --selection they choose nothing."""

    selection: Annotated[
        str | None,
        tyro.conf.arg(help=SELECTION_HELP.format(what="the epoch is") + " Default: the last epoch's network is kept."),
    ] = None

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to train on; auto: a GPU if there is one."""

    threads: int | None = None
    """CPU threads, per worker if there are several. Default: torch's choice, or the machine's threads divided among the
    workers. Weights are only reproducible bit for bit with one thread."""

    executor: Literal["auto", "local", "ray", "ray-train"] = "auto"
    """Where to train: local, in this process; ray, in an actor; ray-train, inside Ray Train's TorchTrainer. auto:
    ray-train with several workers, else local."""

    storage_path: str = "results"
    """Directory for all results."""

    experiment_name: str = "training"
    """MLflow experiment of the run, and folder under --storage-path."""

    run_name: str | None = None
    """Name of the run. Default: method, scene or pair, split and time."""

    resume: bool = False
    """Resume the run named --run-name after its last epoch; a finished run is scored and mapped again."""

    def __post_init__(self) -> None:
        """Reject arguments that could not be run.

        Raises:
            InvalidInputError: Naming the flag.
        """
        if self.from_run is not None:
            self._check_from_run()
            return
        if not self.method:
            raise InvalidInputError(f"--method is missing; expected one of {', '.join(METHODS)}.")
        if self.list_settings:
            return
        object.__setattr__(self, "split", named_split(self.split, by_field=self.by_field))
        if (self.scene is None) == (self.pair is None):
            raise InvalidInputError(
                "give either --scene (train and test in one scene) or --pair (train on a source, test on its target)."
            )
        for name, least in (
            ("pixels_per_class", 1),
            ("patch_size", 1),
            ("batch_size", 1),
            ("epochs", 1),
            ("threads", 1),
            ("evaluate_every", 0),
            ("workers_per_trial", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InvalidInputError(f"--{name.replace('_', '-')} {value}: expected at least {least}.")
        check_record(self, selection=self.selection, compiles=self.compile)
        if self.selection is not None and self.evaluate_every == 0:
            raise InvalidInputError(
                f"--selection {self.selection} chooses among evaluated epochs, and only the last one is evaluated; add "
                "--evaluate-every."
            )
        check_train_fraction(self.train_fraction, self.split)
        check_cut(self.cut_to_overlap, self.train_mask)
        check_wavelengths(self.wavelengths_nm)
        if self.pair is not None and (described := self.described()):
            raise InvalidInputError(
                f"--{next(iter(described)).replace('_', '-')} describes a scene given as a file; use it with --scene, "
                "or describe the pair's scenes in a TOML catalogue."
            )
        if self.scene is not None and self.split == "all":
            raise InvalidInputError("--split all with --scene leaves no pixel to test; use it with --pair.")
        if self.pair is not None and self.split == "fixed":
            raise InvalidInputError("--split fixed divides one scene; use it with --scene.")
        if self.pair is not None and (self.train_mask or self.test_mask):
            raise InvalidInputError("--train-mask and --test-mask go with --scene and --split fixed.")
        no_pixels = self.target_access == "none"
        if self.evaluate_every and no_pixels and (self.scene is not None or self.split == "all"):
            raise InvalidInputError(
                f"--evaluate-every {self.evaluate_every}: no pixel validates with "
                + ("--scene" if self.scene is not None else "--split all")
                + "; leave it out."
            )
        if self.record and self.target_access == "none" and (self.scene is not None or self.split == "all"):
            raise InvalidInputError(
                "--record: no pixel validates with "
                + ("--scene" if self.scene is not None else "--split all")
                + ", and none of the target may be seen; add --target-access unlabelled."
            )
        if self.workers_per_trial > 1 and self.executor in ("local", "ray"):
            raise InvalidInputError(
                f"--executor {self.executor} trains in one process; leave it out for --workers-per-trial "
                f"{self.workers_per_trial}."
            )
        self._check_place()
        self.settings()
        if self.selection is not None:
            from sceneshift.engine.prepared_training import check_selection

            check_selection(self.spec(), self.selection)

    def _check_place(self) -> None:
        if self.resume and self.run_name is None:
            raise InvalidInputError("--resume needs --run-name: the name of the run to resume.")
        if "://" in self.storage_path:
            raise InvalidInputError(f"--storage-path {self.storage_path}: expected a local directory.")
        check_name("--experiment-name", self.experiment_name)
        check_name("--run-name", self.run_name)

    def _check_from_run(self) -> None:
        mine = ("from_run", "device", "threads", "storage_path", "experiment_name", "run_name", "resume")
        given = [f.name for f in fields(self) if f.name not in mine and getattr(self, f.name) != f.default]
        if given:
            raise InvalidInputError(
                f"--from-run takes everything from the run; leave out --{given[0].replace('_', '-')}."
            )
        if self.threads is not None and self.threads < 1:
            raise InvalidInputError(f"--threads {self.threads}: expected at least 1.")
        self._check_place()

    def settings(self) -> dict[str, Any]:
        """The given settings of the method, by name.

        Raises:
            InvalidInputError: An entry of --set is not name=value, has its own flag, or repeats another.
        """
        own = {name: getattr(self, name) for name in OWN_FLAGS}
        given: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
        for entry in self.set:
            name, equals, text = entry.partition("=")
            if not equals or not name or not text:
                raise InvalidInputError(f"--set {entry!r}: expected name=value, such as lambda_sad=0.5.")
            if name in own:
                raise InvalidInputError(f"--set {entry}: {name} has its own flag, --{name.replace('_', '-')}.")
            if name in given:
                raise InvalidInputError(f"--set {entry}: {name} is given twice.")
            try:
                given[name] = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
            except (ValueError, SyntaxError):
                given[name] = text  # a word, such as a normalization's name
        return given

    def spec(self) -> "TrainSpec":
        """The training that these flags describe.

        Raises:
            InvalidInputError: There is no such method, or it has no such setting.
        """
        from sceneshift.methods.registry import find_method
        from sceneshift.training.data import DataSpec
        from sceneshift.training.spec import TrainSpec

        method = find_method(self.method)
        config = method.config_type.from_mapping({**method.config_type.preset(self.preset), **self.settings()})
        data = DataSpec(
            pairs=() if self.pair is None else (self.pair,),
            scene=self.scene,
            split=self.split,
            # Within one scene only the test side is held back.
            validates=self.scene is None,
            train_fraction=self.train_fraction,
            train_mask=self.train_mask,
            test_mask=self.test_mask,
            cut_to_overlap=self.cut_to_overlap,
            data_dir=self.data_dir,
            catalogue=self.catalogue,
            described=self.described(),
            patch_size=config.patch_size,
            pixels_per_class=self.pixels_per_class,
            seed=self.seed,
        )
        return TrainSpec(
            method=self.method,
            config=config,
            epochs=self.epochs or method.published_epochs,
            seed=self.seed,
            precision=self.precision,
            compile=self.compile,
            evaluate_every=self.evaluate_every,
            record=self.record,
            target_access=self.target_access,
            data=data,
        )

    def options(self) -> "RunOptions":
        """Where and under which name these flags ask to train."""
        from sceneshift.engine.prepared_training import RunOptions

        return RunOptions(
            name=self.run_name,
            experiment=self.experiment_name,
            storage_path=self.storage_path,
            executor=self.executor,
            device=self.device,
            threads=self.threads,
            workers=self.workers_per_trial,
            resume=self.resume,
        )


def read_train_command_line() -> TrainArgs:
    """Read the training script's command line; prints help or errors and exits if necessary."""
    return read_arguments(TrainArgs, EXAMPLES["train"].description())
