"""What several tests share: a tiny labelled scene, a source domain on it, worker processes, and one thread for torch.

One thread makes sums add up in one order, so runs can be compared bit for bit, and leaves the other cores alone.
"""

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch

import sceneshift
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.scenes.scene import Scene
from sceneshift.splits.blocks import block_split
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import random_split

#: Tests of these markers run if they are asked for: `make test-cluster`, `make test-chaos`, `make test-long`.
BY_NAME = ("cluster", "chaos", "long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that only run if they are selected by name."""
    for marker in BY_NAME:
        if marker not in config.option.markexpr:
            left_out = [item for item in items if item.get_closest_marker(marker)]
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def own_tracking_uri() -> Iterator[None]:
    """No module's MLflow store for the next one: MLflow writes a store that is set into the environment."""
    found = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    if found is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = found


@pytest.fixture
def as_nobody(tmp_path: Path) -> Callable[[], AbstractContextManager[None]]:
    """A while as a user who owns nothing, where the tests run as root: root may write whatever its modes are."""

    @contextlib.contextmanager
    def nobody() -> Iterator[None]:
        if os.getuid() != 0:
            yield
            return
        for folder in (tmp_path, *tmp_path.parents):  # what pytest makes is its user's alone
            if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o001)
        os.setresgid(65534, 65534, 0)
        os.setresuid(65534, 65534, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)
            os.setresgid(0, 0, 0)

    return nobody


#: Separate mounts, in which folders are read-only, and then a user id without a name.
_CONTAINER = """
set -e
mount --make-rprivate /
for folder in $READ_ONLY; do mount --bind "$folder" "$folder"; mount -o remount,ro,bind "$folder"; done
for folder in $FULL; do
    mount -t tmpfs -o size=8k,mode=1777 none "$folder"
    head -c 8192 /dev/zero > "$folder/full"
done
exec unshare -U --map-user=12345 --map-group=12345 env -i "$@"
"""


@pytest.fixture(scope="session")
def in_container() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program as in many containers: a user id without a name, read-only code, an environment of its own.

    Skips where this user can't make namespaces.
    """
    probe = subprocess.run(["unshare", "-m", "unshare", "-U", "true"], capture_output=True, check=False)
    if os.getuid() != 0 or probe.returncode != 0:
        pytest.skip("needs root and Linux namespaces")
    code = Path(sceneshift.__file__).resolve().parents[1]

    def run(
        *words: str, read_only: Sequence[Path] = (), full: Sequence[Path] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        given = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1", **variables}
        names = [f"{name}={value}" for name, value in given.items()]
        mounted = {"READ_ONLY": [code, *read_only], "FULL": full}
        return subprocess.run(
            ["unshare", "-m", "bash", "-c", _CONTAINER, "container", *names, sys.executable, *words],
            env={**os.environ, **{name: " ".join(map(str, folders)) for name, folders in mounted.items()}},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


@pytest.fixture
def no_tf32() -> Iterator[None]:
    """Convolutions of a GPU in float32 proper, not in TF32's ten bits."""
    before = torch.backends.cudnn.conv.fp32_precision
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    yield
    torch.backends.cudnn.conv.fp32_precision = before


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Scene]:
    """Build a 40 x 30 x 8 scene: twelve 8 x 8 fields of three classes, unlabelled strips between them.

    Every class has a spectrum of its own and 256 pixels in four fields; another seed gives other spectra and noise.
    """

    def make(seed: int = 0, *, name: str = "tiny") -> Scene:
        rng = np.random.default_rng(seed)
        labels = np.zeros((40, 30), dtype=np.int64)
        for row in range(4):
            for column in range(3):
                field = slice(10 * row + 1, 10 * row + 9), slice(10 * column + 1, 10 * column + 9)
                labels[field] = 1 + (row + column) % 3
        spectra = rng.uniform(0.2, 1.0, size=(4, 8))
        cube = spectra[labels] + rng.normal(0, 0.05, size=(40, 30, 8))
        return Scene(
            name=name,
            cube=cube.astype(np.float32),
            labels=labels,
            class_names=("soil", "tree", "water"),
        )

    return make


@pytest.fixture(scope="session")
def tiny_scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene()


