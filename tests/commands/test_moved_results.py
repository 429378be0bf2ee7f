"""A results folder that was moved or copied after an interruption: everything goes on where it is now."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from sceneshift.commands.predict import predict_scene
from sceneshift.commands.predict_arguments import PredictArgs
from sceneshift.commands.promote import run_promotion
from sceneshift.commands.promote_arguments import PromoteArgs
from sceneshift.commands.report import report
from sceneshift.commands.report_arguments import ReportArgs
from sceneshift.commands.train_arguments import TrainArgs
from sceneshift.commands.tune_arguments import TuneArgs
from sceneshift.engine.listener import Listener
from sceneshift.engine.repeating import repeat
from sceneshift.engine.search_result import SearchResult
from sceneshift.engine.searching import search
from sceneshift.engine.training import TrainResult, train
from sceneshift.execution.executor import StopReason, StopRequest
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.scenes.scene import Scene
from sceneshift.search.trial_record import TrialRecord
from sceneshift.training.loop import EpochReport

pytestmark = pytest.mark.slow

NAME, EPOCHS = "s", 4


class StopAfter(Listener):
    """Interrupts a search in its second trial, or a training, after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.stop, self._epochs = StopRequest(), epochs

    def changed(self, record: TrialRecord) -> None:
        if record.number == 1 and len(record.epochs) >= self._epochs:
            self.stop.request(StopReason.INTERRUPTED)

    def epoch(self, report: EpochReport) -> None:
        if report.epoch >= self._epochs:
            self.stop.request(StopReason.INTERRUPTED)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, tiny_scene: Scene) -> str:
    path = tmp_path_factory.mktemp("scene") / "tiny.arrow"
    write_scene(tiny_scene, path)
    return str(path)


def brought(before: Path, how: str) -> Path:
    """Move or copy a folder to another place."""
    after = before.with_name("elsewhere") / "results"
    (shutil.move if how == "moved" else shutil.copytree)(before, after)
    return after


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def remove_unchanged(folder: Path, files: dict[str, bytes]) -> None:
    """Remove the original of a copy, to which nothing may have been written."""
    assert files_of(folder) == files
    shutil.rmtree(folder, ignore_errors=True)


def searched(scene: str, storage: Path, *, stop_after: int = EPOCHS + 1, resume: bool = False) -> SearchResult:
    given = {"scene": scene, "split": "random", "storage_path": str(storage), "experiment_name": NAME}
    arguments = TuneArgs(
        **given, executor="local", smoke_test=True, num_samples=2, epochs=EPOCHS, time_budget_s=3600, cpus_per_trial=1
    )
    space = Path(__file__).resolve().parents[2] / "search_spaces" / "cross_entropy.py"
    listener = StopAfter(stop_after)
    spec = arguments.spec("cross_entropy", space)
    return search(spec, resume=resume, listener=listener, stop=listener.stop)


def trained(scene: str, storage: Path, *, stop_after: int = EPOCHS + 1, resume: bool = False) -> TrainResult:
    given = {"scene": scene, "split": "random", "storage_path": str(storage), "run_name": NAME, "resume": resume}
    arguments = TrainArgs(
        **given, method="cross_entropy", patch_size=5, epochs=EPOCHS, set=("width=8",), device="cpu", threads=1
    )
    listener = StopAfter(stop_after)
    return train(arguments.spec(), arguments.options(), listener=listener, stop=listener.stop)


def predicted(scene: str, storage: Path, alias: str) -> np.ndarray:
    out = storage.parent / "maps"
    predict_scene(
        PredictArgs(
            model=f"models:/cross_entropy-tiny@{alias}", scene=scene, out=str(out), format=("npy",), device="cpu",
            storage_path=str(storage), overwrite=True,
        )
    )  # fmt: skip
    (path,) = out.glob("*.npy")
    return np.load(path)


@pytest.mark.parametrize("how", ["moved", pytest.param("copied", marks=pytest.mark.long)])
def test_a_search_goes_on(scene: str, tmp_path: Path, how: str) -> None:
    before = tmp_path / "results"
    assert not searched(scene, before, stop_after=2).is_closed
    after = brought(before, how)
    kept = files_of(before)
    resumed = searched(scene, after, resume=True)
    assert resumed.is_closed
    assert [record.is_finished for record in resumed.records] == [True, True]
    assert resumed.directory == after / NAME
    remove_unchanged(before, kept)
    class_map = predicted(scene, after, "smoke-test")
    assert class_map.shape == (40, 30)
    assert set(np.unique(class_map)) <= {1, 2, 3}
    assert report(ReportArgs(study=NAME, storage_path=str(after))) == 0
    assert (after / NAME / "report" / "index.html").exists()
    assert run_promotion(PromoteArgs(model="cross_entropy-tiny", version="1", storage_path=str(after), yes=True)) == 0
    np.testing.assert_array_equal(predicted(scene, after, "champion"), class_map)
    assert not before.exists()


@pytest.mark.parametrize("how", ["copied", pytest.param("moved", marks=pytest.mark.long)])
def test_a_training_goes_on(scene: str, tmp_path: Path, how: str) -> None:
    before = tmp_path / "results"
    assert trained(scene, before, stop_after=2).is_interrupted
    after = brought(before, how)
    kept = files_of(before)
    resumed = trained(scene, after, resume=True)
    assert list(resumed.epochs) == list(range(1, EPOCHS + 1))
    assert resumed.model is not None
    uncut = trained(scene, tmp_path / "uncut")
    assert resumed.weights == uncut.weights
    remove_unchanged(before, kept)
    assert predicted(scene, after, "trained").shape == (40, 30)
    assert not before.exists()


def test_a_run_of_a_moved_folder_is_repeated(scene: str, tmp_path: Path) -> None:
    original = trained(scene, tmp_path / "results")
    after = brought(tmp_path / "results", "moved")
    options = TrainArgs(from_run=original.run_id, storage_path=str(after), run_name="again", threads=1, device="cpu")
    assert repeat(original.run_id, options.options()).is_equal
