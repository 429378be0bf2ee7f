"""Memory of experiments/predict.py on a scene of 5 million pixels: 2500 x 2000 pixels, 48 bands.

python benchmarks/map_memory.py                          # S2AMSnet as published: hours on one core; 2 GB of disk
python benchmarks/map_memory.py --patch-size 7 --width 16 --probabilities     # a small network, 20 minutes

Writes a synthetic scene (.arrow or .npy), registers an untrained network, maps every pixel, and samples the process'
anonymous memory all along: the scene itself is mapped from its file and does not count.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from scene_memory import anonymous_bytes
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.methods.s2amsnet import S2AMSnet, S2AMSnetConfig
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.scene import Scene
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.model_description import ModelDescription
from sceneshift.tracking.models import log_and_register
from sceneshift.tracking.search_run import SearchRun

BANDS, CLASSES = 48, 9
ROOT = Path(__file__).parents[1]


def make_cube(height: int, width: int) -> np.ndarray:
    """Fields of 20 x 20 pixels, each of one of nine spectra, in counts."""
    rng = np.random.default_rng(0)
    fields = rng.integers(0, CLASSES, size=(height // 20 + 1, width // 20 + 1))
    labels = np.kron(fields, np.ones((20, 20), dtype=np.int64))[:height, :width]
    spectra = rng.uniform(200, 6000, size=(CLASSES, BANDS)).astype(np.float32)
    cube = np.empty((height, width, BANDS), dtype=np.float32)
    for row in range(height):
        cube[row] = spectra[labels[row]] * rng.uniform(0.8, 1.2, size=(width, 1)).astype(np.float32)
    return cube


def register(folder: Path, cube: np.ndarray, config: S2AMSnetConfig) -> str:
    """Register an untrained network that fits the scene; returns its URI."""
    torch.manual_seed(0)
    names = tuple(f"class {k}" for k in range(1, CLASSES + 1))
    labels = np.zeros(cube.shape[:2], dtype=np.int64)
    source = Scene(name="made", cube=cube, labels=labels, class_names=names)
    description = ModelDescription.of(
        method="s2amsnet",
        config=config,
        sources=[source],
        normalization=Normalization.fit(config.normalization, cube),
    )
    backend = TrackingBackend(uri=f"sqlite:///{folder / 'mlflow.db'}", artifact_root=folder / "mlartifacts")
    backend.connect()
    mirror = SearchRun(backend, study_name="memory", metric="val/aa", tags={}, params={})
    network = S2AMSnet.build_classifier(config, bands=BANDS, classes=CLASSES)
    logged = log_and_register(
        mirror.client, run_id=mirror.run_id, alias="trained", classifier=network, description=description, tags={}
    )
    return logged.uri


def main() -> int:
    """Run the prediction, sample its memory, print the peak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=2500)
    parser.add_argument("--width-pixels", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--patch-size", type=int, default=13)
    parser.add_argument("--width", type=int, default=S2AMSnetConfig().width)
    parser.add_argument("--normalization", default="minmax-per-band")
    parser.add_argument("--ending", choices=("arrow", "npy"), default="arrow")
    parser.add_argument("--probabilities", action="store_true")
    arguments = parser.parse_args()
    config = S2AMSnetConfig(
        patch_size=arguments.patch_size, width=arguments.width, normalization=arguments.normalization
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cube = make_cube(arguments.height, arguments.width_pixels)
        path = folder / f"scene.{arguments.ending}"
        if arguments.ending == "npy":
            np.save(path, cube)
        else:
            labels = np.zeros(cube.shape[:2], dtype=np.int64)
            write_scene(Scene(name="scene", cube=cube, labels=labels, class_names=("a", "b")), path)
        scene_bytes = cube.nbytes
        uri = register(folder, cube[:200, :200], config)
        del cube
        command = [sys.executable, str(ROOT / "experiments" / "predict.py"), "--model", uri, "--scene", str(path)]
        command += ["--out", str(folder / "maps"), "--storage-path", name, "--threads", str(arguments.threads)]
        command += ["--device", "cpu", *(["--probabilities", "--confidence"] if arguments.probabilities else [])]
        started = time.monotonic()
        process = subprocess.Popen(command, env={**os.environ, "MLFLOW_TRACKING_URI": ""})
        peak = 0

        def sample() -> None:
            nonlocal peak
            while process.poll() is None:
                peak = max(peak, anonymous_bytes(process.pid))
                time.sleep(0.02)

        sampler = threading.Thread(target=sample)
        sampler.start()
        sampler.join()
        seconds = time.monotonic() - started
        shutil.rmtree(folder / "maps", ignore_errors=True)
    gib = 2**30
    print(f"\nscene {arguments.height} x {arguments.width_pixels} x {BANDS}, float32: {scene_bytes / gib:.2f} GiB")
    print(f"peak anonymous memory {peak / gib:.2f} GiB ({peak / 1e9:.2f} GB), {seconds:.0f} s")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
