"""Let MLflow's file in a folder that was moved or copied have its runs' files next to it, for ``make ui``.

The other commands do so by themselves.
"""

import sqlite3
import sys
from pathlib import Path

from sceneshift.errors import first_line
from sceneshift.tracking.relocation import is_writable, relocate


def main() -> int:
    """Relocate the database that the command line names; returns the exit status."""
    database = Path(sys.argv[1]).resolve()
    if not is_writable(database):
        return 0  # MLflow shows its runs, if not their files
    try:
        relocate(database, database.parent / "mlartifacts")
    except sqlite3.Error as error:
        print(f"error: {database} is not an MLflow database ({first_line(error)}).", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
