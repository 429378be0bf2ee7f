"""How well can a trial and an epoch be chosen without target labels? Strategies compared over one pool of trainings.

export SCENESHIFT_DATA=/path/to/scenes
python experiments/selection_study.py pool --record-target --time-trainings 10     # ten trainings, then expected hours
python experiments/selection_study.py pool --record-target                         # all; start it again to resume
python experiments/selection_study.py publish                                      # what is done so far
python experiments/selection_study.py refits --record-target                       # the choices, on all fields
python experiments/selection_study.py table                                        # tables and picture, in a minute
"""

import sys

from sceneshift.commands.selection_study_arguments import read_study_command
from sceneshift.errors import SceneshiftError


def main() -> int:
    """Run the command line; returns the exit status."""
    command = read_study_command(__doc__ or "")
    from sceneshift.commands.selection_study import run_command

    try:
        return run_command(command)
    except SceneshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. What is done is kept; start the same command again to continue.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
