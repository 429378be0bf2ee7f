"""Writing a study's report, from the command line or when a study closes."""

import os
import sys
from pathlib import Path

from sceneshift.commands.report_arguments import ReportArgs, read_report_command_line
from sceneshift.errors import SceneshiftError, StudyError, nearest_name
from sceneshift.own_folders import ensure_home

_STORE_FILE = "optuna.db"


def main() -> int:
    """Run the report script; returns the exit status."""
    arguments = read_report_command_line()
    try:
        return report(arguments)
    except SceneshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def report(arguments: ReportArgs) -> int:
    """Write a study's report and print where it is.

    Raises:
        StudyError: There is no such study, or it can't be read.
    """
    directory = find_study(arguments.study, storage_path=Path(arguments.storage_path))
    ensure_home()
    if arguments.selection is not None:
        return _reselect(arguments, directory, arguments.selection)
    from sceneshift.report.study_page import write_study_report
    from sceneshift.report.study_record import StudyRecord

    page = write_study_report(directory, None if arguments.out is None else Path(arguments.out))
    record = StudyRecord.read(directory)
    if not record.is_closed:
        print(f"Study {record.name} is not closed yet: the page shows what there is, without the target.")
    elif record.is_stale:
        print(f"Study {record.name} has more trials than when it was closed: the target's figures are of that closing.")
    print(f"The page           {page}\nThe same, Markdown {page.parent / 'report.md'}\nTables             ", end="")
    print(f"{page.parent / 'tables'}")
    return 0


def _reselect(arguments: ReportArgs, directory: Path, selection: str) -> int:
    """Choose again and print what was chosen, and where the report is."""
    # MLflow, which is imported with it, reads the environment then.
    from sceneshift.tracking.backend import apply_mlflow_settings

    apply_mlflow_settings()
    from sceneshift.closing.reselection import reselect

    found = reselect(directory, selection, out=None if arguments.out is None else Path(arguments.out))
    print("\n".join(found.sentences))
    if found.page is not None:
        print((found.page.parent / "scores.md").read_text(encoding="utf-8"))
        print(f"The page           {found.page}")
    return 0


def find_study(study: str, *, storage_path: Path) -> Path:
    """Find a study's folder.

    Args:
        study: The folder, or a name.
        storage_path: Where studies are searched by name.

    Raises:
        StudyError: Neither is a study; the message lists the studies there are.
    """
    for directory in (Path(study), storage_path / study):
        if os.path.isfile(directory / _STORE_FILE):
            return directory.resolve()
    near = Path(study) if Path(study).is_dir() else storage_path
    known = sorted(path.parent.name for path in near.glob(f"*/{_STORE_FILE}"))
    there = f"Studies in {near}: {', '.join(known)}{nearest_name(study, known)}." if known else f"{near} holds none."
    what = f"{study!r} is a folder without a study's {_STORE_FILE}" if Path(study).is_dir() else f"no study {study!r}"
    raise StudyError(f"{what}. {there} Give a study's folder, or its name and --storage-path.")
