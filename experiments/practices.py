"""What practices of the field add to published figures: choosing by target labels, random splits, one seed.

Examples:
  export SCENESHIFT_DATA=/path/to/scenes                      # where the pairs are from files
  python experiments/practices.py --record-target --limit 10  # ten trainings, with the time that is left
  python experiments/practices.py --record-target             # all; start it again to resume
  python experiments/practices.py --table                     # table and picture from the rows that are there
"""

import sys

from sceneshift.commands.main import resumable
from sceneshift.commands.practices_arguments import read_practices_command


def main() -> int:
    """Run the command line; returns the exit status."""
    command = read_practices_command(__doc__ or "")
    from sceneshift.commands.practices import run_command

    return resumable(lambda: run_command(command))


if __name__ == "__main__":
    sys.exit(main())
