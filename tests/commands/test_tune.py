"""The whole search, as a user starts it: in a process of its own, on the embedded pairs.

All searches here run one trial at a time on one thread, where suggestions, weights and scores are reproducible.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from matplotlib import image

pytestmark = pytest.mark.slow

NAME = "study"
MODEL_VERSIONS = "mlflow.modelVersions"
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ["experiments/tune_s2amsnet.py"]
ARGUMENTS = [
    "--smoke-test",
    "--max-concurrent-trials",
    "1",
    "--cpus-per-trial",
    "1",
    "--time-budget-s",
    "600",
    "--experiment-name",
    NAME,
]

#: The same script with all labels of the target halves permuted among their pixels.
PERMUTED = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from sceneshift.catalogue import indian_pines
from sceneshift.commands.tune import main

scene = indian_pines.load_indian_pines()
labels = scene.labels.copy()
east = labels[:, 72:]
east[east > 0] = np.random.default_rng(0).permutation(east[east > 0])
shuffled = replace(scene, labels=labels)
assert (shuffled.labels != scene.labels).sum() > 2000
indian_pines.load_indian_pines = lambda: shuffled
sys.exit(main("s2amsnet", Path("search_spaces/s2amsnet.py")))
"""


def environment():
    kept = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")}
    return {**kept, "OMP_NUM_THREADS": "1"}


