"""A training, as a user starts it: in a process of its own, on the embedded scene and one of its pairs.

All trainings here run on one thread, where weights are reproducible bit for bit.
"""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import image

from sceneshift.catalogue.indian_pines import load_indian_pines
from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.target import open_target
from sceneshift.commands.announcements import announce_training
from sceneshift.commands.train_arguments import TrainArgs
from sceneshift.engine.prepared_training import prepare_training
from sceneshift.splits.split import random_split
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.evaluation import map_scene
from sceneshift.training.loop import train

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "experiments/train.py"
SMALL = ["--patch-size", "5", "--batch-size", "256", "--threads", "1", "--device", "cpu"]
SCENE = ["--method", "s2vnet", "--scene", "indian_pines", "--split", "random"]
S2VNET = [*SCENE, *SMALL, "--set", "width=16", "heads=2"]
RUN = [*S2VNET, "--epochs", "2", "--run-name", "r"]


def environment():
    kept = {k: v for k, v in os.environ.items() if k not in ("SCENESHIFT_DATA", "MLFLOW_TRACKING_URI")}
    return {**kept, "OMP_NUM_THREADS": "1"}


def start(storage, *words):
    return subprocess.run(
        [sys.executable, SCRIPT, *words, "--storage-path", str(storage)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def summary(folder):
    return json.loads((folder / "report" / "summary.json").read_text())


def without_floors_seconds(expected):
    """A summary without the seconds of floors, which are fitted again at every closing."""
    network, *floors = expected["scores"]
    for row in (*floors, *expected["floors"]):
        del row["seconds"]
    return {**expected, "scores": [network, *floors]}


def last_state(folder):
    found = CheckpointFolder(str(folder / "checkpoints")).load_latest()
    assert found is not None
    return found


def weights_of(folder, pair):
    epoch, state = last_state(folder)
    return epoch, state["report"]["weights"][pair]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    storage = tmp_path_factory.mktemp("training")
    return storage, start(storage, *RUN)


@pytest.fixture(scope="module")
def folder(trained):
    return trained[0] / "training" / "r"


@pytest.fixture(scope="module")
def client(trained):
    storage, _ = trained
    return TrackingBackend(uri=f"sqlite:///{storage / 'mlflow.db'}", artifact_root=storage / "mlartifacts").connect()


@pytest.fixture(scope="module")
def runs_in(client):
    def search():
        return client.search_runs([client.get_experiment_by_name("training").experiment_id])

    return search


@pytest.mark.slow
def test_a_training_ends_well_and_shows_epochs_and_classes(trained, folder):
    storage, done = trained
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"MLFLOW_TRACKING_URI  sqlite:///{storage}/mlflow.db"
    for text in (
        "run                  r",
        f"kept in              {folder}",
        "method               s2vnet, 2 epochs, seed 0, float32, cpu",
        "scene indian_pines   1031 training and 9218 test pixels",
        "LEAKS (patch 5: ",
        "epoch    1/2  loss ",
        "epoch    2/2  loss ",
        "Mapping 145 x 145 pixels.",
        "| Corn-notill                  |   143 | 1285 |",
        f"OA {100 * summary(folder)['test']['oa']:.2f}, AA ",
        "LEAKS; patch 5: of 9218 pixels ",
        "Registered models:/s2vnet-indian_pines@trained (version 1)",
        str(folder / "report"),
    ):
        assert text in done.stdout
    assert len(done.stderr.splitlines()) < 5


@pytest.mark.slow
def test_the_whole_scene_is_mapped_unlabelled_pixels_too(folder):
    class_map = np.load(folder / "report" / "map_indian_pines.npy")
    scene = load_indian_pines()
    assert class_map.shape == scene.shape
    assert (class_map >= 1).all()
    assert (class_map <= 16).all()
    assert len(np.unique(class_map[scene.labels == 0])) > 1


@pytest.mark.slow
def test_pictures_are_drawn(folder):
    report = folder / "report"
    kinds = ("map", "confusion", "abundances", "endmembers", "reconstruction")
    pictures = {f"{kind}_indian_pines.png" for kind in kinds}
    others = {"map_indian_pines.npy", "scores.md", "per_class.md", "per_class.csv", "summary.json"}
    assert {path.name for path in report.iterdir()} == pictures | others
    for name in pictures:
        pixels = image.imread(report / name)
        assert pixels.shape[0] > 300
        assert pixels.std() > 0.05


@pytest.mark.slow
def test_tables_and_summary_are_of_the_saved_map_on_the_test_pixels(folder):
    result = summary(folder)
    prepared = prepared_from(arguments(folder.parents[1], epochs=2, split="random"))
    class_map = np.load(folder / "report" / "map_indian_pines.npy").astype(np.int64)
    scores = open_target(prepared.data.recipes[0]).score(class_map)
    assert result["test"] == scores.as_dict()
    assert result["confusion"] == scores.confusion.tolist()
    assert scores.confusion.sum() == 9218
    assert result["settings"] == json.loads(json.dumps(prepared.settings()))
    assert result["validation"] is None
    (near,) = result["separation"]
    assert near["leaks"]
    assert (near["side"], near["split"], near["patch size"], near["pixels"]) == ("test", "random", 5, 9218)
    assert near["with an overlapping patch"] >= near["inside a training patch"] > 5000
    row = f"| indian_pines | test | random, LEAKS | 5 | 9218 | {near['inside a training patch']} ("
    assert row in " ".join((folder / "report" / "per_class.md").read_text().split())
    with (folder / "report" / "per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list(load_indian_pines().class_names)
    assert sum(int(row["train"]) for row in rows) == 1031
    assert [int(row["test"]) for row in rows] == scores.confusion.sum(axis=1).tolist()
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(scores.recall.tolist(), abs=1e-6)
    assert "| Stone-Steel-Towers" in (folder / "report" / "per_class.md").read_text()


@pytest.mark.slow
def test_mlflow_has_settings_epochs_scores_and_report(folder, client, runs_in):
    (run,) = runs_in()
    assert (run.info.status, run.info.run_name) == ("FINISHED", "r")
    assert run.data.params["width"] == "16"
    assert run.data.params["trained on"] == "indian_pines"
    result = summary(folder)
    assert run.data.tags["mlflow.note.content"].startswith(result["verdict"]["sentence"])
    assert {f"target/{name}": value for name, value in result["test"].items()}.items() <= run.data.metrics.items()
    assert "target/class/Woods" in run.data.metrics
    for name in ("loss", "ce", "sad", "kl", "tv_e", "tv_a"):
        history = client.get_metric_history(run.info.run_id, f"train/indian_pines/{name}")
        assert [metric.step for metric in history] == [1, 2]
    (near,) = result["separation"]
    metrics, of_test = run.data.metrics, "separation/indian_pines/test"
    assert metrics[f"{of_test}/inside_training_patch"] == near["inside a training patch"]
    assert metrics[f"{of_test}/overlapping_patch"] == near["with an overlapping patch"]
    assert run.data.tags["separation.indian_pines.test"].startswith("random, LEAKS; patch 5: of 9218 ")
    assert not [name for name in run.data.metrics if name.startswith("val/")]
    for tag in (
        *(f"{what}.hash.indian_pines" for what in ("split", "test_split", "source", "target")),
        "seed",
        "version.torch",
    ):
        assert run.data.tags[tag]
    logged = {Path(artifact.path).name for artifact in client.list_artifacts(run.info.run_id, "report")}
    assert logged == {path.name for path in (folder / "report").iterdir()}


@pytest.mark.slow
def test_the_registered_model_answers_raw_patches_as_the_map_does(trained, folder, client):
    import mlflow

    from sceneshift.scenes.patches import PatchSampler

    mlflow.set_tracking_uri(f"sqlite:///{trained[0]}/mlflow.db")
    version = client.get_model_version_by_alias("s2vnet-indian_pines", "trained")
    assert version.tags["weights"] == weights_of(folder, "indian_pines")[1]
    model = mlflow.pyfunc.load_model("models:/s2vnet-indian_pines@trained")
    cube = load_indian_pines().cube
    # Corners and edges, and a hundred pixels anywhere.
    anywhere = np.random.default_rng(0).choice(cube.shape[0] * cube.shape[1], 100, replace=False)
    pixels = np.r_[0, 144, 145 * 144, 145 * 145 - 1, anywhere]
    sampler = PatchSampler(np.asarray(cube, dtype=np.float32), patch_size=5, device="cpu")
    patches = np.ascontiguousarray(sampler.patches(torch.from_numpy(pixels)).numpy())
    expected = np.load(folder / "report" / "map_indian_pines.npy").ravel()[pixels]
    assert model.predict(patches).tolist() == expected.tolist()
    assert len(set(expected.tolist())) > 1


def essence(folder):
    files = {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    assert len(files) > 10
    return files


@pytest.mark.slow
def test_a_name_that_exists_is_refused_and_nothing_changes(trained, folder, runs_in):
    storage, _ = trained
    before, recorded = essence(folder), [run.to_dictionary() for run in runs_in()]
    again = start(storage, *RUN)
    assert again.returncode == 2
    assert "error: " in again.stderr
    assert f"'r' exists at {folder}" in again.stderr
    assert "Traceback" not in again.stderr
    assert essence(folder) == before
    assert [run.to_dictionary() for run in runs_in()] == recorded


@pytest.mark.slow
def test_resuming_with_another_setting_is_refused_and_named(trained, folder):
    storage, _ = trained
    before = essence(folder)
    again = start(storage, *RUN, "--resume", "--lr", "0.5")
    assert again.returncode == 2
    assert "error: run 'r'" in again.stderr
    assert [line for line in again.stderr.splitlines() if ": was " in line] == ["  config.lr: was 0.001, is 0.5"]
    assert essence(folder) == before


@pytest.mark.slow
def test_resuming_a_finished_run_scores_it_again_and_changes_no_figure(trained, folder, client, runs_in):
    storage, _ = trained
    result, weights = summary(folder), weights_of(folder, "indian_pines")
    class_map = np.load(folder / "report" / "map_indian_pines.npy")
    again = start(storage, *RUN, "--resume")
    assert again.returncode == 0, again.stderr
    assert without_floors_seconds(summary(folder)) == without_floors_seconds(result)
    assert weights_of(folder, "indian_pines") == weights
    np.testing.assert_array_equal(np.load(folder / "report" / "map_indian_pines.npy"), class_map)
    (run,) = runs_in()
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "train/indian_pines/loss")
    assert [metric.step for metric in history] == [1, 2]
    # The same weights are registered once.
    assert str(client.get_model_version_by_alias("s2vnet-indian_pines", "trained").version) == "1"


@pytest.mark.slow
def test_a_name_that_does_not_exist_cannot_be_resumed(trained):
    storage, _ = trained
    done = start(storage, *RUN[:-1], "other", "--resume")
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert f"'other' at {storage / 'training' / 'other'}" in done.stderr
    assert not (storage / "training" / "other").exists()


@pytest.mark.slow
def test_a_training_run_again_comes_to_the_same_to_the_last_bit(trained, runs_in):
    storage, _ = trained
    (run,) = [run for run in runs_in() if run.info.run_name == "r"]
    done = start(storage, "--from-run", run.info.run_id, "--run-name", "again", "--experiment-name", "repeats")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal" in done.stdout
    assert summary(storage / "repeats" / "again")["confusion"] == summary(storage / "training" / "r")["confusion"]


#: The script, in which recording the end in MLflow takes forever.
WAITING = """
import sys, time
from sceneshift.commands.train import main
from sceneshift.tracking.training_run import TrainingRun

TrainingRun.close = lambda self, status: time.sleep(300)
sys.exit(main())
"""


@pytest.mark.slow
def test_who_interrupts_twice_need_not_wait_for_mlflow(tmp_path):
    words = [*S2VNET, "--train-fraction", "0.02", "--epochs", "500", "--run-name", "r"]
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, *words, "--storage-path", str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.startswith(("epoch ", "Interrupted. To resume:")):
            process.send_signal(signal.SIGINT)
    process.stdout.close()
    assert process.wait(timeout=60) == 130, "".join(printed)
    shown = "".join(printed)
    assert "Stopped at once" in shown
    assert shown.strip().endswith("--resume")


@pytest.mark.slow
def test_a_method_trains_on_a_pair_and_shows_validation_and_target(tmp_path):
    settings = ["--set", "width=16", "generator_channels=8"]
    line = "--method s2amsnet --pair sw-se --epochs 1 --run-name p"
    done = start(tmp_path, *line.split(), *SMALL, *settings)
    assert done.returncode == 0, done.stderr
    result = summary(tmp_path / "training" / "p")
    assert set(result["validation"]) == set(result["test"]) == {"oa", "aa", "kappa"}
    rows = {row["role"]: row for row in result["scores"]}
    assert set(rows) == {"s2amsnet", "logistic regression", "SVM (RBF)", "random forest", "majority class"}
    assert rows["s2amsnet"]["validation"] == result["validation"]
    assert rows["s2amsnet"]["target"] == result["test"]
    assert result["verdict"]["network aa"] == result["test"]["aa"]
    assert result["verdict"]["sentence"] in done.stdout
    assert (tmp_path / "training" / "p" / "report" / "scores.md").read_text().startswith(result["verdict"]["sentence"])
    assert "| sw-se | s2amsnet " in done.stdout
    assert "Run p, " in done.stdout
    assert "epoch    1/1  " in done.stdout
    assert f"val AA {100 * result['validation']['aa']:.1f}" in done.stdout
    assert "training and " in done.stdout
    assert "by blocks" in done.stdout
    (near,) = result["separation"]
    assert (near["side"], near["inside a training patch"], near["leaks"]) == ("validation", 0, False)
    (told,) = [line for line in done.stdout.splitlines() if line.startswith("sw-se, validation pixels: blocks")]
    counts = [near[key] for key in ("guard", "patch size", "pixels", "inside a training patch")]
    assert [int(number) for number in re.findall(r"\d+", told)][:4] == counts
    assert sum(map(sum, result["confusion"])) == 977
    names = {path.name for path in (tmp_path / "training" / "p" / "report").iterdir()}
    assert names == {
        *("map_sw-se.npy", "map_sw-se.png", "confusion_sw-se.png"),
        *("scores.md", "per_class.md", "per_class.csv", "summary.json"),
    }


@pytest.mark.slow
def test_a_spectral_floor_is_trained_resumed_mapped_and_registered_like_a_network(tmp_path):
    import mlflow

    words = "--method random_forest --pair sw-se --run-name f --threads 1 --device cpu --train-fraction 0.2"
    line = words.split()
    done = start(tmp_path, *line)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "training" / "f"
    result, weights = summary(folder), weights_of(folder, "sw-se")
    assert result["settings"]["epochs"] == 1
    assert result["settings"]["config.patch_size"] == 1
    class_map = np.load(folder / "report" / "map_sw-se.npy")
    assert len(np.unique(class_map)) > 1
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/random_forest-indian_pines-sw@trained")
    np.testing.assert_array_equal(model.predict(np.array(load_pair("sw-se").target.cube)), class_map)
    again = start(tmp_path, *line, "--resume")
    assert again.returncode == 0, again.stderr
    assert without_floors_seconds(summary(folder)) == without_floors_seconds(result)
    assert weights_of(folder, "sw-se") == weights


def arguments(storage, **changes):
    return TrainArgs(
        **{
            "method": "s2vnet",
            "scene": "indian_pines",
            "patch_size": 5,
            "batch_size": 256,
            "set": ("width=16", "heads=2"),
            "device": "cpu",
            "storage_path": str(storage),
            "run_name": "r",
            **changes,
        }
    )


def prepared_from(given):
    return prepare_training(given.spec(), given.options())


def trained_in_process(prepared):
    (run,) = train(prepared.spec, prepared.data.sources, report=lambda _: None, device="cpu")
    return run


@pytest.mark.slow
def test_an_interrupted_training_continues_as_if_it_had_not_been(tmp_path):
    epochs = 30
    words = [*S2VNET, "--train-fraction", "0.02", "--epochs", str(epochs)]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *words, "--storage-path", str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    waited_until = time.monotonic() + 200
    while not list(tmp_path.glob("training/*/checkpoints/epoch_00003.ckpt")) and time.monotonic() < waited_until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "Interrupted. To resume:" in printed
    assert "Traceback" not in printed
    command = shlex.split(printed.strip().splitlines()[-1])
    (folder,) = (tmp_path / "training").glob("s2vnet-indian_pines-random-*")
    # The name was made up at the start: the command has it.
    assert command[-3:] == ["--run-name", folder.name, "--resume"]
    cut_at, _ = last_state(folder)
    assert 3 <= cut_at < epochs
    backend = TrackingBackend(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", artifact_root=tmp_path / "mlartifacts")
    client = backend.connect()
    experiment = client.get_experiment_by_name("training").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.status == "KILLED"
    assert run.data.metrics["epoch"] in (cut_at - 1, cut_at)

    resumed = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert resumed.returncode == 0, resumed.stderr
    uncut = prepared_from(arguments(tmp_path, split="random", train_fraction=0.02, epochs=epochs))
    expected = weights_hash(trained_in_process(uncut).classifier)
    assert weights_of(folder, "indian_pines") == (epochs, expected)
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FINISHED"
    steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "train/indian_pines/loss")]
    assert steps == list(range(1, epochs + 1))


def test_no_test_label_steers_the_weights(tmp_path):
    scene = load_indian_pines()
    split = random_split(scene, train_fraction=0.05, patch_size=5, seed=0)
    train_mask, test_mask, scrambled = (np.zeros(scene.labels.size, dtype=np.int64) for _ in range(3))
    train_mask[split.train] = scene.labels.ravel()[split.train]
    test_mask[split.validation] = scene.labels.ravel()[split.validation]
    scrambled[split.validation] = np.random.default_rng(0).permutation(test_mask[split.validation])
    assert (scrambled != test_mask).sum() > 5000
    for name, mask in (("train", train_mask), ("real", test_mask), ("scrambled", scrambled)):
        np.save(tmp_path / f"{name}.npy", mask.reshape(scene.shape))

    outcomes = {}
    for name in ("real", "scrambled"):
        masks = {"train_mask": str(tmp_path / "train.npy"), "test_mask": str(tmp_path / f"{name}.npy")}
        prepared = prepared_from(arguments(tmp_path, split="fixed", epochs=2, batch_size=32, lr=0.01, **masks))
        run = trained_in_process(prepared)
        cube = run.normalization.apply(prepared.data.pairs[0].target.cube)
        class_map = map_scene(run.classifier, cube, patch_size=5, device="cpu")
        scores = open_target(prepared.data.recipes[0]).score(class_map)
        outcomes[name] = (
            weights_hash(run.classifier),
            class_map.tobytes(),
            json.dumps(prepared.settings()),
            announce_training(prepared),
            scores.confusion.tolist(),
        )
        assert len(np.unique(class_map)) > 3  # no score of a constant map depends on which label is where
    *steered, real = outcomes["real"]
    *steered_by_scrambled, wrong = outcomes["scrambled"]
    assert steered == steered_by_scrambled
    assert real != wrong
    # The scores do hang on the test labels, and on as many of them.
    assert np.sum(real) == np.sum(wrong) == len(split.validation)
