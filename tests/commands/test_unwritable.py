"""What the scripts that write an ``--out`` say where nothing can be written: one line, and no traceback."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sceneshift.closing.prediction_files import MapFolder
from sceneshift.commands.report import find_study
from sceneshift.commands.scene_arguments import Export, Import, Show
from sceneshift.commands.scenes import run_command
from sceneshift.commands.simulate_arguments import Simulate
from sceneshift.errors import SceneshiftError
from sceneshift.files.scenes import export_scene, read_scene
from sceneshift.scenes.scene import Scene
from sceneshift.search.prepared import writable_root


@pytest.fixture
def scene_file(tiny_scene: Scene, tmp_path: Path) -> str:
    export_scene(tiny_scene, tmp_path / "tiny.npz", "npz")
    (tmp_path / "tiny.npz").chmod(0o644)
    read_scene(tmp_path / "tiny.npz")  # the user nobody may not be allowed to import this
    return str(tmp_path / "tiny.npz")


@pytest.fixture(params=[0o555, 0o000], ids=["read-only", "closed"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "folder"
    place.mkdir()
    place.chmod(request.param)
    yield place
    place.chmod(0o755)


WRITERS: dict[str, Callable[[str, Path], Any]] = {
    "show": lambda scene, out: run_command(Show(scene=scene, out=str(out / "scene.png"))),
    "import": lambda scene, out: run_command(Import(file=scene, out=str(out / "scene.arrow"))),
    "export": lambda scene, out: run_command(Export(scene=scene, out=str(out / "scene.npz"), format="npz")),
    "simulate": lambda scene, out: run_command(Simulate(out=str(out / "pair"), scene=scene, size=(24, 20))),
    "predict": lambda scene, out: MapFolder(out / "maps", overwrite=False, formats=("png",)),
    "train": lambda scene, out: writable_root(str(out / "results")),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_that_can_t_be_written_is_named(writer: str, scene_file: str, folder: Path, as_nobody) -> None:
    with as_nobody(), pytest.raises(SceneshiftError) as error:
        WRITERS[writer](scene_file, folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_path_below_a_file_is_named(writer: str, scene_file: str) -> None:
    with pytest.raises(SceneshiftError) as error:
        WRITERS[writer](scene_file, Path(scene_file))
    assert scene_file in str(error.value)


@pytest.mark.parametrize("writer", ["show", "import", "export"])
def test_the_home_of_a_user_nobody_knows_is_named(writer: str, scene_file: str) -> None:
    with pytest.raises(SceneshiftError, match="~no-such-user"):
        WRITERS[writer](scene_file, Path("~no-such-user/folder/below"))


def test_a_closed_folder_holds_no_study_that_could_be_shown(folder: Path, as_nobody) -> None:
    with as_nobody(), pytest.raises(SceneshiftError, match="no study"):
        find_study("study", storage_path=folder)


def test_a_picture_s_name_ends_in_png(scene_file: str, tmp_path: Path) -> None:
    with pytest.raises(SceneshiftError, match=r"\.png"):
        run_command(Show(scene=scene_file, out=str(tmp_path / "scene.nothing")))


def test_a_disk_that_fills_up_leaves_no_part_of_a_picture(
    scene_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: Path, scene: Scene) -> None:
        path.write_bytes(b"\x89PNG")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sceneshift.commands.scenes.draw_scene", fill)
    with pytest.raises(SceneshiftError, match="No space left on device"):
        run_command(Show(scene=scene_file, out=str(tmp_path / "scene.png")))
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.npz"]
