"""The command line of the practices' study. Imports nothing heavy, so that ``--help`` answers immediately."""

from dataclasses import dataclass

from sceneshift.commands.command_line import read_arguments
from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class PracticesArgs:
    """Price what practices of the field add to published figures; see --help of single flags."""

    record_target: bool = False
    """Read the target's labels after every epoch. Required for training, as the practices are about them; what is
    written says so."""

    table: bool = False
    """Train nothing; make table and picture from the rows that are there."""

    out: str = "results/published/practices"
    """Folder of rows, table and picture."""

    pairs: tuple[str, ...] = ("west-east", "sw-se")
    """Pairs of one source each."""

    methods: tuple[str, ...] = ("cross_entropy", "s2amsnet")
    """Methods, each with the settings of its laptop profile."""

    seeds: int = 5
    """Seeds of each method on each pair."""

    epochs: int = 40
    """Epochs of every training."""

    data_dir: str | None = None
    """Folder with the scenes' files. Default: SCENESHIFT_DATA."""

    jobs: int = 2
    """Trainings at a time, of one thread each."""

    limit: int | None = None
    """The most trainings in this run."""

    def __post_init__(self) -> None:
        """Reject numbers that are out of range, and a run that would read labels unasked.

        Raises:
            InvalidInputError: Naming the flag.
        """
        for name in ("seeds", "epochs", "jobs", "limit"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InvalidInputError(f"--{name} {value}: expected at least 1.")
        if not self.table and not self.record_target:
            raise InvalidInputError(
                "the practices are about the target's labels, which are read while trainings run; say --record-target "
                "to do so, or --table to make the table from rows that are there."
            )


def read_practices_command(description: str) -> PracticesArgs:
    """Read the script's command line; prints help or errors and exits if necessary."""
    return read_arguments(PracticesArgs, description)
