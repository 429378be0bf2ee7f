"""Compare methods on scene pairs, tuned alike without target labels and scored once: ``--help`` has examples."""

import sys

from sceneshift.commands.main import run

if __name__ == "__main__":
    sys.exit(run("compare"))
