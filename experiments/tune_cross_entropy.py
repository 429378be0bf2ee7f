"""Search the plain discriminator's hyperparameters across scene pairs: ``--help`` has examples."""

import sys
from pathlib import Path

from sceneshift.commands.tune import main

SPACE = Path(__file__).parents[1] / "search_spaces" / "cross_entropy.py"

if __name__ == "__main__":
    sys.exit(main("cross_entropy", SPACE))
