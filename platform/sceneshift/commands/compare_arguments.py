"""The command line of the comparison script. Imports nothing heavy, so that ``--help`` answers immediately."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from sceneshift.commands.command_line import read_arguments
from sceneshift.commands.examples import EXAMPLES
from sceneshift.commands.flags import SELECTION_HELP
from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class CompareArgs:
    """Compare methods on scene pairs: tune each alike without target labels, train final networks, score them once.

    Started again, it continues; what has been trained is not trained again. MLFLOW_TRACKING_URI and RAY_ADDRESS are
    honoured.
    """

    #: What ``--help`` shows together.
    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "": ("comparison", "strategies", "time_trainings", "publish"),
        "data": ("data_dir", "catalogue"),
        "resources": ("executor", "max_concurrent_trials", "threads", "gpus_per_trial", "stall_timeout_s"),
        "output": ("storage_path", "publish_pixels"),
    }

    comparison: tyro.conf.Positional[Path]
    """TOML file of the comparison (docs/comparisons.md), or the folder of a published one, whose tables are then made
    again from its results."""

    strategies: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            help=SELECTION_HELP.format(what="configuration and epoch are")
            + " Default: those of the file. With it nothing is trained: another table is made from finished trainings."
        ),
    ] = ()

    time_trainings: int | None = None
    """Train so many now, one method and pair after the other in turn, and print the hours that all are expected to
    take."""

    publish: bool = False
    """Once all is scored, write results, epochs and the file itself to STORAGE_PATH/published/DATE_COMMIT/NAME."""

    publish_pixels: int = 2000
    """Target pixels per pair whose predicted classes are published for every epoch, at most."""

    executor: Literal["ray", "local"] = "ray"
    """Where trainings run: ray, several at a time; local, in this process, one after another, for debugging."""

    max_concurrent_trials: int = 2
    """Trainings at a time on Ray."""

    threads: int = 1
    """CPU threads of a training. Weights are only reproducible bit for bit with one thread."""

    gpus_per_trial: float = 0.0
    """GPUs of a training; 0.5 puts two on one GPU."""

    stall_timeout_s: float = 1800.0
    """After this many seconds without an epoch from any training, end; 0: never."""

    storage_path: Path = Path("results")
    """Directory of all results; the comparison's are in comparisons/NAME below it."""

    data_dir: str | None = None
    """Folder with the scenes' files. Default: the file's, else SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: the file's, else SCENESHIFT_CATALOGUE."""

    def __post_init__(self) -> None:
        """Reject arguments that could not be run.

        Raises:
            InvalidInputError: Naming the flag.
        """
        for name in ("time_trainings", "publish_pixels", "max_concurrent_trials", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InvalidInputError(f"--{name.replace('_', '-')} {value}: expected at least 1.")
        for name in ("gpus_per_trial", "stall_timeout_s"):
            if not getattr(self, name) >= 0:
                raise InvalidInputError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected 0 or more.")
        if self.strategies and (self.publish or self.time_trainings is not None):
            raise InvalidInputError("--strategies makes another table and trains nothing; use it by itself.")
        if self.publish and self.time_trainings is not None:
            raise InvalidInputError("--time-trainings ends before there are results to --publish; use one of the two.")


def read_compare_command_line() -> CompareArgs:
    """Read the comparison script's command line; tyro prints help or errors and exits if necessary."""
    return read_arguments(CompareArgs, EXAMPLES["compare"].description())
