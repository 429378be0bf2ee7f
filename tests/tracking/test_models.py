import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch

from sceneshift.errors import MissingDataError
from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.methods.s2amsnet import S2AMSnet, S2AMSnetConfig
from sceneshift.scenes.class_colours import class_colours
from sceneshift.scenes.normalization import NORMALIZATIONS, Normalization
from sceneshift.tracking.model_description import FORMAT, ModelDescription
from sceneshift.tracking.models import load_scene_model, log_and_register, registered_name, version_of
from sceneshift.tracking.search_run import SearchRun
from sceneshift.training.checkpoint import weights_hash

CONFIG = S2AMSnetConfig(patch_size=5, width=8, generator_channels=4)
BANDS, NAMES = 6, ["soil", "tree", "water"]
L2 = Normalization(name="l2-per-pixel")

LOAD_WITHOUT_RAY = """
import json, sys
import numpy as np
sys.modules["ray"] = None  # any import of it fails
sys.modules["optuna"] = None
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
patches = np.load(sys.argv[3])
print(json.dumps([model.predict(patches[:n]).tolist() for n in (1, 7, len(patches))]))
"""


def describe(normalization=L2, **changes):
    values = {
        "method": "s2amsnet",
        "config": dataclasses.asdict(CONFIG),
        "bands": BANDS,
        "class_names": NAMES,
        "class_colours": class_colours(3),
        "source_scene": "park/west",
        "normalization": normalization.as_dict(),
    }
    return ModelDescription.from_dict({"format": FORMAT, **values, **changes})


def classifier(seed, patches=None):
    torch.manual_seed(seed)
    network = S2AMSnet.build_classifier(CONFIG, bands=BANDS, classes=3)
    # Statistics of such patches and no class preferred, so that an untrained network distinguishes them.
    if patches is None:
        patches = torch.nn.functional.normalize(torch.rand(64, BANDS, 5, 5), dim=1)
    calibrate_batch_norm(network, [patches])
    with torch.no_grad():
        network.head[-1].bias -= network(patches).mean(dim=0)
    return network


@pytest.mark.slow
def test_a_logged_model_predicts_in_a_process_without_ray(backend, tmp_path):
    mirror = SearchRun(backend, study_name="s", metric="val/aa", tags={}, params={})
    network = classifier(0)
    logged = log_and_register(
        mirror.client,
        run_id=mirror.run_id,
        alias="champion",
        classifier=network,
        description=describe(),
        tags={"profile": "p"},
    )
    patches = np.random.default_rng(0).random((12, BANDS, 5, 5), dtype=np.float32) * 1000
    np.save(tmp_path / "patches.npy", patches)
    done = subprocess.run(
        [sys.executable, "-c", LOAD_WITHOUT_RAY, backend.uri, logged.uri, str(tmp_path / "patches.npy")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "Add type hints" not in done.stderr
    alone, seven, all_of_them = json.loads(done.stdout.splitlines()[-1])
    normalized = torch.nn.functional.normalize(torch.from_numpy(patches), dim=1)
    expected = (network.eval()(normalized).argmax(1) + 1).tolist()
    assert all_of_them == expected
    assert (alone, seven) == (expected[:1], expected[:7])
    assert len(set(expected)) > 1


@pytest.mark.slow
def test_a_new_champion_keeps_the_previous_one_under_an_alias(backend):
    mirror = SearchRun(backend, study_name="s", metric="val/aa", tags={}, params={})
    first, second = (
        log_and_register(
            mirror.client,
            run_id=mirror.run_id,
            alias="champion",
            classifier=classifier(i),
            description=describe(),
            tags={"profile": "p"},
        )
        for i in (0, 1)
    )
    assert (first.version, first.replaced) == ("1", None)
    assert (second.version, second.replaced) == ("2", "1")
    client = mirror.client
    assert str(client.get_model_version_by_alias(second.name, "champion").version) == second.version
    assert str(client.get_model_version_by_alias(second.name, "previous-champion").version) == first.version
    assert client.get_model_version(second.name, "2").tags == {
        "profile": "p",
        "weights": weights_hash(classifier(1)),
    }


@pytest.mark.slow
def test_a_model_has_figures_that_rank_it_and_its_page_says_what_it_is_for(backend):
    mirror = SearchRun(backend, study_name="s", metric="val/aa", tags={}, params={})
    model = log_and_register(
        mirror.client,
        run_id=mirror.run_id,
        alias="champion",
        classifier=classifier(0),
        description=describe(),
        tags={},
        metrics={"model/target_aa": 0.5},
    )

    (logged,) = mirror.client.search_logged_models([mirror.experiment_id])
    assert {metric.key: metric.value for metric in logged.metrics} == {"model/target_aa": 0.5}
    page = mirror.client.get_registered_model(model.name).description
    assert all(word in page for word in (*NAMES, "s2amsnet", "park/west", f"{BANDS} bands"))


@pytest.mark.slow
def test_the_same_weights_are_registered_once_and_other_aliases_leave_the_champion_alone(backend):
    mirror = SearchRun(backend, study_name="s", metric="val/aa", tags={}, params={})

    def log(seed, alias):
        return log_and_register(
            mirror.client,
            run_id=mirror.run_id,
            alias=alias,
            classifier=classifier(seed),
            description=describe(),
            tags={},
        )

    first, again, other = log(0, "champion"), log(0, "champion"), log(1, "smoke-test")
    assert (again.version, again.replaced) == (first.version, None)
    assert other.uri == f"models:/{first.name}@smoke-test"
    assert str(mirror.client.get_model_version_by_alias(first.name, "champion").version) == first.version
    assert len(mirror.client.search_model_versions(f"name='{first.name}'")) == 2


@pytest.mark.slow
def test_a_run_that_has_ended_keeps_its_end(backend):
    mirror = SearchRun(backend, study_name="s", metric="val/aa", tags={}, params={})
    mirror.client.set_terminated(mirror.run_id, "FINISHED", end_time=12345)
    log_and_register(
        mirror.client, run_id=mirror.run_id, alias="x", classifier=classifier(0), description=describe(), tags={}
    )
    info = mirror.client.get_run(mirror.run_id).info
    assert (info.status, info.end_time) == ("FINISHED", 12345)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NORMALIZATIONS if name != "l2-per-pixel"])
