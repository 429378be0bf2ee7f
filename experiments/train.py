"""Train one method on one scene or scene pair; map the whole scene or the unseen target.

python experiments/train.py --method s2vnet --scene indian_pines                        # block split, a tenth trains
python experiments/train.py --method s2vnet --scene indian_pines --split random --train-fraction 0.1
python experiments/train.py --method s2vnet --scene indian_pines --split fixed --train-mask TR.tif --test-mask TE.tif
python experiments/train.py --method s2vnet --scene indian_pines --by-field             # fields stay on one side
python experiments/train.py --method s2amsnet --pair west-east --patch-size 7 --epochs 40
python experiments/train.py --method random_forest --pair west-east                     # a spectral floor
"""

import sys

from sceneshift.commands.train import main

if __name__ == "__main__":
    sys.exit(main(description=__doc__))
