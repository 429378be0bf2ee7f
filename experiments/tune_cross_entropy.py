"""Search the plain discriminator's hyperparameters across source -> unseen-target scene pairs, or within one scene.

python experiments/tune_cross_entropy.py                   # two embedded pairs, a laptop, six minutes
python experiments/tune_cross_entropy.py --smoke-test      # run every part once, in a minute
python experiments/tune_cross_entropy.py --scene indian_pines
"""

import sys
from pathlib import Path

from sceneshift.commands.tune import main

SPACE = Path(__file__).parents[1] / "search_spaces" / "cross_entropy.py"

if __name__ == "__main__":
    sys.exit(main("cross_entropy", SPACE, description=__doc__))
