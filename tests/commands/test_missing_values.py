"""What commands say of empty bands and unmeasured pixels, and what a training makes of them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sceneshift.commands.announcements import describe_pair
from sceneshift.commands.scene_arguments import Pair, Show
from sceneshift.commands.scenes import run_command
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.scenes.scene import Scene
from sceneshift.training.data import DataSpec

ROOT = Path(__file__).resolve().parents[2]

#: What each scene lacks, as :func:`told` finds it.
SOURCE = [("one", [2, 8, 3, 4])]
UNLABELLED_TARGET = [("two", [270, 1200, 0])]
TARGET = [("two", [270, 1200, 0, 192])]


def told(lines: Iterable[str]) -> list[tuple[str, list[int]]]:
    """Of each line on what a scene lacks, the scene and the numbers."""
    found = (re.fullmatch(r"\s*(one|two): (.*(?:left out|unmeasured).*)", line) for line in lines)
    return [(line[1], [int(number) for number in re.findall(r"\d+", line[2])]) for line in found if line]


@pytest.fixture
def catalogue(make_scene: Callable[..., Scene], tmp_path: Path) -> str:
    """A pair of files: bands 3 and 4 of the source are empty, nine rows of the target lack a band."""
    text = '[pairs.one-two]\nsource = "one"\ntarget = "two"\n'
    for seed, name in enumerate(("one", "two")):
        scene = make_scene(seed, name=name)
        cube = scene.cube.copy()
        if name == "one":
            cube[..., 3:5] = np.nan
        else:
            cube[:9, :, 6] = np.nan
        np.savez(tmp_path / f"{name}.npz", cube=cube, labels=scene.labels)
        names = ", ".join(f'"{known}"' for known in scene.class_names)
        text += f'[scenes.{name}]\ncube = "{name}.npz"\nclass_names = [{names}]\nunit = "reflectance"\n'
    (tmp_path / "scenes.toml").write_text(text)
    return str(tmp_path / "scenes.toml")


def test_a_pair_is_shown_with_what_its_files_lack(catalogue: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(Pair(pair="one-two", catalogue=catalogue)) == 0
    text = capsys.readouterr().out
    assert "3 shared classes, 6 shared bands" in text
    assert told(text.splitlines()) == SOURCE + TARGET
    assert "two pixels" in text
    assert "| soil  | 256 | 192 |" in text  # of 768 labels of the target, 192 are of unmeasured pixels


def test_a_picture_says_what_its_scene_lacks(
    catalogue: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "two.png"
    assert run_command(Show(scene="two", catalogue=catalogue, out=str(out))) == 0
    assert told(capsys.readouterr().out.splitlines()[-1:]) == TARGET
    with Image.open(out) as picture:
        assert picture.size[0] > 100


def test_the_first_lines_of_a_run_say_what_is_missing(catalogue: str) -> None:
    data = DataSpec(pairs=("one-two",), catalogue=catalogue, patch_size=5).load()
    assert told(describe_pair(data.pairs[0], [data.sources[0].split])) == SOURCE + UNLABELLED_TARGET


def test_a_scene_s_unmeasured_pixels_are_on_no_side(catalogue: str) -> None:
    data = DataSpec(scene="two", split="random", train_fraction=0.4, catalogue=catalogue, patch_size=5).load()
    pair, source = data.pairs[0], data.sources[0]
    assert pair.test_split is not None
    for pixels in (pair.test_split.train, pair.test_split.validation, source.split.train, source.split.validation):
        assert len(pixels) > 0
        assert pair.target.measured.ravel()[pixels].all()
    assert told(describe_pair(pair, [source.split])) == TARGET


def test_a_stored_scene_s_labels_of_unmeasured_pixels_are_dropped(
    make_scene: Callable[..., Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_scene()
    cube = whole.cube.copy()
    cube[:9] = 0
    with monkeypatch.context() as earlier:  # a version that did not look
        earlier.setattr(Scene, "_of_measured_pixels", lambda self, labels: labels.astype(np.int64))
        write_scene(replace(whole, cube=cube), tmp_path / "tiny.arrow")
    data = DataSpec(scene=str(tmp_path / "tiny.arrow"), split="random", patch_size=5).load()
    labelled = data.pairs[0].source.labels > 0
    assert labelled.any()
    assert not labelled[:9].any()


@pytest.mark.slow
def test_a_training_s_and_a_prediction_s_map_are_zero_where_nothing_was_measured(
    catalogue: str, tmp_path: Path
) -> None:
    def run(script: str, *words: str) -> str:
        environment = {k: v for k, v in os.environ.items() if k not in ("SCENESHIFT_DATA", "MLFLOW_TRACKING_URI")}
        done = subprocess.run(
            [sys.executable, f"experiments/{script}.py", *words, "--storage-path", str(tmp_path / "results")],
            cwd=ROOT,
            env={**environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    training = ["--method", "s2vnet", "--pair", "one-two", "--catalogue", catalogue, "--run-name", "r"]
    small = ["--patch-size", "5", "--epochs", "1", "--threads", "1", "--device", "cpu", "--set", "width=16", "heads=2"]
    shown = run("train", *training, *small)
    assert told(shown.splitlines()) == SOURCE + UNLABELLED_TARGET
    measured = np.broadcast_to((np.arange(40) >= 9)[:, None], (40, 30))
    folder = tmp_path / "results" / "training" / "r" / "report"
    class_map = np.load(folder / "map_one-two.npy")
    np.testing.assert_array_equal(class_map > 0, measured)
    scored = json.loads((folder / "summary.json").read_text())
    assert int(np.sum(scored["confusion"])) == 576  # labelled and measured pixels of the target

    with np.load(tmp_path / "two.npz") as two:
        np.save(tmp_path / "labels.npy", two["labels"])
    labels = ["--labels", str(tmp_path / "labels.npy"), "--class-names", "soil", "tree", "water"]
    where = ["--scene", str(tmp_path / "two.npz"), *labels]
    model = ["--model", "models:/s2vnet-one@trained", "--device", "cpu", "--format", "npy", "--probabilities"]
    shown = run("predict", *model, *where, "--out", str(tmp_path / "maps"))
    assert "6 of 8 bands" in shown
    assert "270 of 1200 pixels" in shown
    assert "192 pixels" in shown
    predicted = np.load(tmp_path / "maps" / "class_map.npy")
    np.testing.assert_array_equal(predicted, class_map)
    np.testing.assert_array_equal(np.load(tmp_path / "maps" / "probabilities.npy").any(axis=2), measured)
