"""The command line of the selection study. Imports nothing heavy, so that ``--help`` answers immediately."""

from dataclasses import dataclass
from typing import Annotated, Any, cast

import tyro

from sceneshift.commands.command_line import read_arguments
from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class StudyFlags:
    """What all commands of the study share."""

    out: str = "results/published/selection"
    """Folder of the design, the published rows and the tables."""

    pairs: tuple[str, ...] = ()
    """Only these pairs. Default: all of the study, or with --confirm all confirmation pairs."""

    methods: tuple[str, ...] = ()
    """Only these methods. Default: s2amsnet and cross_entropy."""

    confirm: bool = False
    """Work on the confirmation pairs instead: to be opened once, with everything fixed."""


@dataclass(frozen=True, kw_only=True)
class TrainingFlags(StudyFlags):
    """What the commands that train share."""

    work: str = "selection_work"
    """Folder of records and checkpoints, several GB; keep it outside the repository."""

    data_dir: str | None = None
    """Folder with the scenes' files. Default: SCENESHIFT_DATA."""

    jobs: int = 2
    """Trainings at a time, of one thread each."""

    limit: int | None = None
    """The most trainings in this run."""

    record_target: bool = False
    """Read the target's labels after every epoch. Required, as the study judges choices by them; what it writes says
    so."""

    def __post_init__(self) -> None:
        """Reject numbers that are out of range.

        Raises:
            InvalidInputError: Naming the flag.
        """
        for name in ("jobs", "limit"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InvalidInputError(f"--{name} {value}: expected at least 1.")


@dataclass(frozen=True, kw_only=True)
class Pool(TrainingFlags):
    """Train all configurations of the design, resuming where it was interrupted; finished batches are published."""

    time_trainings: int | None = None
    """The number of trainings in this run, taken from the batches in turn; the hours that all are expected to take are
    printed."""

    seed: int = 0
    """Seed of the design. Another design needs another --out and --work."""

    epochs: int = 40
    """Epochs of every training, part of the design."""

    configurations: int = 40
    """Random configurations of each method, part of the design."""

    evaluate_every: int = 1
    """Epochs between two evaluations, part of the design."""


@dataclass(frozen=True, kw_only=True)
class Publish(StudyFlags):
    """Publish the part of the pool that is done, also of unfinished batches."""

    work: str = "selection_work"
    """Folder of records and checkpoints."""

    data_dir: str | None = None
    """Folder with the scenes' files. Default: SCENESHIFT_DATA."""


@dataclass(frozen=True, kw_only=True)
class Table(StudyFlags):
    """Make the tables and the picture from published rows alone, within a minute."""


@dataclass(frozen=True, kw_only=True)
class Refits(TrainingFlags):
    """Train the chosen configurations again on all fields, with three seeds each, and publish what they reach."""


@dataclass(frozen=True, kw_only=True)
class Simulate:
    """Simulate the study's pairs and nothing else, for comparisons on them; prints their catalogue."""

    work: str = "selection_work"
    """Folder in which simulated/ is made; the other commands find the pairs there."""

    data_dir: str | None = None
    """Folder with the files of the scenes that spectra are taken from. Default: SCENESHIFT_DATA."""

    confirm: bool = False
    """Simulate the confirmation pair too; its spectra are of Salinas-A."""


#: A command of the study.
StudyCommand = (
    Annotated[Pool, tyro.conf.subcommand("pool")]
    | Annotated[Publish, tyro.conf.subcommand("publish")]
    | Annotated[Table, tyro.conf.subcommand("table")]
    | Annotated[Simulate, tyro.conf.subcommand("simulate")]
    | Annotated[Refits, tyro.conf.subcommand("refits")]
)


def read_study_command(description: str) -> StudyCommand:
    """Read the study script's command line; tyro prints help or errors and exits if necessary."""
    command: StudyCommand = read_arguments(cast(Any, StudyCommand), description)  # a union is not a class
    return command
