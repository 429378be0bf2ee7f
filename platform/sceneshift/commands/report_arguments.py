"""The command line of the report script. Imports nothing heavy, so that ``--help`` answers immediately."""

from dataclasses import dataclass

import tyro

from sceneshift.commands.command_line import read_arguments
from sceneshift.commands.examples import EXAMPLES


@dataclass(frozen=True, kw_only=True)
class ReportArgs:
    """Write a study's report as one HTML page that opens offline, and its tables as Markdown, CSV and LaTeX.

    For a study that is not closed yet, the page shows what is available. The target's labels are read for
    --selection alone.
    """

    study: tyro.conf.Positional[str]
    """The study: its folder, or its name under --storage-path."""

    storage_path: str = "results"
    """The directory of the studies."""

    selection: str | None = None
    """Choose again among a closed study's trials by this strategy, from its records and without training, and report
    that. The choice is scored on the targets if its weights were kept, for which their labels are read, and counted."""

    out: str | None = None
    """Folder to write to. Default: report/ in the study's folder, with --selection NAME report-NAME/."""


def read_report_command_line() -> ReportArgs:
    """Read the report script's command line; tyro prints help or errors and exits if necessary."""
    return read_arguments(ReportArgs, EXAMPLES["report"].description())
