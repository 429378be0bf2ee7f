"""From files of exactly the published layout to a class map, through the training script, in a process of its own.

The cubes are made: their shapes, variables and file formats are the published ones, their spectra are a class's and
noise. Label maps are the real ones of HyRANK and Pavia University where SCENESHIFT_TEST_DATA names a folder of real
files (``hyrank/``, ``pavia/``), else made with the published counts.
"""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from matplotlib import image

from sceneshift.catalogue.builtin import PAIRS, SCENES

ROOT = Path(__file__).resolve().parents[2]

#: Pavia University's nine classes as they are counted elsewhere, in the order of the pair's seven; gravel and painted
#: metal are not among them.
PAVIA_NUMBERS = (4, 1, 8, 7, 9, 2, 6)


def made_labels(name: str, rng: np.random.Generator) -> np.ndarray:
    """A label map of the published shape and counts: runs of one class, at most 40 pixels long, with gaps between."""
    entry = SCENES[name]
    runs = [(k, min(40, n - i)) for k, n in enumerate(entry.counts, start=1) for i in range(0, n, 40)]
    height, width, _ = entry.shape
    gap = (height * width - sum(entry.counts)) // (2 * len(runs))
    flat = np.zeros(height * width, dtype=np.uint8)
    place = 0
    for run in rng.permutation(len(runs)):
        k, length = runs[run]
        flat[place : place + length] = k
        place += length + gap
    return flat.reshape(height, width)


def real_labels(name: str) -> np.ndarray | None:
    folder = os.environ.get("SCENESHIFT_TEST_DATA")
    if not folder:
        return None
    if name in ("dioni", "loukia"):
        return scipy.io.loadmat(Path(folder) / "hyrank" / f"{name.capitalize()}_gt_out68.mat")["map"]
    if name == "paviau" and (path := Path(folder) / "pavia" / "PaviaU_gt.mat").exists():
        nine = scipy.io.loadmat(path)["paviaU_gt"]
        renumber = np.zeros(10, dtype=np.uint8)
        renumber[list(PAVIA_NUMBERS)] = range(1, 8)
        return renumber[nine]
    return None


def write_published(folder: Path, name: str, spectra: np.ndarray, *, hdf5: bool) -> np.ndarray:
    """Write cube and labels as the catalogue says they are handed on; returns the labels."""
    entry, rng = SCENES[name], np.random.default_rng(sum(map(ord, name)))
    labels = real_labels(name)
    labels = made_labels(name, rng) if labels is None else labels
    noise = rng.standard_normal(entry.shape, dtype=np.float32)
    cube = spectra[labels] + np.float32(0.02) * noise
    (form,) = entry.forms
    for variable, array in ((form.cube, cube), (form.labels, labels)):
        if hdf5:
            with h5py.File(folder / variable.file, "w", userblock_size=512) as file:
                file.create_dataset(variable.name, data=array.T).attrs["MATLAB_class"] = np.bytes_(b"single")
        else:
            scipy.io.savemat(folder / variable.file, {variable.name: array})
    return labels


def train(folder: Path, pair: str, storage: Path, *, fraction: float) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "SCENESHIFT_CATALOGUE")}
    line = f"--method cross_entropy --pair {pair} --data-dir {folder} --storage-path {storage} --run-name r --epochs 2"
    line += f" --split random --train-fraction {fraction} --patch-size 5 --batch-size 16 --lr 0.005 --set width=8"
    line += " --pixels-per-class 150 --device cpu --threads 1"
    return subprocess.run(
        [sys.executable, "experiments/train.py", *line.split()],
        cwd=ROOT,
        env={**kept, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "fraction"),
    [
        ("houston13-houston18", 0.5),
        pytest.param("paviau-paviac", 0.05, marks=pytest.mark.long),
        pytest.param("dioni-loukia", 0.1, marks=pytest.mark.long),
    ],
)
def test_files_of_the_published_layout_go_all_the_way_to_a_class_map(
    pair: str, fraction: float, tmp_path: Path
) -> None:
    names = PAIRS[pair].scenes
    num_classes, bands = len(SCENES[names[0]].class_names), SCENES[names[0]].shape[2]
    spectra = np.random.default_rng(0).uniform(0.2, 1.0, (num_classes + 1, bands)).astype(np.float32)
    labels = {name: write_published(tmp_path, name, spectra, hdf5=pair.startswith("pavia")) for name in names}
    done = train(tmp_path, pair, tmp_path / "results", fraction=fraction)
    assert done.returncode == 0, done.stderr
    assert "another release" not in done.stderr
    height, width, _ = SCENES[names[1]].shape
    assert f"Mapping {height} x {width} pixels." in done.stdout
    report = tmp_path / "results" / "training" / "r" / "report"
    class_map = np.load(report / f"map_{pair}.npy")
    assert class_map.shape == (height, width)
    target = labels[names[1]]
    # Every class has a spectrum of its own, the same in both scenes. Labels or a cube turned on their way leave chance.
    recall = [(class_map[target == k] == k).mean() for k in range(1, num_classes + 1)]
    assert np.mean(recall) > 2 / num_classes
    picture = image.imread(report / f"map_{pair}.png")
    assert picture.shape[0] > 200
    assert picture[..., :3].std() > 0.05
