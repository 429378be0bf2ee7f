"""Search S2AMSnet's hyperparameters across source -> unseen-target scene pairs: ``--help`` has examples."""

import sys
from pathlib import Path

from sceneshift.commands.tune import main

SPACE = Path(__file__).parents[1] / "search_spaces" / "s2amsnet.py"

if __name__ == "__main__":
    sys.exit(main("s2amsnet", SPACE))
