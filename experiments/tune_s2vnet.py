"""Search S2VNet's hyperparameters within one scene, or across source -> unseen-target scene pairs.

python experiments/tune_s2vnet.py                   # embedded Indian Pines by blocks, a laptop, six minutes
python experiments/tune_s2vnet.py --smoke-test      # run every part once, in a minute
python experiments/tune_s2vnet.py --pairs west-east sw-se
"""

import sys
from pathlib import Path

from sceneshift.commands.tune import main

SPACE = Path(__file__).parents[1] / "search_spaces" / "s2vnet.py"

if __name__ == "__main__":
    sys.exit(main("s2vnet", SPACE, description=__doc__))
