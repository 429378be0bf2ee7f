"""A prediction, as a user starts it: a model from MLflow, a scene from a file, a folder of maps."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sceneshift.commands import predict as script
from sceneshift.commands.predict import predict_scene
from sceneshift.commands.predict_arguments import PredictArgs
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.files.arrays import read_label_map
from sceneshift.files.arrow_scenes import open_scene, write_scene
from sceneshift.files.scenes import export_labels, export_scene
from sceneshift.methods.s2amsnet import S2AMSnet, S2AMSnetConfig
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.scene import Georeference
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.model_description import ModelDescription
from sceneshift.tracking.models import load_scene_model, log_and_register
from sceneshift.tracking.search_run import SearchRun

ROOT = Path(__file__).resolve().parents[2]
CONFIG = S2AMSnetConfig(patch_size=7, width=8, generator_channels=4, normalization="standardize-per-band")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, make_scene):
    """The source, and the folder with another scene in several files."""
    folder = tmp_path_factory.mktemp("scenes")
    other = make_scene(1, name="other")
    write_scene(other, folder / "other.arrow")
    export_scene(other, folder / "other.mat", "mat")
    np.save(folder / "other.npy", other.cube)
    np.save(folder / "labels.npy", other.labels.astype(np.uint8))
    np.save(folder / "wide.npy", np.ones((4, 4, 9), dtype=np.float32))
    return make_scene(0, name="source"), folder


@pytest.fixture(scope="module")
def storage(tmp_path_factory, scenes):
    """A store with one registered model."""
    folder = tmp_path_factory.mktemp("results")
    backend = TrackingBackend(uri=f"sqlite:///{folder / 'mlflow.db'}", artifact_root=folder / "mlartifacts")
    backend.connect()
    mirror = SearchRun(backend, study_name="s", metric="val/aa", tags={}, params={})
    source = scenes[0]
    log_and_register(
        mirror.client,
        run_id=mirror.run_id,
        alias="champion",
        classifier=S2AMSnet.build_classifier(CONFIG, bands=8, classes=3),
        description=ModelDescription.of(
            method="s2amsnet",
            config=CONFIG,
            sources=[source],
            normalization=Normalization.fit(CONFIG.normalization, source.cube),
        ),
        tags={},
    )
    return folder


@pytest.fixture
def run(storage, scenes, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(scene="other.arrow", **changes):
        place = str(scenes[1] / scene) if "." in scene else scene
        values = {"model": "models:/s2amsnet-source@champion", "storage_path": str(storage), "device": "cpu"}
        return predict_scene(PredictArgs(scene=place, out=str(tmp_path / "maps"), **values | changes))

    return run


def test_a_scene_is_mapped_and_scored_the_same_from_every_file_and_with_every_tile(run, scenes, tmp_path, capsys):
    printed = run(labels="own", format=("png", "npy"))
    summary = json.loads((tmp_path / "maps" / "prediction.json").read_text())
    assert summary["version"] == "1"
    assert f"OA {100 * summary['scores']['oa']:.2f}" in printed
    assert str(tmp_path / "maps") in printed
    about = capsys.readouterr().out.splitlines()[0]
    assert about.startswith("model   models:/s2amsnet-source@champion (version 1): s2amsnet, ")
    assert "on source" in about
    assert "8 bands, 3 classes" in about
    first = read_label_map(tmp_path / "maps" / "class_map.png")
    model = load_scene_model("models:/s2amsnet-source@champion")
    cube = np.load(scenes[1] / "other.npy")
    np.testing.assert_array_equal(first, model.map_scene(cube))
    for changes in ({"tile_mib": 1}, {"scene": "other.mat"}, {"scene": "other.npy", "labels": None}):
        run(**{"overwrite": True, "labels": "own", "tile_mib": 512} | changes)
        np.testing.assert_array_equal(read_label_map(tmp_path / "maps" / "class_map.png"), first)
    run(scene="other.npy", labels=str(scenes[1] / "labels.npy"), overwrite=True, class_names=("soil", "tree", "water"))
    assert json.loads((tmp_path / "maps" / "prediction.json").read_text())["scores"] == summary["scores"]


def test_a_scene_of_a_catalogue_and_described_labels(run, scenes, tmp_path, capsys):
    run(scene="other.npy", labels=str(scenes[1] / "labels.npy"), class_names=("soil", "tree", "water"))
    maps = tmp_path / "maps"
    first, scores = read_label_map(maps / "class_map.png"), json.loads((maps / "prediction.json").read_text())["scores"]
    numbers = np.array([99, 7, 3, 40])[np.load(scenes[1] / "labels.npy")]
    np.save(tmp_path / "numbers.npy", numbers)
    described = {"label_values": (7, 3, 40), "unlabelled_values": (99,), "class_names": ("soil", "tree", "water")}
    run(scene="other.npy", labels=str(tmp_path / "numbers.npy"), overwrite=True, **described)
    assert json.loads((maps / "prediction.json").read_text())["scores"] == scores
    (tmp_path / "scenes.toml").write_text(
        f'[scenes.mine]\ncube = "{scenes[1] / "other.npy"}"\nlabels = "numbers.npy"\nlabel_values = [7, 3, 40]\n'
        'unlabelled_values = [99]\nclass_names = ["soil", "tree", "water"]\n'
    )
    capsys.readouterr()
    run(scene="mine", labels="own", overwrite=True, catalogue=str(tmp_path / "scenes.toml"))
    assert f"catalogue            {tmp_path}/scenes.toml (--catalogue)" in capsys.readouterr().out
    np.testing.assert_array_equal(read_label_map(maps / "class_map.png"), first)
    assert json.loads((maps / "prediction.json").read_text())["scores"] == scores
    with pytest.raises(InvalidInputError, match=r"--wavelengths-nm: 2 band centres; .* has 8 bands"):
        run(scene="other.npy", overwrite=True, wavelengths_nm=(400.0, 500.0))
    with pytest.raises(InvalidInputError, match="--wavelengths-nm"):
        run(scene="mine", overwrite=True, catalogue=str(tmp_path / "scenes.toml"), wavelengths_nm=(400.0, 500.0))


def test_labels_are_named_within_a_file(run, scenes, tmp_path):
    labels = np.load(scenes[1] / "labels.npy")
    scipy.io.savemat(tmp_path / "truth.mat", {"truth": {"train": np.zeros_like(labels), "test": labels}})
    arguments = {"scene": "other.npy", "class_names": ("soil", "tree", "water"), "overwrite": True}
    found = []
    for file in (scenes[1] / "labels.npy", f"{tmp_path}/truth.mat:truth.test"):
        run(labels=str(file), **arguments)
        found.append(json.loads((tmp_path / "maps" / "prediction.json").read_text())["scores"])
    assert found[0] == found[1]
    for name, message in (("truth.train", "above 0"), ("truth.tset", r"'truth\.tset'")):
        with pytest.raises(InvalidInputError, match=message):
            run(labels=f"{tmp_path}/truth.mat:{name}", **arguments)


def test_a_stored_scene_without_labels_is_mapped_and_scored_by_a_file_alone(run, scenes, tmp_path):
    run(scene="other.arrow", labels="own", format=("npy",))
    first = np.load(tmp_path / "maps" / "class_map.npy")
    scores = json.loads((tmp_path / "maps" / "prediction.json").read_text())["scores"]
    write_scene(open_scene(scenes[1] / "other.arrow").without_labels(), tmp_path / "bare.arrow")
    arguments = {"scene": str(tmp_path / "bare.arrow"), "format": ("npy",), "overwrite": True}
    with pytest.raises(InvalidInputError, match="without labels"):
        run(labels="own", **arguments)
    run(**arguments)
    np.testing.assert_array_equal(np.load(tmp_path / "maps" / "class_map.npy"), first)
    assert json.loads((tmp_path / "maps" / "prediction.json").read_text())["scores"] is None
    run(labels=str(scenes[1] / "labels.npy"), class_names=("soil", "tree", "water"), **arguments)
    assert json.loads((tmp_path / "maps" / "prediction.json").read_text())["scores"] == scores


def test_labels_are_distinguished_by_their_names(run, scenes, tmp_path):
    run(scene="other.npy", labels=str(scenes[1] / "labels.npy"), class_names=("water", "Tree", "soil"))
    (note,) = json.loads((tmp_path / "maps" / "prediction.json").read_text())["notes"]
    assert "Tree (256 " in note
    assert "'tree'" in note
    run(scene="other.npy", labels=str(scenes[1] / "labels.npy"), overwrite=True)
    summary = json.loads((tmp_path / "maps" / "prediction.json").read_text())
    (note,) = summary["notes"]
    assert note.startswith("labels: ")
    assert "class names" in note
    assert summary["scores"]["oa"] >= 0


def test_scores_on_the_source_itself_say_so(run, scenes, tmp_path):
    write_scene(replace(scenes[0], footprint=None), tmp_path / "source.arrow")
    run(scene=str(tmp_path / "source.arrow"), labels="own")
    (note,) = json.loads((tmp_path / "maps" / "prediction.json").read_text())["notes"]
    assert "this image (source)" in note


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "models:/s2amsnet-sauce@champion"}, "'s2amsnet-source'"),
        ({"storage_path": "/nowhere"}, "mlflow.db"),
        ({"scene": "none.npy"}, r"none\.npy"),
        ({"scene": "indian_pins"}, "indian_pins: .*indian_pines"),
        ({"scene": "wide.npy"}, r"9 bands.*8"),
        ({"scene": "indian_pines"}, r"200 bands.*8"),
        ({"labels": "/none.png"}, r"--labels.*none.png"),
        ({"labels": "indian_pines"}, "indian_pines"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_computed(run, tmp_path, monkeypatch, changes, message):
    monkeypatch.setattr("sceneshift.tracking.scene_model.classify_tiles", lambda *_, **__: pytest.fail("computed"))
    with pytest.raises((InvalidInputError, MissingDataError), match=message):
        run(**changes)
    assert not (tmp_path / "maps").exists()


def test_labels_of_another_scene_are_refused(run, tmp_path):
    for labels, message in (
        (np.ones((5, 5)), r"\(5, 5\).*'other'.*\(40, 30\)"),
        (np.full((40, 30), 7), r"up to 7.*3 classes"),
        (np.zeros((40, 30)), "above 0"),
    ):
        np.save(tmp_path / "l.npy", labels.astype(np.uint8))
        with pytest.raises(InvalidInputError, match=message):
            run(labels=str(tmp_path / "l.npy"))


def test_labels_of_another_place_are_refused_and_cut_on_demand(run, scenes, tmp_path):
    pytest.importorskip("rasterio")
    other = open_scene(scenes[1] / "other.arrow")
    places = [Georeference(transform=(2, 0, 2 * x, 0, -2, 100), crs="EPSG:32633") for x in (500, 503)]
    export_scene(replace(other, georeference=places[0]), tmp_path / "other.tif", "geotiff")
    labels = np.zeros((40, 30), dtype=np.uint8)
    labels[:, :27] = other.labels[:, 3:]
    export_labels(labels, tmp_path / "apart.tif", "geotiff", class_names=other.class_names, georeference=places[1])
    arguments = {"scene": str(tmp_path / "other.tif"), "labels": str(tmp_path / "apart.tif"), "format": ("npy",)}
    arguments["class_names"] = other.class_names
    with pytest.raises(InvalidInputError, match=r"\(1000, 100\).*\(1006, 100\).*40 x 27 pixels"):
        run(**arguments)
    run(**arguments, cut_to_overlap=True)
    class_map = np.load(tmp_path / "maps" / "class_map.npy")
    assert class_map.shape == (40, 30)
    known = other.labels[:, 3:] > 0
    right = float((class_map[:, 3:] == other.labels[:, 3:])[known].mean())
    scores = json.loads((tmp_path / "maps" / "prediction.json").read_text())["scores"]
    assert scores["oa"] == pytest.approx(right)


def test_a_cube_in_another_unit_is_mapped_by_its_scale_alone(run, scenes, tmp_path):
    cube = np.load(scenes[1] / "other.npy")
    np.save(tmp_path / "counts.npy", 1000 * cube)
    np.save(tmp_path / "own.npy", (cube - cube.min()) / (cube.max() - cube.min()))
    for name, low, high in (("counts", 1000 * cube.min(), 1000 * cube.max()), ("own", 0, 1)):
        with pytest.raises(InvalidInputError) as error:
            run(scene=str(tmp_path / f"{name}.npy"))
        source = scenes[0].cube
        assert f"{low:g} to {high:g}: " in str(error.value)
        assert f"{source.min():g} to {source.max():g}. Declare what" in str(error.value)
    run(scene="other.npy", format=("npy",))
    first = np.load(tmp_path / "maps" / "class_map.npy")
    run(scene=str(tmp_path / "counts.npy"), scale=1000, format=("npy",), overwrite=True)
    assert np.mean(np.load(tmp_path / "maps" / "class_map.npy") == first) > 0.999  # but for rounding


def test_an_interrupted_prediction_leaves_no_file(storage, scenes, tmp_path):
    big = np.tile(np.load(scenes[1] / "other.npy"), (30, 40, 1))
    np.save(tmp_path / "big.npy", big)
    words = ["--model", "models:/s2amsnet-source@champion", "--scene", str(tmp_path / "big.npy"), "--tile-mib", "1"]
    words += ["--out", str(tmp_path / "maps"), "--storage-path", str(storage), "--probabilities", "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "experiments/predict.py", *words],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # A shell lets what it starts in the background ignore SIGINT, and so would what these tests start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("maps/.prediction.*/.probabilities.npy")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"{tmp_path / 'maps'}" in stderr
    assert not (tmp_path / "maps").exists()


def test_errors_are_one_line_and_a_status(capsys, monkeypatch):
    args = PredictArgs(model="m", scene="none.npy", out="maps")
    monkeypatch.setattr(script, "read_predict_command_line", lambda: args)
    assert script.main() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: --scene none.npy: ")
