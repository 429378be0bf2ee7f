"""Map a scene with a registered model, and score the map if labels are given.

python experiments/predict.py --model models:/s2amsnet-indian_pines-west@champion --scene indian_pines --out maps
python experiments/predict.py --model models:/NAME@champion --scene SCENE.hdr --out maps --format geotiff --confidence
"""

import sys

from sceneshift.commands.predict import main

if __name__ == "__main__":
    sys.exit(main(description=__doc__))