def test_a_logged_model_normalizes_raw_patches_as_its_source_was(backend, name):
    import mlflow

    rng = np.random.default_rng(0)
    offsets, gains = rng.uniform(0, 5000, BANDS), rng.uniform(1, 900, BANDS)
    source = rng.random((30, 20, BANDS)) * gains + offsets
    raw = (rng.random((40, 5, 5, BANDS)) * 1.5 * gains + offsets).astype(np.float32)  # of a brighter target
    normalization = Normalization.fit(name, source)
    normalized = torch.from_numpy(normalization.apply(raw)).permute(0, 3, 1, 2)
    network = classifier(0, normalized)
    mirror = SearchRun(backend, study_name="s", metric="val/aa", tags={}, params={})
    logged = log_and_register(
        mirror.client,
        run_id=mirror.run_id,
        alias="x",
        classifier=network,
        description=describe(normalization),
        tags={},
    )
    model = mlflow.pyfunc.load_model(logged.uri)
    expected = (network.eval()(normalized).argmax(dim=1) + 1).tolist()
    patches = np.ascontiguousarray(raw.transpose(0, 3, 1, 2))
    assert model.predict(patches).tolist() == expected
    assert set(expected) == {1, 2, 3}
    if name != "none":  # neither the numbers as they are nor a fit on the patches themselves would give this
        own = Normalization.fit(name, raw).apply(raw)
        for other in (raw, own):
            shown = torch.from_numpy(other).permute(0, 3, 1, 2)
            assert (network(shown).argmax(dim=1) + 1).tolist() != expected


@pytest.fixture
def logged(backend):
    mirror = SearchRun(backend, study_name="s", metric="val/aa", tags={}, params={})
    return log_and_register(
        mirror.client,
        run_id=mirror.run_id,
        alias="champion",
        classifier=classifier(0),
        description=describe(),
        tags={},
    )


