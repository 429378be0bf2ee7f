"""Flags that several scripts share. Imports nothing heavy, so that ``--help`` answers immediately."""

import shlex
import sys
from dataclasses import dataclass
from typing import Literal

from sceneshift.addresses import without_secrets
from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class SplitFlags:
    """How labelled pixels are split, and where the scenes' files are."""

    by_field: bool = False
    """Keep each field on one side: the same as --split fields."""

    train_mask: str | None = None
    """Label map of the training pixels for --split fixed (.tif, .png, .npy, .mat); its class order may differ from the
    scene's."""

    test_mask: str | None = None
    """Label map of the test pixels, numbered like --train-mask."""

    data_dir: str | None = None
    """Folder with the scenes' files, directly or in subfolders named after them. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""


@dataclass(frozen=True, kw_only=True)
class ComputeFlags:
    """The precision of training, and the number of workers."""

    workers_per_trial: int = 1
    """Workers that train a network together in Ray Train, each on its share of every batch; results match one worker up
    to rounding. Workers that share a GPU exchange sums through gloo, as NCCL does not allow two on one."""

    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Precision of training; weights, losses and evaluation are in float32. tf32 is for CUDA devices, bfloat16
    for processors and GPUs with its instructions."""

    compile: bool = False
    """Compile the networks with torch.compile: takes minutes at the start; for GPUs and long trainings."""


def named_split(split: str, *, by_field: bool) -> str:
    """The split that --split and --by-field select together.

    Raises:
        InvalidInputError: They contradict each other.
    """
    if by_field and split not in ("blocks", "fields"):  # "blocks" is also the default
        raise InvalidInputError(f"--by-field keeps fields whole, --split {split} does not; give one of the two.")
    return "fields" if by_field else split


def check_name(flag: str, name: str | None) -> None:
    """Reject a name that can't be used for a folder or in an MLflow query.

    Raises:
        InvalidInputError: Naming the flag.
    """
    if name is not None and (not name or name != name.strip() or set(name) & set("/'\"") or name.startswith(".")):
        raise InvalidInputError(
            f"{flag} {name!r}: expected a name without '/', quotes, leading dot or surrounding spaces."
        )


def check_train_fraction(fraction: float | None, split: str) -> None:
    """Reject a value that is not a share, or that is given for a split without one.

    Raises:
        InvalidInputError: Naming the flag.
    """
    if fraction is not None and not 0 < fraction < 1:
        raise InvalidInputError(f"--train-fraction {fraction}: expected a share between 0 and 1.")
    if fraction is not None and split in ("fixed", "all"):
        raise InvalidInputError(f"--split {split} takes no --train-fraction.")


def resume_command(name_flag: str, name: str) -> str:
    """The command line to resume what this process has begun.

    Args:
        name_flag: The flag for its name; added if the command line lacks it.
        name: That name.
    """
    words = [word for word in sys.argv if word != "--resume"]
    if not any(word.split("=")[0].replace("_", "-") == name_flag for word in words):
        words += [name_flag, name]
    return without_secrets(shlex.join([sys.executable, *words, "--resume"]))
