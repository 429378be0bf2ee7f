"""Search any method's hyperparameters, such as ``tune.py mixstyle``: ``--help`` has examples."""

import sys

from sceneshift.commands.main import run

if __name__ == "__main__":
    sys.exit(run("tune"))
