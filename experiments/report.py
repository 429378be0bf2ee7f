"""Write a study's report as one HTML page, and its tables as Markdown, CSV and LaTeX.

python experiments/report.py results/NAME                     # writes results/NAME/report/index.html
python experiments/report.py NAME --storage-path results --out elsewhere
"""

import sys

from sceneshift.commands.report import main

if __name__ == "__main__":
    sys.exit(main(description=__doc__ or ""))
