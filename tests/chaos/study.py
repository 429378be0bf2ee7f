"""The search that chaos is done to, as a user's own script would start it; CHAOS_SPACE names its space file."""

import os
import sys
from pathlib import Path

from sceneshift.commands.tune import main

if __name__ == "__main__":
    sys.exit(main("s2amsnet", Path(os.environ["CHAOS_SPACE"])))
