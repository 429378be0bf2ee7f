"""Registering a trial that the study did not choose. Imports nothing heavy until the command line is read."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from sceneshift.commands import program
from sceneshift.commands.command_line import read_arguments
from sceneshift.commands.examples import EXAMPLES
from sceneshift.errors import InvalidInputError, SceneshiftError


@dataclass(frozen=True, kw_only=True)
class RegisterArgs:
    """Register the networks of a trial of a closed study as candidates, to be compared with the champion."""

    study: tyro.conf.Positional[str]
    """The study: its folder, or its name under --storage-path."""

    trial: tyro.conf.Positional[int]
    """The trial's number, as in MLflow and in the study's report."""

    storage_path: str = "results"
    """The directory of the studies."""

    def __post_init__(self) -> None:
        """Reject a number that no trial has.

        Raises:
            InvalidInputError: It is negative.
        """
        if self.trial < 0:
            raise InvalidInputError(f"trial {self.trial}: trials are numbered from 0.")


def read_register_command_line() -> RegisterArgs:
    """Read the command line; prints help or errors and exits if necessary."""
    return read_arguments(RegisterArgs, EXAMPLES["register"].description())


def run_register(arguments: RegisterArgs) -> int:
    """Register, and print how to compare with the champion; returns the exit status."""
    # MLflow, which is imported with the others, reads the environment then.
    from sceneshift.tracking.backend import TrackingBackend, apply_mlflow_settings

    try:
        apply_mlflow_settings()
        from sceneshift.closing.trial_models import register_trial
        from sceneshift.commands.report import find_study

        storage = Path(arguments.storage_path)
        directory = find_study(arguments.study, storage_path=storage)
        backend = TrackingBackend.resolve(directory.parent)
        for model in register_trial(directory, arguments.trial, backend=backend):
            words = [*program.other("promote"), "--model", model.name, "--version", model.version]
            words += [] if directory.parent == Path("results").resolve() else ["--storage-path", str(directory.parent)]
            print(f"Registered {model.uri} (version {model.version}). To compare it with the champion:")
            print(f"  {shlex.join(words)}")
    except SceneshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
