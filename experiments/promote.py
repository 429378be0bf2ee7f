"""Choose which version of a model is the champion, after comparing the new and the old one.

python experiments/promote.py --model s2amsnet-indian_pines-west                  # the newest version
python experiments/promote.py --model s2amsnet-indian_pines-west --version 3 --yes
python experiments/promote.py --model s2amsnet-indian_pines-west --on target      # READS THE TARGET'S LABELS
python experiments/promote.py --model s2amsnet-indian_pines-west --rollback
"""

import sys

from sceneshift.commands.promote_arguments import read_promote_command_line


def main() -> int:
    """Run the command line; returns the exit status."""
    arguments = read_promote_command_line(__doc__ or "")
    from sceneshift.commands.promote import run_promotion

    return run_promotion(arguments)


if __name__ == "__main__":
    sys.exit(main())
