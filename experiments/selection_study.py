"""How well can a trial and an epoch be chosen without target labels? Strategies compared over one pool of trainings.

Examples:
  export SCENESHIFT_DATA=/path/to/scenes
  python experiments/selection_study.py pool --record-target --time-trainings 10  # ten trainings, then expected hours
  python experiments/selection_study.py pool --record-target                      # all; start it again to resume
  python experiments/selection_study.py publish                                   # what is done so far
  python experiments/selection_study.py refits --record-target                    # the choices, on all fields
  python experiments/selection_study.py table                                     # tables and picture, in a minute
"""

import sys

from sceneshift.commands.main import resumable
from sceneshift.commands.selection_study_arguments import read_study_command


def main() -> int:
    """Run the command line; returns the exit status."""
    command = read_study_command(__doc__ or "")
    from sceneshift.commands.selection_study import run_command

    return resumable(lambda: run_command(command))


if __name__ == "__main__":
    sys.exit(main())
