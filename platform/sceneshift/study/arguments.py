"""The command line of the search scripts. Imports nothing heavy, so that ``--help`` answers at once."""

import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sceneshift.errors import InvalidInputError
from sceneshift.study.command_line import read_arguments

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Flags that say where something is kept and how it is begun, and change nothing of what comes out.
_OF_THE_PLACE = ("storage_path", "experiment_name", "run_name", "resume", "from_run")
_PATHS = ("scene", "train_mask", "test_mask", "data_dir", "catalogue")


class SceneArgs(Protocol):
    """The flags that say how one scene is divided; all scripts spell them alike."""

    @property
    def split(self) -> str:
        """blocks, fields, random or fixed."""

    @property
    def train_mask(self) -> str | None:
        """Label map of the training pixels."""

    @property
    def test_mask(self) -> str | None:
        """Label map of the test pixels."""

    @property
    def data_dir(self) -> str | None:
        """Where the scenes' files lie."""

    @property
    def catalogue(self) -> str | None:
        """Where the user's own scenes and pairs are described."""


@dataclass(frozen=True, kw_only=True)
class TuneArgs:
    """Search a method's hyperparameters across source -> unseen-target scene pairs, or within one scene.

    RAY_ADDRESS and MLFLOW_TRACKING_URI are honoured; without them a Ray of its own and a SQLite file are used.
    """

    pairs: tuple[str, ...] | None = None
    """Scene pairs, source-target. No pixel may be in one pair's source and another pair's target. Default: the search
    space's pairs, or its scene."""

    scene: str | None = None
    """Search within one scene instead: --split divides it into a side to train and validate on and a side to test."""

    split: Literal["blocks", "fields", "random", "fixed"] = "blocks"
    """How labelled pixels are divided: blocks or fields (connected pixels of one class, kept whole) with a guard band,
    random (leaks: patches lie on both sides), or fixed by two masks, within one scene alone."""

    by_field: bool = False
    """Keep fields whole: the same as --split fields."""

    train_fraction: float | None = None
    """Share of each class's pixels on the training side. Default: 0.5 of a scene, 0.8 of a pair's source."""

    train_mask: str | None = None
    """Label map of the training pixels for --split fixed (.tif, .png, .npy, .mat); its class order is its own."""

    test_mask: str | None = None
    """Label map of the test pixels, numbered like --train-mask."""

    data_dir: str | None = None
    """Folder the scenes' files lie in, or in folders of their names there. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""

    profile: str | None = None
    """Named size of the search, from the search space's PROFILES. Default: laptop without a GPU, paper with one."""

    num_samples: int | None = None
    """Trials in all. Default: the profile's."""

    max_concurrent_trials: int | None = None
    """Trials at once. Default: as many as fit, at most 4 without GPUs."""

    epochs: int | None = None
    """Epochs of a trial that is not stopped early. Default: the profile's."""

    cpus_per_trial: float | None = None
    """CPUs of a trial, or of each of its workers, also its threads. Default: the machine's, shared among those at
    once."""

    gpus_per_trial: float | None = None
    """GPUs of a trial, or of each of its workers; 0.5 puts two on one. Default: 0 for laptop, 1 for paper where there
    is a GPU."""

    workers_per_trial: int = 1
    """Workers that train a trial together, each on its share of every batch; they come to what one comes to, up to
    rounding. Those that share a GPU exchange sums through gloo, as NCCL refuses two workers on one."""

    trainer: Literal["auto", "actor", "train"] = "auto"
    """Train in the trial's actor, or inside Ray Train's TorchTrainer; auto: train with a GPU or several workers, else
    actor."""

    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """What training computes in; weights, losses and evaluation are float32. tf32 is for CUDA devices, bfloat16
    for processors and GPUs with its instructions."""

    compile: bool = False
    """Compile the networks with torch.compile: minutes at the start of a trial, for GPUs and long trials."""

    refit: Literal["auto", "as-trial", "all", "no"] = "auto"
    """When a configuration is chosen, train it once more on pixels drawn over every labelled field of the source, and
    register that model; tables keep the network that was chosen as well. as-trial: at most as many pixels per class as
    a trial has; all: every labelled pixel; no: register the network that was chosen. auto: all with the profile paper,
    else as-trial."""

    time_budget_s: float | None = None
    """Seconds after which the search stops and closes. Default: the profile's."""

    stall_timeout_s: float = 1800.0
    """Seconds without an epoch from any trial after which the search tells what it waits for and ends; 0: never."""

    seed: int = 0
    """Seed of splits, suggestions and trials."""

    storage_path: str = "results"
    """Where studies are kept: a directory, or a URI such as s3://bucket/path for the checkpoints."""

    shared_data: bool = False
    """All nodes of the cluster see the files of stored scenes (.arrow) under the same path: workers open them there.
    Without it a cluster of several nodes gets them through Ray's object store, a copy a node."""

    experiment_name: str | None = None
    """Name of the study and its MLflow experiment. Default: method and time."""

    smoke_test: bool = False
    """A search just long enough to see every part work: the profile smoke-test."""

    resume: bool = False
    """Go on with the study of that --experiment-name."""

    def __post_init__(self) -> None:
        """Refuse what could not be run.

        Raises:
            InvalidInputError: Naming the flag.
        """
        object.__setattr__(self, "split", named_split(self.split, by_field=self.by_field))
        for name in ("num_samples", "max_concurrent_trials", "epochs", "workers_per_trial"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInputError(f"--{name.replace('_', '-')} {value}: expected at least 1.")
        if self.cpus_per_trial is not None and self.cpus_per_trial <= 0:
            raise InvalidInputError(f"--cpus-per-trial {self.cpus_per_trial}: expected more than 0.")
        if self.gpus_per_trial is not None and self.gpus_per_trial < 0:
            raise InvalidInputError(f"--gpus-per-trial {self.gpus_per_trial}: expected 0 or more.")
        if self.workers_per_trial > 1 and self.trainer == "actor":
            raise InvalidInputError(
                f"--trainer actor trains in one process; leave it out for --workers-per-trial {self.workers_per_trial}."
            )
        if self.time_budget_s is not None and self.time_budget_s <= 0:
            raise InvalidInputError(f"--time-budget-s {self.time_budget_s}: expected more than 0.")
        if not self.stall_timeout_s >= 0:
            raise InvalidInputError(f"--stall-timeout-s {self.stall_timeout_s}: expected 0 or more.")
        if self.resume and self.experiment_name is None:
            raise InvalidInputError("--resume needs --experiment-name: the name of the study to go on with.")
        if self.smoke_test and self.profile not in (None, "smoke-test"):
            raise InvalidInputError(f"--smoke-test is a profile of its own; leave out --profile {self.profile}.")
        if self.pairs is not None and (not self.pairs or len(set(self.pairs)) != len(self.pairs)):
            raise InvalidInputError(f"--pairs {' '.join(self.pairs)}: expected at least one pair, each once.")
        if self.pairs is not None and self.scene is not None:
            raise InvalidInputError("give --pairs or --scene, not both: their studies don't share a selection.")
        if self.train_fraction is not None and not 0 < self.train_fraction < 1:
            raise InvalidInputError(f"--train-fraction {self.train_fraction}: expected a share between 0 and 1.")
        if self.train_fraction is not None and self.split == "fixed":
            raise InvalidInputError("--split fixed takes no --train-fraction: the masks say what trains.")
        if self.pairs is not None and (self.split == "fixed" or self.train_mask or self.test_mask):
            raise InvalidInputError("--split fixed, --train-mask and --test-mask divide one scene; use --scene.")
        check_name("--experiment-name", self.experiment_name)


def named_split(split: str, *, by_field: bool) -> str:
    """What --split and --by-field say together.

    Raises:
        InvalidInputError: They contradict each other.
    """
    if by_field and split not in ("blocks", "fields"):  # blocks: the default, which can't be told from a given one
        raise InvalidInputError(f"--by-field keeps fields whole, --split {split} does not; give one of the two.")
    return "fields" if by_field else split


def check_name(flag: str, name: str | None) -> None:
    """Refuse a name that can't be a folder's or stand in a query of MLflow's.

    Raises:
        InvalidInputError: Naming the flag.
    """
    if name is not None and (not name or name != name.strip() or set(name) & set("/'\"") or name.startswith(".")):
        raise InvalidInputError(
            f"{flag} {name!r}: expected a name without '/', quotes, leading dot or surrounding spaces."
        )


def repeatable_arguments(arguments: "DataclassInstance") -> dict[str, Any]:
    """The command line as plain values, from which the same can be begun again elsewhere: paths made absolute."""
    values = {name: value for name, value in asdict(arguments).items() if name not in _OF_THE_PLACE}
    for name in _PATHS:
        value = values.get(name)
        # A scene is a name or the file of a stored one.
        if value is not None and (name != "scene" or Path(value).is_file()):
            values[name] = str(Path(value).resolve())
    return values


def resume_command(name_flag: str, name: str) -> str:
    """The command line of this process, gone on with.

    Args:
        name_flag: The flag that names what is gone on with; added where the command line lacks it.
        name: That name.
    """
    words = [word for word in sys.argv if word != "--resume"]
    if not any(word.split("=")[0].replace("_", "-") == name_flag for word in words):
        words += [name_flag, name]
    return shlex.join([sys.executable, *words, "--resume"])


def read_command_line(description: str) -> TuneArgs:
    """Read a search script's command line; tyro prints help or the error and exits where that is due."""
    return read_arguments(TuneArgs, description)
