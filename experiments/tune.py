"""Search any method's hyperparameters across source -> unseen-target scene pairs, or within one scene.

python experiments/tune.py --method mixstyle                   # two embedded pairs, a laptop, six minutes
python experiments/tune.py --method group_dro --smoke-test     # run every part once, in a minute
"""

import sys
from pathlib import Path

from sceneshift.commands.tune import main_by_method

SPACES = Path(__file__).parents[1] / "search_spaces"

if __name__ == "__main__":
    sys.exit(main_by_method(SPACES, description=__doc__))
