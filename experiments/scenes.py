"""Look at scenes before anything is trained: ``--help`` has examples."""

import sys

from sceneshift.commands.main import run

if __name__ == "__main__":
    sys.exit(run("scenes"))
