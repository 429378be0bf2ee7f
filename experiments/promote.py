"""Choose which version of a model is the champion, after comparing the new and the old one: ``--help`` has examples."""

import sys

from sceneshift.commands.main import run

if __name__ == "__main__":
    sys.exit(run("promote"))
