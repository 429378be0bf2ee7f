"""A cube without labels is imported, shown, checked, exported and mapped; training says that it has none."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sceneshift.catalogue.load import load_scene
from sceneshift.catalogue.user_toml import read_catalogue
from sceneshift.commands.scene_arguments import Export, Import, Show
from sceneshift.commands.scene_checks import check_file
from sceneshift.commands.scenes import run_command
from sceneshift.errors import InvalidInputError, NoClassNamesError
from sceneshift.files.arrow_scenes import open_scene, open_stored
from sceneshift.files.opening import open_unlabelled
from sceneshift.files.scenes import read_unlabelled_scene
from sceneshift.scenes.scene import Scene

H, W, C = 9, 7, 5
CUBE = np.random.default_rng(0).random((H, W, C)).astype(np.float32) + 0.1
CUBE[0, 0] = 0
LABELS = (np.arange(H * W).reshape(H, W) % 3).astype(np.uint8)


@pytest.fixture
def imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    np.save(tmp_path / "field.npy", CUBE)
    command = Import(
        file=str(tmp_path / "field.npy"), out=str(tmp_path / "field.arrow"), wavelengths_nm=(400, 500, 600, 700, 800),
        unit="reflectance", name="spring",
    )  # fmt: skip
    assert run_command(command) == 0
    assert "no labels" in capsys.readouterr().out
    return tmp_path / "field.arrow"


def test_it_is_stored_as_what_it_is(imported: Path) -> None:
    for scene in (open_stored(imported), open_unlabelled(imported)):
        assert not isinstance(scene, Scene)
        np.testing.assert_array_equal(scene.cube, CUBE)
        assert (scene.name, scene.unit, scene.shape) == ("spring", "reflectance", (H, W))
        assert scene.wavelengths_nm.tolist() == [400, 500, 600, 700, 800]
    lines = check_file(imported)
    assert "  no labels" in lines
    assert not any("label map" in line for line in lines)


def test_it_is_not_trained_on(imported: Path) -> None:
    for read in (open_scene, lambda path: load_scene(str(path))):
        with pytest.raises(InvalidInputError, match="without labels"):
            read(imported)


@pytest.mark.parametrize("ending", [".arrow", ".npy"])
def test_it_is_shown_and_exported(imported: Path, ending: str, tmp_path: Path) -> None:
    scene = str(imported.with_suffix(ending))
    assert run_command(Show(scene=scene, out=str(tmp_path / "a.png"))) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert run_command(Export(scene=scene, out=str(tmp_path / "b.npz"), format="npz")) == 0
    np.testing.assert_array_equal(read_unlabelled_scene(tmp_path / "b.npz").cube, CUBE)
    assert "labels" not in np.load(tmp_path / "b.npz")


@pytest.mark.parametrize("vectors", [{}, {"wavelength": np.arange(C)[None], "gain": np.ones((C, 1))}])
def test_who_wants_labels_and_names_no_map_is_reported_how(vectors: dict[str, np.ndarray], tmp_path: Path) -> None:
    """A MATLAB vector has two dimensions and is not a map."""
    scipy.io.savemat(tmp_path / "a.mat", {"flight": CUBE, **vectors})
    with pytest.raises(InvalidInputError, match=r"a\.mat.*--labels"):
        run_command(Import(file=str(tmp_path / "a.mat"), out=str(tmp_path / "a.arrow"), class_names=("a", "b")))
    assert not (tmp_path / "a.arrow").exists()
    assert run_command(Import(file=str(tmp_path / "a.mat"), out=str(tmp_path / "a.arrow"))) == 0


def test_a_file_with_a_map_needs_to_know_its_classes_but_where_they_are_guessed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", cube=CUBE, labels=LABELS)
    with pytest.raises(NoClassNamesError) as error:
        run_command(Export(scene=str(tmp_path / "a.npz"), out=str(tmp_path / "a.mat"), format="mat"))
    assert error.value.num_classes == LABELS.max()
    assert run_command(Import(file=f"{tmp_path}/a.npz:cube", out=str(tmp_path / "a.arrow"))) == 0
    assert not isinstance(open_stored(tmp_path / "a.arrow"), Scene)


def test_a_catalogue_names_parts_and_class_0(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "flight.mat", {"scene": {"cube": CUBE, "gt": LABELS}, "mask": np.ones((H, W))})
    (tmp_path / "scenes.toml").write_text(
        '[scenes.spring]\ncube = "flight.mat:scene.cube"\nlabels = "flight.mat:scene.gt"\n'
        'class_names = ["soil", "tree", "roof"]\nlabel_values = [0, 1, 2]\n'
        '[scenes.same]\ncube = "flight.mat"\ncube_variable = "scene.cube"\nlabels = "flight.mat:scene.gt"\n'
        'class_names = ["tree", "roof"]\nunlabelled_values = [-1]\n'
    )
    catalogue = read_catalogue(tmp_path / "scenes.toml")
    scene = load_scene("spring", catalogue=catalogue)
    expected = np.where(CUBE.any(axis=2), LABELS + 1, 0)  # the unmeasured pixel has no label
    np.testing.assert_array_equal(scene.labels, expected)
    assert catalogue.scenes["same"].acquisition == "spring"  # one cube, named in two ways
    np.testing.assert_array_equal(load_scene("same", catalogue=catalogue).labels, LABELS)
