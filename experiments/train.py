"""Train one method on one scene or scene pair; map the whole scene or the unseen target: ``--help`` has examples."""

import sys

from sceneshift.commands.main import run

if __name__ == "__main__":
    sys.exit(run("train"))
