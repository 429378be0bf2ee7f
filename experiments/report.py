"""Write a study's report as one HTML page, and its tables as Markdown, CSV and LaTeX: ``--help`` has examples."""

import sys

from sceneshift.commands.main import run

if __name__ == "__main__":
    sys.exit(run("report"))
