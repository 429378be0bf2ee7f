"""Memory of training S2VNet on, and mapping, a scene of Berlin's size: 1723 x 476 pixels, 244 bands.

python benchmarks/scene_memory.py               # a quarter of an hour on one core, 0.8 GB of disk

Writes a synthetic scene in the published layout (three .mat files), trains one epoch by experiments/train.py, maps
every pixel, and samples the process' anonymous memory all along. Memory in addition to the scene itself is what counts.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from scipy.io import savemat

HEIGHT, WIDTH, BANDS, CLASSES = 1723, 476, 244, 8
TRAINING_PIXELS_PER_CLASS = 350
ROOT = Path(__file__).parents[1]


def write_scene(folder: Path) -> int:
    """Write cube and masks; returns the cube's bytes as float32."""
    rng = np.random.default_rng(0)
    fields = rng.integers(1, CLASSES + 1, size=(HEIGHT // 20 + 1, WIDTH // 20 + 1))
    labels = np.kron(fields, np.ones((20, 20), dtype=np.int64))[:HEIGHT, :WIDTH]
    spectra = rng.uniform(200, 6000, size=(CLASSES + 1, BANDS)).astype(np.float32)
    cube = np.empty((HEIGHT, WIDTH, BANDS), dtype=np.float32)
    for row in range(HEIGHT):
        cube[row] = spectra[labels[row]] * rng.uniform(0.8, 1.2, size=(WIDTH, 1)).astype(np.float32)
        cube[row] += rng.normal(0, 100, size=(WIDTH, BANDS)).astype(np.float32)
    train = np.zeros(labels.size, dtype=np.uint8)
    for k in range(1, CLASSES + 1):
        pixels = rng.choice(np.flatnonzero(labels.ravel() == k), size=TRAINING_PIXELS_PER_CLASS, replace=False)
        train[pixels] = k
    train = train.reshape(labels.shape)
    test = np.where((train == 0) & (rng.random(labels.shape) < 0.5), labels, 0).astype(np.uint8)
    folder.mkdir()
    savemat(folder / "data_HS_LR.mat", {"data_HS_LR": cube})
    savemat(folder / "TrainImage.mat", {"TrainImage": train})
    savemat(folder / "TestImage.mat", {"TestImage": test})
    return cube.nbytes


def anonymous_bytes(pid: int) -> int:
    """What the system calls RssAnon, 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def main() -> int:
    """Run the training, sample its memory, print the peak of each phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene_bytes = write_scene(folder / "berlin")
        command = [sys.executable, str(ROOT / "experiments" / "train.py"), "--method", "s2vnet", "--scene", "berlin"]
        command += ["--split", "fixed", "--epochs", "1", "--threads", str(arguments.threads)]
        command += ["--data-dir", name, "--storage-path", str(folder / "results"), "--run-name", "memory"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        peaks: dict[str, int] = {}
        phase = ["loading"]

        def sample() -> None:
            while process.poll() is None:
                peaks[phase[0]] = max(peaks.get(phase[0], 0), anonymous_bytes(process.pid))
                time.sleep(0.02)

        sampler = threading.Thread(target=sample)
        sampler.start()
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            phase[0] = {"kept": "training", "Mapping": "mapping, scoring, pictures"}.get(line.split(" ")[0], phase[0])
        sampler.join()
    gib = 2**30
    print(f"\nscene {HEIGHT} x {WIDTH} x {BANDS}, float32: {scene_bytes / gib:.2f} GiB")
    for phase_name, peak in peaks.items():
        print(f"{phase_name:<28} peak {peak / gib:.2f} GiB, beyond the scene {(peak - scene_bytes) / gib:.2f} GiB")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
