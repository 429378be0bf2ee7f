"""Search S2AMSnet's hyperparameters across source -> unseen-target scene pairs.

python experiments/tune_s2amsnet.py                 # embedded Indian Pines pairs, a laptop, seven minutes
python experiments/tune_s2amsnet.py --smoke-test    # run every part once, in a minute
RAY_ADDRESS=auto python experiments/tune_s2amsnet.py --profile paper --gpus-per-trial 0.5 \\
    --storage-path s3://bucket/path                 # on a cluster: docs/cluster.md
"""

import sys
from pathlib import Path

from sceneshift.commands.tune import main

SPACE = Path(__file__).parents[1] / "search_spaces" / "s2amsnet.py"

if __name__ == "__main__":
    sys.exit(main("s2amsnet", SPACE, description=__doc__))
