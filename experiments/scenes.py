"""Look at scenes before anything is trained.

python experiments/scenes.py list --data-dir DIR           # known scenes, and which files are present or missing
python experiments/scenes.py check Houston13_7gt.mat       # the contents of a file, compared with the published release
python experiments/scenes.py show indian_pines             # a picture: false colours, label map, mean spectra
python experiments/scenes.py pair west-east                # how far apart source and target are
python experiments/scenes.py import cube.hdr --labels gt.tif --out scene.arrow
python experiments/scenes.py simulate --out DIR --atmosphere 0.4 --wavelengths-nm 400 2500   # a simulated pair
python experiments/scenes.py export indian_pines --format envi --out scene.hdr
"""

import sys

from sceneshift.commands.scene_arguments import read_scene_command
from sceneshift.errors import SceneshiftError


def main() -> int:
    """Run the command line; returns the exit status."""
    command = read_scene_command(__doc__ or "")
    from sceneshift.commands.scenes import run_command

    try:
        return run_command(command)
    except SceneshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
