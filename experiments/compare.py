"""Compare methods on scene pairs, tuned alike without target labels and scored once.

python experiments/compare.py comparisons/example.toml --time-trainings 4    # four trainings, then expected hours
python experiments/compare.py comparisons/example.toml                       # all; start it again to continue
python experiments/compare.py comparisons/example.toml --strategies infomax  # another choice, without training
python experiments/compare.py comparisons/example.toml --publish             # what is committed with the project
"""

import sys

from sceneshift.commands.compare import main

if __name__ == "__main__":
    sys.exit(main(__doc__ or ""))