def search(storage, *extra, program=SCRIPT):
    return subprocess.run(
        [sys.executable, *program, *ARGUMENTS, "--storage-path", str(storage), *extra],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def trials(storage):
    storage_url = f"sqlite:///{storage / NAME / 'optuna.db'}"
    return optuna.load_study(study_name=NAME, storage=storage_url).trials


def essence(storage):
    """What must not change between two runs of one search."""
    trials_of = []
    for trial in trials(storage):
        epochs = {
            key: {name: value for name, value in metrics.items() if name.startswith(("val/", "train/"))}
            for key, metrics in trial.user_attrs.items()
            if key.startswith("epoch:")
        }
        trials_of.append((trial.number, trial.state.name, trial.params, epochs, trial.user_attrs["weights"]))
    return trials_of


def summary(storage):
    return json.loads((storage / NAME / "report" / "summary.json").read_text())


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    storage = tmp_path_factory.mktemp("uncut")
    return storage, search(storage)


@pytest.fixture(scope="module")
def client(uncut):
    import mlflow

    storage, _ = uncut
    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{storage}/mlflow.db")


def test_the_search_ends_well_and_says_little(uncut):
    _, done = uncut
    assert done.returncode == 0, done.stderr
    finished = [line for line in done.stdout.splitlines() if line.startswith("trial ")]
    assert len(finished) == 3
    assert len(done.stdout.splitlines()) < 95
    assert len(done.stderr.splitlines()) < 5


def test_resolved_addresses_are_the_first_lines(uncut):
    storage, done = uncut
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("RAY_ADDRESS          local Ray")
    assert second == f"MLFLOW_TRACKING_URI  sqlite:///{storage}/mlflow.db"


def test_the_last_screen_shows_what_a_user_wants_to_know(uncut, client):
    storage, done = uncut
    experiment = client.get_experiment_by_name(NAME)
    for text in (
        "Best configuration: trial",
        "| west-east | majority class",
        "| sw-se     | best, every field",
        "| sw-se     | logistic regression | ",
        "blocks, guard 3; patch 7: of ",
        "profile smoke-test",
        "opened once",
        f"sceneshift ui --storage-path {storage}\n",
        f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs/",
        str(storage / NAME / "report"),
    ):
        assert text in done.stdout


def test_scores_are_next_to_defaults_and_majority_class(uncut):
    storage, _ = uncut
    result = summary(storage)
    rows = {(row["pair"], row["role"]): row for row in result["scores"]}
    assert {pair for pair, _ in rows} == {"west-east", "sw-se"}
    networks, floors = {"best", "best, every field", "defaults"}, {"logistic regression", "SVM (RBF)", "random forest"}
    assert {role for _, role in rows} == networks | floors | {"majority class"}
    for (_, role), row in rows.items():
        assert (row["validation"] is None) is (role == "best, every field" or role in floors)
        assert (row["normalization"] is None) is (role == "majority class")
        assert (row["seconds"] is None) is (role == "majority class")
    for pair, (verdict,) in ((p, [v for v in result["verdicts"] if v["pair"] == p]) for p in ("west-east", "sw-se")):
        assert verdict["network aa"] == rows[pair, "best, every field"]["target"]["aa"]
        assert verdict["floor aa"] == max(rows[pair, floor]["target"]["aa"] for floor in floors)
        assert [floor["training pixels"] for floor in result["floors"][pair]] == [60, 60, 60]
    # Always Soybean-mintill, the sources' largest class: 564 of 2199 and 60 of 977 target pixels.
    assert rows["west-east", "majority class"]["target"]["oa"] == pytest.approx(564 / 2199)
    assert rows["sw-se", "majority class"]["target"]["oa"] == pytest.approx(60 / 977)
    assert result["largest target class"] == pytest.approx({"west-east": 807 / 2199, "sw-se": 381 / 977})
    best = rows["west-east", "best"]
    assert set(best["validation"]) == set(best["target"]) == {"oa", "aa", "kappa"}
    assert result["times the target was opened"] == 1
    assert [(row["pair"], row["side"], row["leaks"]) for row in result["separation"]] == [
        ("west-east", "validation", False),
        ("sw-se", "validation", False),
    ]
    written = " ".join((storage / NAME / "report" / "scores.md").read_text().split())
    for row in result["separation"]:
        assert f"| {row['pair']} | validation | blocks, guard {row['guard']} | {row['patch size']} | " in written
        assert row["inside a training patch"] == 0


def test_pictures_are_drawn_and_logged(uncut, client):
    storage, _ = uncut
    folder = storage / NAME / "report"
    names = {"map_west-east.png", "map_sw-se.png", "confusion_west-east.png", "confusion_sw-se.png"}
    names |= {"optimization_history.png", "summary.json", "scores.md"}
    names |= {"evidence.json", "index.html", "report.md", "tables"}
    assert {path.name for path in folder.iterdir()} == names
    for name in names:
        if name.endswith(".png"):
            pixels = image.imread(folder / name)
            assert pixels.shape[0] > 300
            assert pixels.std() > 0.05
    parent = client.search_runs(
        [client.get_experiment_by_name(NAME).experiment_id], "tags.`sceneshift.study` = 'parent'"
    )
    logged = client.list_artifacts(parent[0].info.run_id, "report")
    assert {Path(artifact.path).name for artifact in logged} == names


def test_mlflow_has_the_study_and_its_trials(uncut, client):
    storage, _ = uncut
    runs = client.search_runs([client.get_experiment_by_name(NAME).experiment_id])
    (parent,) = [run for run in runs if run.data.tags["sceneshift.study"] == "parent"]
    children = {int(run.data.tags["sceneshift.trial"]): run for run in runs if run is not parent}
    assert parent.info.status == "FINISHED"
    recorded = trials(storage)
    assert sorted(children) == [trial.number for trial in recorded]
    for trial in recorded:
        run = children[trial.number]
        assert run.data.tags["sceneshift.state"] == trial.state.name.lower()
        assert run.data.params == {key: str(value) for key, value in trial.user_attrs["config"].items()}
        history = client.get_metric_history(run.info.run_id, "val/aa")
        assert {m.step: m.value for m in history} == pytest.approx(trial.intermediate_values)
        for tag in (
            "git.commit",
            "seed",
            "profile",
            "version.torch",
            "source.hash.sw-se",
            "target.hash.sw-se",
            "split.hash.sw-se",
            "separation.sw-se.validation",
        ):
            assert run.data.tags[tag] == parent.data.tags[tag]
        assert len(run.data.tags["search_space.hash"]) == 16
    near = {row["pair"]: row["with an overlapping patch"] for row in summary(storage)["separation"]}
    for pair, count in near.items():
        assert parent.data.metrics[f"separation/{pair}/validation/overlapping_patch"] == count
        assert parent.data.metrics[f"separation/{pair}/validation/inside_training_patch"] == 0
    for verdict in summary(storage)["verdicts"]:
        pair = verdict["pair"]
        assert parent.data.metrics[f"target/{pair}/aa"] == verdict["network aa"]
        assert parent.data.metrics[f"floor/{pair}/aa"] == verdict["floor aa"]
        assert parent.data.tags[f"verdict.{pair}"] == verdict["outcome"]
    winner = children[summary(storage)["best"]["trial"]]
    assert {"target/west-east/oa", "target/sw-se/kappa"} <= winner.data.metrics.keys()
    reference = children[0]
    others = [run for run in children.values() if run not in (winner, reference)]
    assert all(not key.startswith("target/") for run in others for key in run.data.metrics)


def test_the_study_s_run_shows_its_story(uncut, client):
    storage, _ = uncut
    result = summary(storage)
    experiment = client.get_experiment_by_name(NAME)
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`sceneshift.study` = 'parent'")
    winner = client.get_run(parent.data.tags["best.run"])
    assert winner.data.tags["sceneshift.trial"] == parent.data.tags["best.trial"] == str(result["best"]["trial"])
    note = parent.data.tags["mlflow.note.content"]
    assert (storage / NAME / "report" / "scores.md").read_text().strip() in note
    assert note.startswith(result["verdicts"][0]["sentence"])
    assert "once" in note
    assert f"#/experiments/{experiment.experiment_id}/runs/{winner.info.run_id}" in note
    shown = re.findall(r"get-artifact\?path=description/([\w-]+\.png)&run_uuid=" + parent.info.run_id, note)
    assert {"map_west-east.png", "map_sw-se.png", "optimization_history.png"} <= set(shown)
    logged = {Path(artifact.path).name for artifact in client.list_artifacts(parent.info.run_id, "description")}
    assert logged == set(shown)
    contexts = {
        (i.dataset.digest, tag.value)
        for i in parent.inputs.dataset_inputs
        for tag in i.tags
        if tag.key == "mlflow.data.context"
    }
    tags = parent.data.tags
    assert contexts == {
        (tags[f"{side}.hash.{pair}"], context)
        for pair in ("west-east", "sw-se")
        for side, context in (("source", "training"), ("target", "observed"))
    }
    assert {i.dataset.digest for i in winner.inputs.dataset_inputs} == {
        tags["source.hash.west-east"],
        tags["source.hash.sw-se"],
    }
    view = json.loads(experiment.tags["mlflow.sharedViewState.trials"])
    assert {"metrics.`val/aa`", "metrics.`target/sw-se/aa`", "params.`lr`"} <= set(view["selectedColumns"])
    models = {output.model_id for output in parent.outputs.model_outputs}
    versions = [client.get_model_version_by_alias(f"s2amsnet-indian_pines-{s}", "smoke-test") for s in ("west", "sw")]
    assert {f"models:/{model_id}" for model_id in models} == {version.source for version in versions}
    for version in versions:
        assert version.run_id == winner.info.run_id
        (linked,) = json.loads(client.get_logged_model(version.source.removeprefix("models:/")).tags[MODEL_VERSIONS])
        assert linked == {"name": version.name, "version": int(version.version)}
        assert tags[f"best.model.{version.name}"] == f"models:/{version.name}/{version.version}"
        (verdict,) = [v for v in result["verdicts"] if v["pair"] == version.tags["pair"]]
        assert version.description.startswith(verdict["sentence"])
        for part in ("no target label", "profile smoke-test", "source validation: OA", tags["git.commit"]):
            assert part in version.description


def test_what_is_registered_is_the_chosen_configuration_trained_on_every_field(uncut, client):
    import torch

    from sceneshift.catalogue.load import load_pair
    from sceneshift.catalogue.pair_spec import NamedPair
    from sceneshift.catalogue.target import open_target
    from sceneshift.methods.s2amsnet import S2AMSnet, S2AMSnetConfig
    from sceneshift.scenes.normalization import Normalization
    from sceneshift.scores import Scores
    from sceneshift.tracking.trained_on import TrainedOn
    from sceneshift.training.checkpoint import weights_hash
    from sceneshift.training.evaluation import map_scene

    storage, _ = uncut
    result = summary(storage)
    best = result["best"]
    for pair, name in (("west-east", "s2amsnet-indian_pines-west"), ("sw-se", "s2amsnet-indian_pines-sw")):
        version = client.get_model_version_by_alias(name, "smoke-test")
        assert version.tags["profile"] == "smoke-test"
        (weights,) = (storage / "mlartifacts").rglob(
            f"*{version.source.rsplit('/', 1)[1]}*/artifacts/artifacts/weights.pt"
        )
        network = S2AMSnet.build_classifier(S2AMSnetConfig.from_mapping(best["config"]), bands=200, classes=5)
        network.load_state_dict(torch.load(weights, weights_only=True))
        assert weights_hash(network) == result["registered weights"][pair] != best["weights"][pair]
        assert version.tags["trained_on"] == "pixels of every labelled field"
        trained_on = TrainedOn.load(client, version.run_id, pair)
        labels = load_pair(NamedPair(name=pair)).source.labels.ravel()
        assert np.bincount(labels[trained_on.train]).tolist() == [0, 12, 12, 12, 12, 12]
        # The chosen network's answers on what was held back from it are kept.
        (chosen,) = [row for row in result["scores"] if (row["pair"], row["role"]) == (pair, "best")]
        kept = Scores.from_labels(labels[trained_on.validation] - 1, trained_on.predicted, num_classes=5)
        assert kept.as_dict() == pytest.approx(chosen["validation"])
        description = json.loads(weights.with_name("description.json").read_text())
        assert description["normalization"]["name"] == best["config"]["normalization"]
        # What is registered, shown the target after the step it carries, is what was scored.
        cube = Normalization.from_dict(description["normalization"]).apply(load_pair(NamedPair(name=pair)).target.cube)
        class_map = map_scene(network, cube, patch_size=description["config"]["patch_size"], device="cpu")
        (row,) = [row for row in result["scores"] if (row["pair"], row["role"]) == (pair, "best, every field")]
        assert open_target(NamedPair(name=pair)).score(class_map).as_dict() == row["target"]


def test_a_name_that_exists_is_refused_and_nothing_changes(uncut):
    storage, _ = uncut
    before = essence(storage)
    again = search(storage)
    assert again.returncode == 2
    assert "error: " in again.stderr
    assert f"'{NAME}' exists at {storage / NAME}" in again.stderr
    assert "Traceback" not in again.stderr
    assert essence(storage) == before


def test_resuming_a_closed_study_does_not_look_at_the_target_again(uncut):
    storage, _ = uncut
    again = search(storage, "--resume")
    assert again.returncode == 0, again.stderr
    assert "3 trials" in again.stdout
    assert "| west-east | best" in again.stdout
    assert summary(storage)["times the target was opened"] == 1


def test_resuming_with_other_arguments_lists_them(uncut):
    storage, _ = uncut
    again = search(storage, "--resume", "--seed", "5")
    assert again.returncode == 2
    assert "seed: was 0, is 5" in again.stderr


def test_target_labels_steer_nothing(uncut, tmp_path):
    storage, _ = uncut
    permuted = search(tmp_path, program=["-c", PERMUTED])
    assert permuted.returncode == 0, permuted.stderr
    assert essence(tmp_path) == essence(storage)
    real, shuffled = summary(storage), summary(tmp_path)
    assert shuffled["best"] == real["best"]
    assert shuffled["registered weights"] == real["registered weights"]
    for one in (real, shuffled):
        for floors in one["floors"].values():
            for floor in floors:
                del floor["seconds"]
    assert shuffled["floors"] == real["floors"]
    scores = [
        {(r["pair"], r["role"]): r["target"] for r in one["scores"] if r["role"] == "best, every field"}
        for one in (real, shuffled)
    ]
    assert scores[0] != scores[1]


def test_an_interrupted_search_continues_as_if_it_had_not_been(uncut, tmp_path):
    storage, _ = uncut
    process = subprocess.Popen(
        [sys.executable, *SCRIPT, *ARGUMENTS, "--storage-path", str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    first_epoch = tmp_path / NAME / "checkpoints" / "trial_0000" / "epoch_00001.ckpt"
    waited_until = time.monotonic() + 200
    while not first_epoch.exists() and time.monotonic() < waited_until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "Interrupted with 0 of 3 " in printed
    command = printed.strip().splitlines()[-1]
    assert command.endswith("--resume")
    assert [trial.state.name for trial in trials(tmp_path)] == ["RUNNING"]

    resumed = search(tmp_path, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert essence(tmp_path) == essence(storage)
    assert summary(tmp_path)["best"] == summary(storage)["best"]


def test_interrupted_twice_a_search_stops_at_once_and_still_says_how_to_continue(tmp_path):
    process = subprocess.Popen(
        [sys.executable, *SCRIPT, *ARGUMENTS, "--storage-path", str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.startswith("to resume"):  # the search begins
            process.send_signal(signal.SIGINT)
        if line.startswith("Stopping. Interrupt once more"):
            process.send_signal(signal.SIGINT)
    process.stdout.close()
    assert process.wait(timeout=60) == 130, "".join(printed)
    shown = "".join(printed)
    assert "Interrupted with" not in shown
    assert "Stopped at once" in shown
    assert shown.strip().endswith(f"--storage-path {tmp_path} --resume")
    assert "Traceback" not in shown


def test_a_trial_run_again_alone_comes_to_the_same_to_the_last_bit(uncut, client):
    storage, _ = uncut
    trial = trials(storage)[1]
    (run,) = client.search_runs([client.get_experiment_by_name(NAME).experiment_id], "tags.`sceneshift.trial` = '1'")

    def again(*extra):
        return subprocess.run(
            [sys.executable, "experiments/train.py", "--storage-path", str(storage), *extra],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    done = again("--from-run", run.info.run_id)
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(f"{run.info.run_name} are equal" in line for line in done.stdout.splitlines())
    (repeated,) = client.search_runs([client.get_experiment_by_name("training").experiment_id])
    assert repeated.data.tags["sceneshift.repeat_of"] == run.info.run_id
    history = client.get_metric_history(repeated.info.run_id, "val/aa")
    assert {metric.step: metric.value for metric in history} == trial.intermediate_values
    # The target stays shut.
    assert not [key for key in repeated.data.metrics if key.startswith("target/")]
    assert summary(storage)["times the target was opened"] == 1

    missing = again("--from-run", "0" * 32)
    assert missing.returncode == 2
    assert "'00000" in missing.stderr
    (parent,) = client.search_runs(
        [client.get_experiment_by_name(NAME).experiment_id], "tags.`sceneshift.study` = 'parent'"
    )
    of_study = again("--from-run", parent.info.run_id)
    assert of_study.returncode == 2
    assert "error: " in of_study.stderr


@pytest.mark.long
def test_in_ray_train_a_trial_comes_to_the_same_weights(uncut, tmp_path):
    storage, _ = uncut
    # Refits in Ray Train are tested with the refit.
    done = search(tmp_path, "--executor", "ray-train", "--num-samples", "1", "--refit", "no")
    assert done.returncode == 0, done.stderr
    assert "Ray Train" in done.stdout
    assert essence(tmp_path) == essence(storage)[:1]


def test_a_search_within_one_scene_ends_well_and_shows_what_is_inside_pixels(tmp_path):
    import mlflow

    done = search(tmp_path, program=["experiments/tune_s2vnet.py"])
    assert done.returncode == 0, done.stderr
    assert "scene indian_pines   " in done.stdout
    assert "guard 3 (patch 7: 0 test" in done.stdout
    assert "| indian_pines | best" in done.stdout
    result = summary(tmp_path)
    assert [row["role"] for row in result["scores"]] == [
        "best",
        "best, every field",
        "defaults",
        "logistic regression",
        "SVM (RBF)",
        "random forest",
        "majority class",
    ]
    folder = tmp_path / NAME / "report"
    kinds = ("map", "confusion", "abundances", "endmembers", "reconstruction")
    names = {f"{kind}_indian_pines.png" for kind in kinds} | {"optimization_history.png"}
    told_in = {"summary.json", "scores.md", "evidence.json", "index.html", "report.md", "tables"}
    assert {path.name for path in folder.iterdir()} == names | told_in
    for name in names:
        pixels = image.imread(folder / name)
        assert pixels.shape[0] > 300
        assert pixels.std() > 0.05
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    version = client.get_model_version_by_alias("s2vnet-indian_pines", "smoke-test")
    assert version.tags["weights"] == result["registered weights"]["indian_pines"]
