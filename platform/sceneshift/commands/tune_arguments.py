"""The command line of the search scripts. Imports nothing heavy, so that ``--help`` answers immediately."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

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
    from sceneshift.search.profile import Profile
    from sceneshift.search.space import SearchSpace
    from sceneshift.search.spec import SearchSpec

#: The profile of ``--smoke-test``.
SMOKE_TEST = "smoke-test"


@dataclass(frozen=True, kw_only=True)
class TuneArgs(SplitFlags, FileFlags, ComputeFlags, RecordFlags):
    """Search a method's hyperparameters across source -> unseen-target scene pairs, or within one scene.

    RAY_ADDRESS and MLFLOW_TRACKING_URI are honoured; without them a local Ray and a SQLite file are used.
    """

    #: What ``--help`` shows together.
    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "": (
            *("pairs", "scene", "profile", "smoke_test", "num_samples", "time_budget_s", "selection"),
            *("experiment_name", "resume", "seed"),
        ),
        "data": (
            *("split", "by_field", "train_fraction", "train_mask", "test_mask", "cut_to_overlap", "data_dir"),
            *("catalogue", "labels", "class_names", "label_values", "unlabelled_values", "wavelengths_nm"),
            *("cube_variable", "labels_variable"),
        ),
        "search": ("max_concurrent_trials", "preset", "refit", "target_access", "record", "stall_timeout_s"),
        "training": ("epochs", "evaluate_every", "precision", "compile"),
        "resources": ("executor", "cpus_per_trial", "gpus_per_trial", "workers_per_trial", "shared_data"),
        "output": ("storage_path",),
    }

    pairs: tuple[str, ...] | None = None
    """Scene pairs, source-target; several sources are joined by +, as in nw+sw-se. No pixel may be in one pair's source
    and another pair's target. Default: the pairs or the scene of the search space."""

    scene: str | None = None
    """Search within one scene instead, by name or as a file: --split divides it into a side for training and validation
    and a test side."""

    split: Literal["blocks", "fields", "random", "fixed"] = "blocks"
    """How labelled pixels are split: blocks or fields (connected pixels of one class stay together) with a guard band,
    random (leaks: patches cover both sides), or fixed by two masks, only within one scene."""

    train_fraction: float | None = None
    """Share of each class's pixels on the training side. Default: 0.5 of a scene, 0.8 of a pair's source."""

    profile: str | None = None
    """Named size of the search, from the search space's PROFILES. Default: laptop without a GPU, paper with one."""

    num_samples: int | None = None
    """Number of trials. Default: the profile's."""

    max_concurrent_trials: int | None = None
    """Number of concurrent trials. Default: as many as fit, at most 4 without GPUs."""

    epochs: int | None = None
    """Epochs of a trial that is not stopped early. Default: the profile's."""

    selection: Annotated[str, tyro.conf.arg(help=SELECTION_HELP.format(what="trial and epoch are"))] = "source-blocks"

    evaluate_every: int = 1
    """Epochs between two evaluations of a trial; trials are only stopped early at evaluations."""

    cpus_per_trial: float | None = None
    """CPUs per trial, or per worker; also the number of threads. Default: the machine's, divided among concurrent
    trials."""

    gpus_per_trial: float | None = None
    """GPUs per trial, or per worker; 0.5 puts two on one GPU. Default: 0 for laptop, 1 for paper if there is a
    GPU."""

    executor: Literal["auto", "ray", "ray-train", "local"] = "auto"
    """Where trials run: ray, each in its own actor; ray-train, inside Ray Train's TorchTrainer; local, in this
    process, one after another, for debugging. auto: ray-train with a GPU or several workers, else ray."""

    refit: Literal["auto", "as-trial", "all", "no"] = "auto"
    """Train the chosen configuration once more on pixels drawn from every labelled field of the source, and register
    that model; tables also keep the network that was chosen. as-trial: at most as many pixels per class as
    a trial has; all: every labelled pixel; no: register the network that was chosen. auto: all with the profile paper,
    else as-trial."""

    time_budget_s: float | None = None
    """Seconds after which the search stops and closes. Default: the profile's."""

    stall_timeout_s: float = 1800.0
    """After this many seconds without an epoch from any trial, report what is being waited for and end; 0: never."""

    seed: int = 0
    """Seed of splits, suggestions and trials."""

    preset: str | None = None
    """Hold the settings of one of the method's presets in all trials, and search the others: released is S2AMSnet as
    its authors' code behaves."""

    storage_path: str = "results"
    """Directory of the studies, or a URI such as s3://bucket/path for the checkpoints."""

    shared_data: bool = False
    """All nodes of the cluster see the files of stored scenes (.arrow) under the same path: workers open them there.
    Without it, a cluster of several nodes gets them through Ray's object store, one copy per node."""

    experiment_name: str | None = None
    """Name of the study and its MLflow experiment. Default: method and time."""

    smoke_test: bool = False
    """A search just long enough to run every part: the profile smoke-test."""

    resume: bool = False
    """Resume the study named --experiment-name."""

    def __post_init__(self) -> None:
        """Reject arguments that could not be run.

        Raises:
            InvalidInputError: Naming the flag.
        """
        object.__setattr__(self, "split", named_split(self.split, by_field=self.by_field))
        check_record(self, selection=self.selection, compiles=self.compile)
        for name in ("num_samples", "max_concurrent_trials", "epochs", "workers_per_trial", "evaluate_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInputError(f"--{name.replace('_', '-')} {value}: expected at least 1.")
        if self.cpus_per_trial is not None and self.cpus_per_trial <= 0:
            raise InvalidInputError(f"--cpus-per-trial {self.cpus_per_trial}: expected more than 0.")
        if self.gpus_per_trial is not None and self.gpus_per_trial < 0:
            raise InvalidInputError(f"--gpus-per-trial {self.gpus_per_trial}: expected 0 or more.")
        if self.workers_per_trial > 1 and self.executor in ("ray", "local"):
            raise InvalidInputError(
                f"--executor {self.executor} trains in one process; leave it out for --workers-per-trial "
                f"{self.workers_per_trial}."
            )
        if self.time_budget_s is not None and self.time_budget_s <= 0:
            raise InvalidInputError(f"--time-budget-s {self.time_budget_s}: expected more than 0.")
        if not self.stall_timeout_s >= 0:
            raise InvalidInputError(f"--stall-timeout-s {self.stall_timeout_s}: expected 0 or more.")
        if self.resume and self.experiment_name is None:
            raise InvalidInputError("--resume needs --experiment-name: the name of the study to resume.")
        if self.smoke_test and self.profile not in (None, "smoke-test"):
            raise InvalidInputError(f"--smoke-test is itself a profile; leave out --profile {self.profile}.")
        if self.pairs is not None and (not self.pairs or len(set(self.pairs)) != len(self.pairs)):
            raise InvalidInputError(f"--pairs {' '.join(self.pairs)}: expected at least one pair, each once.")
        if self.pairs is not None and self.scene is not None:
            raise InvalidInputError("give --pairs or --scene, not both: their studies don't share a selection.")
        check_train_fraction(self.train_fraction, self.split)
        check_cut(self.cut_to_overlap, self.train_mask)
        check_wavelengths(self.wavelengths_nm)
        if self.scene is None and (described := self.described()):
            raise InvalidInputError(
                f"--{next(iter(described)).replace('_', '-')} describes a scene given as a file; use it with --scene, "
                "or describe the pairs' scenes in a TOML catalogue."
            )
        if self.pairs is not None and (self.split == "fixed" or self.train_mask or self.test_mask):
            raise InvalidInputError("--split fixed, --train-mask and --test-mask divide one scene; use --scene.")
        check_name("--experiment-name", self.experiment_name)

    def spec(self, method: str, space_path: Path) -> "SearchSpec":
        """The search that these flags describe.

        Raises:
            InvalidInputError: The space has no such profile, or flags are given that don't apply to its scene or pairs.
            MissingDataError: There is no such space.
        """
        from sceneshift.methods.registry import find_method
        from sceneshift.search.prepared import default_data
        from sceneshift.search.space import load_space
        from sceneshift.search.spec import SearchSpec

        space = load_space(space_path).holding(find_method(method).config_type.preset(self.preset))
        scene, pairs = (self.scene, self.pairs) if self.scene or self.pairs else (space.scene, space.pairs)
        if scene is None and (self.split == "fixed" or self.train_mask or self.test_mask):
            raise InvalidInputError("--split fixed, --train-mask and --test-mask divide one scene; name it by --scene.")
        data = default_data(
            space,
            pairs=pairs or (),
            scene=scene,
            split=self.split,
            train_fraction=self.train_fraction,
            train_mask=self.train_mask,
            test_mask=self.test_mask,
            cut_to_overlap=self.cut_to_overlap,
            data_dir=self.data_dir,
            catalogue=self.catalogue,
            described=self.described(),
        )
        return SearchSpec(
            method=method,
            space=space,
            profile=self._profile(space),
            data=data,
            name=self.experiment_name or f"{method}-{datetime.now():%Y%m%d-%H%M%S}",
            seed=self.seed,
            precision=self.precision,
            compile=self.compile,
            refit=self.refit,
            storage_path=self.storage_path,
            executor=self.executor,
            max_concurrent_trials=self.max_concurrent_trials,
            workers_per_trial=self.workers_per_trial,
            cpus_per_trial=self.cpus_per_trial,
            gpus_per_trial=self.gpus_per_trial,
            stall_timeout_s=self.stall_timeout_s,
            shared_data=self.shared_data,
            record=self.record,
            target_access=self.target_access,
            evaluate_every=self.evaluate_every,
            strategy=self.selection,
        )

    def _profile(self, space: "SearchSpace") -> "Profile":
        """The profile that the flags name, or the one that suits the machine, with the changes given by flags."""
        import torch

        if self.smoke_test:
            name = SMOKE_TEST
        elif self.profile is not None:
            name = self.profile
        else:
            name = "paper" if torch.cuda.is_available() or self.gpus_per_trial else "laptop"
        profile = space.profile(name)
        if self.num_samples is not None:
            profile = replace(profile, num_samples=self.num_samples)
        if self.time_budget_s is not None:
            profile = replace(profile, time_budget_s=self.time_budget_s)
        if self.epochs is not None:
            profile = replace(profile, epochs=self.epochs, least_epochs=None)
        return profile


def read_command_line() -> TuneArgs:
    """Read a search script's command line; prints help or errors and exits if necessary."""
    return read_arguments(TuneArgs, EXAMPLES["tune"].description())


@dataclass(frozen=True, kw_only=True)
class TuneCommand(TuneArgs):
    """The command ``sceneshift tune METHOD``."""

    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "": ("method", *TuneArgs.GROUPS[""]),
        **{title: names for title, names in TuneArgs.GROUPS.items() if title},
        "search space": ("space", "copy_space"),
    }

    method: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="METHOD", help=f"What is searched: {', '.join(METHODS)}."),
    ] = ""

    space: str | None = None
    """File of the search space. Default: the shipped one of the method."""

    copy_space: str | None = None
    """Copy the shipped search space of this method to the current folder, to be edited, and do nothing else."""

    def __post_init__(self) -> None:
        """Reject arguments that could not be run.

        Raises:
            InvalidInputError: Naming the flag.
        """
        super().__post_init__()
        if not self.method and self.copy_space is None:
            raise InvalidInputError("sceneshift tune: which method? For example: sceneshift tune s2amsnet.")

    def space_path(self) -> Path:
        """The file of the search space.

        Raises:
            InvalidInputError: There is no such method.
            MissingDataError: The method has no shipped space, and none is given.
        """
        from sceneshift.methods.registry import find_method
        from sceneshift.search.space import find_space

        find_method(self.method)
        return find_space(self.method) if self.space is None else Path(self.space)


def read_tune_command() -> TuneCommand:
    """Read the command line of ``sceneshift tune``; prints help or errors and exits if necessary."""
    return read_arguments(TuneCommand, EXAMPLES["tune"].description(first="s2amsnet"))
