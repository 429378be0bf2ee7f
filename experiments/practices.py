"""What practices of the field add to published figures: choosing by target labels, random splits, one seed.

export SCENESHIFT_DATA=/path/to/scenes                             # where the pairs are from files
python experiments/practices.py --record-target --limit 10         # ten trainings, with the time that is left
python experiments/practices.py --record-target                    # all; start it again to resume
python experiments/practices.py --table                            # table and picture from the rows that are there
"""

import sys

from sceneshift.commands.practices_arguments import read_practices_command
from sceneshift.errors import SceneshiftError


def main() -> int:
    """Run the command line; returns the exit status."""
    arguments = read_practices_command(__doc__ or "")
    from sceneshift.commands.practices import run_command

    try:
        return run_command(arguments)
    except SceneshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. What is done is kept; start the same command again to continue.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
