"""Map a scene with a registered model, and score the map if labels are given: ``--help`` has examples."""

import sys

from sceneshift.commands.main import run

if __name__ == "__main__":
    sys.exit(run("predict"))
