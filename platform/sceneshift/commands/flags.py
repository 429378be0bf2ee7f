"""Flags that several scripts share. Imports nothing heavy, so that ``--help`` answers immediately."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from sceneshift.addresses import without_secrets
from sceneshift.commands import program
from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class SplitFlags:
    """How labelled pixels are split, and where the scenes' files are."""

    by_field: bool = False
    """Keep each field on one side: the same as --split fields."""

    train_mask: str | None = None
    """Label map of the training pixels for --split fixed (.tif, .png, .npy, .mat, or masks.mat:NAME); its class order
    may differ from the scene's."""

    test_mask: str | None = None
    """Label map of the test pixels, numbered like --train-mask."""

    cut_to_overlap: bool = False
    """If the masks are georeferenced and whole pixels apart from the scene, use the pixels that both cover."""

    data_dir: str | None = None
    """Folder with the scenes' files, directly or in subfolders named after them. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""


@dataclass(frozen=True, kw_only=True)
class FileFlags:
    """What a file with a scene doesn't say about it; the same keys describe a scene in a TOML catalogue."""

    labels: str | None = None
    """The file with the label map of a scene given as a file, or FILE:NAME (.mat, .npz). Default: the cube's file."""

    class_names: tuple[str, ...] | None = None
    """The class names in the order of the numbers 1..K, or of --label-values. Default: those in the file."""

    label_values: tuple[int, ...] | None = None
    """The classes' numbers in the label map, in the order of --class-names, if they are not 1..K; 0 may be one."""

    unlabelled_values: tuple[int, ...] | None = None
    """Numbers in the label map that mean unlabelled, in addition to 0 and the file's own missing data."""

    wavelengths_nm: tuple[float, ...] | None = None
    """Band centres in nanometres, one per band. Default: those in the file."""

    cube_variable: str | None = None
    """The cube's name in its file."""

    labels_variable: str | None = None
    """The label map's name in its file."""

    def described(self) -> dict[str, Any]:
        """What is given, by the keys of a scene in a TOML catalogue."""
        given = {field.name: getattr(self, field.name) for field in fields(FileFlags)}
        return {name: value for name, value in given.items() if value is not None}


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


@dataclass(frozen=True, kw_only=True)
class RecordFlags:
    """What evaluated epochs leave for a choice made afterwards."""

    record: bool = False
    """Record, next to the checkpoints, the outputs of every evaluated epoch on source pixels, unchanged and under fixed
    physical shifts, so that an epoch or a trial can be chosen later without training. Results don't change; an epoch of
    S2AMSnet takes about a fifth longer, one of a cheaper method may take twice as long; a larger --evaluate-every
    records fewer."""

    target_access: Literal["none", "unlabelled"] = "none"
    """What a training may see of its target: none; or 1,000 pixels without labels, which --record records as well and
    nothing trains on. Strategies of --selection that read target pixels need it."""


#: What --help says of strategies; the rules and their sources are in docs/selection.md.
SELECTION_HELP = (
    "How {what} chosen. Reading nothing of the target: source-blocks, source-random, shifted-blocks, "
    "shifted-blocks-worst, source-discrepancy, flat-average. Reading its unlabelled pixels (--target-access "
    "unlabelled): entropy, infomax, bnm, class-ami, iwcv, dev, snd, mano, atc, doc, ensv. Reading its labels, for "
    "comparison alone: oracle. All but the first two imply --record. In pools of several seeds or pairs, not here: "
    "leave-one-scene-out, seed-agreement, gde."
)


def check_record(flags: RecordFlags, *, selection: str | None, compiles: bool) -> None:
    """Reject flags of the record that don't go together; a strategy that chooses by the record implies it.

    Raises:
        InvalidInputError: Naming the flag.
    """
    # The registry imports scikit-learn, and the default needs nothing.
    if selection not in (None, "source-blocks"):
        from sceneshift.selection.registry import find_strategy
        from sceneshift.selection.views import Reads

        strategy = find_strategy(selection)
        if strategy.needs_record:
            object.__setattr__(flags, "record", True)
        if strategy.reads is not Reads.NOTHING and flags.target_access == "none":
            raise InvalidInputError(
                f"--selection {selection} reads {strategy.reads}; allow it by --target-access unlabelled, or choose by "
                "source-blocks."
            )
    if flags.target_access != "none" and not flags.record:
        raise InvalidInputError(f"--target-access {flags.target_access} has no effect without --record; add it.")
    if flags.record and compiles:
        raise InvalidInputError("--record can't read the features of compiled networks; leave out --compile.")


def check_scale(scale: float) -> None:
    """Reject a scale that nothing can be divided by.

    Raises:
        InvalidInputError: It is not a positive number that float32 can hold.
    """
    if not 1e-30 <= scale <= 1e30:
        raise InvalidInputError(
            f"--scale {scale:g}: expected a positive number, what the file's numbers are divided by, such as 10000."
        )


def check_cut(cut_to_overlap: bool, train_mask: str | None) -> None:
    """Reject --cut-to-overlap without masks.

    Raises:
        InvalidInputError: There are none.
    """
    if cut_to_overlap and train_mask is None:
        raise InvalidInputError(
            "--cut-to-overlap cuts --train-mask and --test-mask to the scene; give them. For the cube and the label "
            "map of a scene of your own, write cut_to_overlap = true in the TOML catalogue."
        )


def named_split(split: str, *, by_field: bool) -> str:
    """The split that --split and --by-field select together.

    Raises:
        InvalidInputError: They contradict each other.
    """
    if by_field and split not in ("blocks", "fields"):  # "blocks" is also the default
        raise InvalidInputError(f"--by-field keeps fields whole, --split {split} does not; give one of the two.")
    return "fields" if by_field else split


def check_wavelengths(wavelengths_nm: Sequence[float] | None) -> None:
    """Reject band centres that are not nanometres.

    Raises:
        InvalidInputError: One is not positive, or they look like micrometres.
    """
    if wavelengths_nm is None:
        return
    if not all(0 < centre < float("inf") for centre in wavelengths_nm):
        raise InvalidInputError("--wavelengths-nm: expected positive numbers, one per band.")
    if max(wavelengths_nm) < 100:
        raise InvalidInputError(
            f"--wavelengths-nm up to {max(wavelengths_nm):g}: these look like micrometres; multiply them by 1000."
        )


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
    words = [word for word in program.arguments() if word != "--resume"]
    if not any(word.split("=")[0].replace("_", "-") == name_flag for word in words):
        words += [name_flag, name]
    return without_secrets(shlex.join([*program.start(), *words, "--resume"]))