@pytest.fixture
def served(logged, backend, tmp_path):
    """The address of a server of the logged model, started as docs/models.md says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", logged.uri, "--env-manager", "local"]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # as in an activated environment
        "MLFLOW_TRACKING_URI": backend.uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (
        (tmp_path / "server.log").open("w") as log,
        subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stdout=log, stderr=log, start_new_session=True
        ) as server,
    ):
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(600):
                assert server.poll() is None, (tmp_path / "server.log").read_text()
                with contextlib.suppress(OSError), urlopen(f"{address}/ping", timeout=5):
                    break
                time.sleep(0.1)
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_served_model_takes_paths_and_cubes(logged, served, tmp_path):
    cube = np.random.default_rng(0).random((9, 7, BANDS), dtype=np.float32) * 1000
    np.save(tmp_path / "scene.npy", cube)
    import mlflow

    expected = mlflow.pyfunc.load_model(logged.uri).predict(cube).tolist()
    for given in ([str(tmp_path / "scene.npy")], cube.tolist()):
        asked = Request(
            f"{served}/invocations",
            data=json.dumps({"inputs": given}).encode(),
            headers={"content-type": "application/json"},
        )
        with urlopen(asked, timeout=60) as answer:
            assert json.load(answer) == {"predictions": expected}


@pytest.mark.slow
def test_a_logged_model_takes_cubes_patches_and_paths_and_gives_classes_or_probabilities(logged, tmp_path):
    import mlflow

    model = mlflow.pyfunc.load_model(logged.uri)
    cube = np.random.default_rng(0).random((9, 7, BANDS), dtype=np.float32) * 1000
    np.save(tmp_path / "scene.npy", cube)
    patches = np.stack([cube[i : i + 5, 1:6].transpose(2, 0, 1) for i in range(5)])
    classes = model.predict(cube)
    assert classes.shape == (9, 7)
    assert len(np.unique(classes)) > 1
    for given in (cube.tolist(), str(tmp_path / "scene.npy"), [str(tmp_path / "scene.npy")], tmp_path / "scene.npy"):
        np.testing.assert_array_equal(model.predict(given), classes)
    np.testing.assert_array_equal(model.predict(patches), classes[2:7, 3])
    for given, expected in ((cube, classes), (str(tmp_path / "scene.npy"), classes), (patches, classes[2:7, 3])):
        probabilities = model.predict(given, params={"output": "probabilities"})
        assert probabilities.shape == (*expected.shape, 3)
        np.testing.assert_array_equal(probabilities.argmax(axis=-1) + 1, expected)
    for given, params, message in (
        (cube[..., :5], None, r"5 bands; expected \(rows, columns, 6\)"),
        (np.zeros((2, 7, 5, 5), dtype=np.float32), None, r"\(2, 7, 5, 5\).*\(B, 6, 5, 5\)"),
        (str(tmp_path / "none.npy"), None, "no file"),
        ([[1.0, 2.0], [3.0]], None, "array"),
        (3.5, None, r"\(H, W, 6\)"),
        (cube, {"output": "colours"}, "output = 'colours'"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            model.predict(given, params=params)
    # What a reader of the model's page finds: what goes in, what comes out, an example of made numbers.
    assert model.metadata.metadata["classes"] == {1: "soil", 2: "tree", 3: "water"}
    assert [param.name for param in model.metadata.signature.params] == ["output", "check_values"]
    assert model.predict(model.input_example).shape == (2, 3)


@pytest.mark.slow
def test_a_model_is_loaded_by_its_uri_without_running_what_is_with_it(logged, tmp_path):
    import mlflow

    cube = np.random.default_rng(0).random((9, 7, BANDS), dtype=np.float32) * 1000
    folder = mlflow.artifacts.download_artifacts(logged.uri, dst_path=str(tmp_path / "model"))
    for place in (Path(folder) / "code", Path(folder)):
        for code in place.rglob("*.py"):
            code.write_text("raise RuntimeError('was run')")
    for uri in (logged.uri, f"models:/{logged.name}/1", folder):
        model = load_scene_model(uri)
        assert model.description == describe()
        assert len(np.unique(model.map_scene(cube))) > 1
    assert (version_of(logged.uri), version_of(f"models:/{logged.name}/1")) == ("1", None)


@pytest.mark.slow
def test_an_unknown_model_is_answered_with_those_there_are(logged):
    for uri in ("models:/s2amsnet-park-wesst@champion", f"models:/{logged.name}@x", f"models:/{logged.name}/7"):
        with pytest.raises(MissingDataError, match=rf"{uri}.*{logged.uri}.*\(version 1\)"):
            load_scene_model(uri)


def test_a_models_name_says_method_and_source():
    assert registered_name("s2amsnet", ["indian_pines/west"]) == "s2amsnet-indian_pines-west"