@pytest.fixture(scope="session")
def as_scene_pair() -> Callable[..., ScenePair]:
    """Make the pair of a scene that is divided at random: its source has the labels of the training side alone."""

    def make(scene: Scene, *, fraction: float = 0.3) -> ScenePair:
        split = random_split(scene, train_fraction=fraction, patch_size=5, seed=0)
        labels = np.zeros(scene.labels.size, dtype=np.int64)
        labels[split.train] = scene.labels.ravel()[split.train]
        source = replace(scene, labels=labels.reshape(scene.shape))
        target = scene.without_labels()
        return ScenePair(name=scene.name, sources=(source,), target=target, test_split=split, notes=("a note",))

    return make


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Give the package's log back after a command that ran in this process has taken it to the console."""
    log = logging.getLogger("sceneshift")
    handlers, propagates, level = list(log.handlers), log.propagate, log.level
    yield
    log.handlers[:], log.propagate = handlers, propagates
    log.setLevel(level)


@pytest.fixture
def package_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What the package logs; a command that ran before in this process may have taken its log to the console."""
    log = logging.getLogger("sceneshift")
    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level(logging.INFO, logger="sceneshift")
    return caplog


@pytest.fixture
def unit_catalogue(make_scene: Callable[..., Scene], tmp_path: Path) -> Callable[..., str]:
    """Write two stored tiny scenes, ``one`` and ``two``, and a catalogue with the pair ``one-two``; returns its path.

    The second scene's numbers are the first's kind times the factor, and the catalogue's scale divides them; the units
    are those given.
    """

    def write(
        factor: float = 1.0, *, one: str | None = None, two: str | None = None, scale: float | None = None
    ) -> str:
        text = '[pairs.one-two]\nsource = "one"\ntarget = "two"\n'
        for seed, (name, unit) in enumerate({"one": one, "two": two}.items()):
            scene = make_scene(seed, name=name)
            cube = scene.cube * np.float32(factor if name == "two" else 1)
            write_scene(replace(scene, cube=cube), tmp_path / f"{name}.arrow")
            text += f'[scenes.{name}]\nstored = "{name}.arrow"\n' + (f'unit = "{unit}"\n' if unit else "")
            text += f"scale = {scale}\n" if name == "two" and scale is not None else ""
        (tmp_path / "scenes.toml").write_text(text)
        return str(tmp_path / "scenes.toml")

    return write


@pytest.fixture(scope="session")
def make_source(make_scene: Callable[..., Scene]) -> Callable[..., SourceDomain]:
    """Build the source domain of a named pair: a tiny scene with 30 training pixels per class, patches up to 5."""

    def make(pair_name: str = "tiny-pair", seed: int = 0) -> SourceDomain:
        scene = make_scene(seed)
        split = block_split(scene, patch_size=5, seed=3).thinned(scene, pixels_per_class=30)
        return SourceDomain(pair_name=pair_name, scene=scene, split=split)

    return make


@pytest.fixture(scope="session")
def tiny_source(make_source: Callable[..., SourceDomain]) -> SourceDomain:
    return make_source()


#: What a worker process runs: it joins the group, calls the function it is handed, and leaves what that returned.
_WORKER = """
import sys
import cloudpickle, torch
import torch.distributed as dist
folder, rank, num, backend = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
torch.set_num_threads(1)
if backend == "nccl":
    torch.cuda.set_device(rank)
dist.init_process_group(backend, init_method=f"file://{folder}/group", rank=rank, world_size=num)
with open(f"{folder}/call", "rb") as stream:
    function, arguments = cloudpickle.load(stream)
outcome = function(*arguments)
with open(f"{folder}/outcome-{rank}", "wb") as stream:
    cloudpickle.dump(outcome, stream)
dist.destroy_process_group()
"""


@pytest.fixture(scope="session")
def in_workers(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Any]]:
    """Call a function of a test module in so many processes of one group; returns what it returned in each."""

    def call(num: int, function: Callable[..., Any], *arguments: Any, backend: str = "gloo") -> list[Any]:
        folder = tmp_path_factory.mktemp("workers")
        module = sys.modules[function.__module__]
        cloudpickle.register_pickle_by_value(module)  # the workers can't import tests
        try:
            (folder / "call").write_bytes(cloudpickle.dumps((function, arguments)))
        finally:
            cloudpickle.unregister_pickle_by_value(module)
        command = [sys.executable, "-c", _WORKER, str(folder)]
        workers = [
            subprocess.Popen([*command, str(rank), str(num), backend], stderr=subprocess.PIPE) for rank in range(num)
        ]
        try:
            errors = [worker.communicate(timeout=300)[1].decode() for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        assert [worker.returncode for worker in workers] == [0] * num, "\n".join(errors)
        return [cloudpickle.loads((folder / f"outcome-{rank}").read_bytes()) for rank in range(num)]

    return call
