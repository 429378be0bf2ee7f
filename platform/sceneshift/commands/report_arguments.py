"""The command line of the report script. Imports nothing heavy, so that ``--help`` answers at once."""

from dataclasses import dataclass

import tyro

from sceneshift.commands.command_line import read_arguments


@dataclass(frozen=True, kw_only=True)
class ReportArgs:
    """Tell a study as one HTML page that opens without a network, and its tables as Markdown, CSV and LaTeX.

    A study that is not closed yet has a page of what there is. The target's labels are not opened for it.
    """

    study: tyro.conf.Positional[str]
    """The study: its folder, or its name under --storage-path."""

    storage_path: str = "results"
    """The directory studies are kept in."""

    out: str | None = None
    """Folder to write to. Default: report/ in the study's folder."""


def read_report_command_line(description: str) -> ReportArgs:
    """Read the report script's command line; tyro prints help or the error and exits where that is due."""
    return read_arguments(ReportArgs, description)
