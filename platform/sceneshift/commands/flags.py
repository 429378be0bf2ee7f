"""Flags that several scripts share. Imports nothing heavy, so that ``--help`` answers at once."""

import shlex
import sys
from dataclasses import dataclass
from typing import Literal

from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class SplitFlags:
    """How labelled pixels are divided, and where scenes lie."""

    by_field: bool = False
    """Keep fields whole: the same as --split fields."""

    train_mask: str | None = None
    """Label map of the training pixels for --split fixed (.tif, .png, .npy, .mat); its class order is its own."""

    test_mask: str | None = None
    """Label map of the test pixels, numbered like --train-mask."""

    data_dir: str | None = None
    """Folder the scenes' files lie in, or in folders of their names there. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""


@dataclass(frozen=True, kw_only=True)
class ComputeFlags:
    """What training computes in, and with how many workers."""

    workers_per_trial: int = 1
    """Workers that train a network together in Ray Train, each on its share of every batch; results match one worker up
    to rounding. Workers that share a GPU exchange sums through gloo, as NCCL refuses two workers on one."""

    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """What training computes in; weights, losses and evaluation are float32. tf32 is for CUDA devices, bfloat16
    for processors and GPUs with its instructions."""

    compile: bool = False
    """Compile the networks with torch.compile: minutes at the start, for GPUs and long trainings."""


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


def check_train_fraction(fraction: float | None, split: str) -> None:
    """Refuse a share that is none, or that goes with a split that has none.

    Raises:
        InvalidInputError: Naming the flag.
    """
    if fraction is not None and not 0 < fraction < 1:
        raise InvalidInputError(f"--train-fraction {fraction}: expected a share between 0 and 1.")
    if fraction is not None and split in ("fixed", "all"):
        raise InvalidInputError(f"--split {split} takes no --train-fraction.")


def resume_command(name_flag: str, name: str) -> str:
    """The command line that resumes what this process has begun.

    Args:
        name_flag: The flag that names it; added where the command line lacks it.
        name: That name.
    """
    words = [word for word in sys.argv if word != "--resume"]
    if not any(word.split("=")[0].replace("_", "-") == name_flag for word in words):
        words += [name_flag, name]
    return shlex.join([sys.executable, *words, "--resume"])
