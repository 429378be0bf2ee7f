"""Search S2VNet's hyperparameters, by default within one scene: ``--help`` has examples."""

import sys
from pathlib import Path

from sceneshift.commands.tune import main

SPACE = Path(__file__).parents[1] / "search_spaces" / "s2vnet.py"

if __name__ == "__main__":
    sys.exit(main("s2vnet", SPACE))
