"""What every file format must do: give a scene back as it was, and reject a wrong file with a message."""

import logging
import os
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from sceneshift.errors import (
    InvalidInputError,
    MissingDataError,
    MissingPackageError,
    NoClassNamesError,
    SceneshiftError,
)
from sceneshift.files.arrays import array_shapes, read_array, read_label_map
from sceneshift.files.scenes import FORMATS, export_labels, export_scene, read_scene, read_unlabelled_scene
from sceneshift.scenes.scene import Footprint, Georeference, Scene

SUFFIX = {"npz": ".npz", "mat": ".mat", "mat73": ".mat", "envi": ".hdr", "geotiff": ".tif"}
GEO = {"envi", "geotiff"}
WHOLE = [name for name in FORMATS if name not in GEO]

UTM = Georeference(transform=(20.0, 0.0, 500000.25, 0.0, -10.0, 4400000.5), crs="EPSG:32616")


def needs_geo(name: str) -> None:
    if name in GEO:
        pytest.importorskip("rasterio", reason="rasterio is not installed: pip install -e '.[geo]'")


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    needs_geo(request.param)
    return request.param


@pytest.fixture
def scene() -> Scene:
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(9, 7, 5)).astype(np.float32)
    cube[0, 0] = [0.0, -0.0, np.finfo(np.float32).max, np.finfo(np.float32).tiny, 1e-45]
    return Scene(
        name="überflug 3",
        cube=cube,
        labels=rng.integers(0, 4, size=(9, 7)),
        class_names=("bare soil", "tree", "water"),
        wavelengths_nm=np.array([400.1, 500 + 1 / 3, 600.0, 700.7, 2500.0]),
        footprint=Footprint(parent="flight", rows=(3, 12), columns=(1, 8)),
        normalization=("l2-per-pixel",),
        georeference=UTM,
        unit="reflectance",
    )


def write_both(scene: Scene, folder: Path, kind: str) -> tuple[Path, Path]:
    """Cube and labels, in one file where the format holds both; returns where each is."""
    path = folder / f"scene{SUFFIX[kind]}"
    export_scene(scene, path, kind)
    if kind in WHOLE:
        return path, path
    labels = folder / f"labels{SUFFIX[kind]}"
    export_labels(scene.labels, labels, kind, class_names=scene.class_names, georeference=scene.georeference)
    return path, labels


def data_file(path: Path, kind: str) -> Path:
    """Where the numbers are."""
    return path.with_suffix(".img") if kind == "envi" else path


@pytest.mark.parametrize("georeference", [UTM, replace(UTM, crs=None), replace(UTM, crs="EPSG:4326"), None])
def test_a_scene_comes_back_as_it_was(
    kind: str, scene: Scene, tmp_path: Path, georeference: Georeference | None
) -> None:
    scene = replace(scene, georeference=georeference)
    path, labels = write_both(scene, tmp_path, kind)
    back = read_scene(path, labels=None if labels == path else labels)
    assert back.cube.tobytes() == scene.cube.tobytes()
    np.testing.assert_array_equal(back.labels, scene.labels)
    assert back.wavelengths_nm.tolist() == scene.wavelengths_nm.tolist()
    assert (back.georeference, back.class_names) == (scene.georeference, scene.class_names)
    if kind == "envi":  # whose header has no place for them
        assert (back.name, back.normalization, back.footprint.parent, back.unit) == ("scene", (), "scene", None)
    else:
        assert back.unit == scene.unit
        assert (back.name, back.normalization, back.footprint) == (scene.name, scene.normalization, scene.footprint)
    bare = read_unlabelled_scene(path, name="target")
    assert (bare.name, hasattr(bare, "labels")) == ("target", False)
    assert bare.cube.tobytes() == scene.cube.tobytes()
    assert (bare.georeference, bare.unit) == (scene.georeference, None if kind == "envi" else scene.unit)


def test_a_sparse_scene_comes_back_too(kind: str, tmp_path: Path, make_scene: Callable[..., Scene]) -> None:
    scene = make_scene()
    path, labels = write_both(scene, tmp_path, kind)
    back = read_scene(path, labels=labels)
    assert back.cube.tobytes() == scene.cube.tobytes()
    assert (back.wavelengths_nm, back.georeference, back.class_names) == (None, None, scene.class_names)


@pytest.mark.parametrize("highest", [1, 300, 70_000])
def test_a_label_map_comes_back_as_it_was(kind: str, tmp_path: Path, highest: int) -> None:
    labels = np.random.default_rng(0).integers(0, highest + 1, size=(6, 5))
    labels[0, 0] = highest
    path = tmp_path / f"map{SUFFIX[kind]}"
    export_labels(labels, path, kind)
    np.testing.assert_array_equal(read_label_map(path), labels)


def test_an_existing_file_is_replaced_and_nothing_is_left_next_to_it(kind: str, scene: Scene, tmp_path: Path) -> None:
    path, labels = write_both(replace(scene, cube=np.zeros_like(scene.cube)), tmp_path, kind)
    before = {file.name for file in tmp_path.iterdir()}
    write_both(scene, tmp_path, kind)
    assert read_scene(path, labels=labels).cube.tobytes() == scene.cube.tobytes()
    assert {file.name for file in tmp_path.iterdir()} == before


def test_a_failed_write_leaves_the_old_file(
    kind: str, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, labels = write_both(scene, tmp_path, kind)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def no_room(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    other = replace(scene, cube=scene.cube + 1)
    with pytest.raises(InvalidInputError, match=r"OSError.*No space"):
        export_scene(other, path, kind)
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    if kind == "envi":  # the header goes before the numbers are touched
        before.pop(path.name, None) if path.name not in after else None
    assert after == before
    assert labels.name in after


@pytest.mark.parametrize("name", WHOLE)
def test_a_variable_is_chosen_by_name_then_by_shape_and_a_guess_is_reported_with_a_warning(
    name: str, scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, _ = write_both(scene, tmp_path, name)
    read_scene(path)
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(read_array(path, "ori_data", ndim=3), scene.cube)
    (message,) = caplog.messages
    assert "9 x 7 x 5" in message
    assert "labels 9 x 7" in message
    with pytest.raises(InvalidInputError, match=r"'ori_data'.*2 arrays.*9 x 7 x 5"):
        read_array(path, "ori_data")


@pytest.mark.parametrize("name", sorted(GEO))
def test_the_only_image_of_a_file_needs_no_name_and_no_warning(
    name: str, scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    needs_geo(name)
    path, labels = write_both(scene, tmp_path, name)
    np.testing.assert_array_equal(read_array(path, "ori_data", ndim=3), scene.cube)
    assert array_shapes(path) == {"the image": (9, 7, 5)}
    assert array_shapes(labels) == {"the image": (9, 7)}
    assert caplog.text == ""


def test_a_wrong_dimension_is_reported(kind: str, scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / f"map{SUFFIX[kind]}"
    export_labels(scene.labels, path, kind, class_names=scene.class_names)
    with pytest.raises(InvalidInputError, match=r"\(expected a 3-D array\).*9 x 7"):
        read_scene(path)
    if kind in GEO:
        path, _ = write_both(scene, tmp_path, kind)
        with pytest.raises(InvalidInputError, match=r"9 x 7 x 5|\(9, 7, 5\)|5 channel|read"):
            read_label_map(path)


def test_a_missing_variable_is_reported_with_what_is_there(kind: str, scene: Scene, tmp_path: Path) -> None:
    path, _ = write_both(scene, tmp_path, kind)
    with pytest.raises(InvalidInputError, match="9 x 7 x 5"):
        read_array(path, "spectra", ndim=4)


def test_no_file_and_a_folder_in_its_place_are_reported(kind: str, scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / f"gone{SUFFIX[kind]}"
    with pytest.raises(MissingDataError, match="gone"):
        read_scene(path)
    path.mkdir()
    with pytest.raises(InvalidInputError, match=r"gone.* folder"):
        read_scene(path)
    with pytest.raises(InvalidInputError, match=r"gone.* folder"):
        export_scene(scene, path, kind)
    with pytest.raises(MissingDataError, match="nowhere"):
        export_scene(scene, tmp_path / "nowhere" / path.name, kind)
    with pytest.raises(InvalidInputError, match=r"scene\.xyz|\.xyz"):
        export_scene(scene, tmp_path / "scene.xyz", kind)


@pytest.mark.parametrize("content", [b"", b"not what it says", bytes(range(256)) * 40], ids=["empty", "text", "bytes"])
def test_what_is_no_such_file_is_reported(kind: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / f"broken{SUFFIX[kind]}"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="broken"):
        read_scene(path)
    with pytest.raises(SceneshiftError, match="broken"):
        read_label_map(path)


@pytest.mark.parametrize("left", [0.02, 0.3, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_reported(kind: str, tmp_path: Path, left: float) -> None:
    rng = np.random.default_rng(0)
    scene = Scene(
        name="s",
        cube=rng.random((60, 50, 8)).astype(np.float32),
        labels=rng.integers(0, 3, size=(60, 50)),
        class_names=("a", "b"),
    )
    path, labels = write_both(scene, tmp_path, kind)
    numbers = data_file(path, kind)
    whole = numbers.read_bytes()
    numbers.write_bytes(whole[: int(left * len(whole))])
    with pytest.raises(InvalidInputError, match=f"{re.escape(path.name)}|{re.escape(numbers.name)}"):
        read_scene(path, labels=labels)


def test_the_numbers_of_an_envi_image_may_be_missing(scene: Scene, tmp_path: Path) -> None:
    needs_geo("envi")
    path, labels = write_both(scene, tmp_path, "envi")
    data_file(path, "envi").unlink()
    with pytest.raises(
        InvalidInputError,
        match=r"scene\.hdr.*scene\.img",
    ):
        read_scene(path, labels=labels)


def test_no_permission_is_reported(kind: str, scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "probe").touch(mode=0)
    if os.access(tmp_path / "probe", os.R_OK):
        pytest.skip("root may read and write everything")
    path, labels = write_both(scene, tmp_path, kind)
    data_file(path, kind).chmod(0)
    with pytest.raises(InvalidInputError, match="ermission"):
        read_scene(path, labels=labels)
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInputError, match="ermission"):
        export_scene(scene, path, kind)
    tmp_path.chmod(0o700)


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_object_arrays_are_never_unpickled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mark = tmp_path / "unpickled"
    bomb = np.empty((3, 3), dtype=object)
    bomb[:] = Bomb(mark)
    cube = np.ones((3, 3, 3), dtype=np.float32)
    np.savez(tmp_path / "a.npz", cube=cube, labels=bomb, wavelengths_nm=np.arange(3.0))
    np.save(tmp_path / "a.npy", bomb, allow_pickle=True)
    scipy.io.savemat(tmp_path / "a.mat", {"cube": cube, "labels": np.array([["x", "y"]], dtype=object)})
    with h5py.File(tmp_path / "b.mat", "w") as file:
        file["cube"] = cube
        file["labels"] = np.void(pickle.dumps(Bomb(mark)))
    for name in ("a.npz", "a.mat", "b.mat"):
        assert array_shapes(tmp_path / name)["cube"] == (3, 3, 3)
        np.testing.assert_array_equal(read_array(tmp_path / name, "cube"), cube)
        with pytest.raises(InvalidInputError, match=r"labels.*\((no numbers|cell)\)"):
            read_label_map(tmp_path / name, "labels")
    with pytest.raises(InvalidInputError, match=r"a\.npy.*3 x 3.*\(no numbers\)"):
        read_array(tmp_path / "a.npy")
    assert not mark.exists()


def test_a_description_that_is_none_is_reported(tmp_path: Path) -> None:
    cube, labels = np.ones((3, 3, 3), dtype=np.float32), np.ones((3, 3), dtype=np.uint8)
    for text, expected in (
        ("{", "JSON"),
        ("[1]", "holds list"),
        ('{"colour": 1}', r"holds \['colour'\]"),
        ('{"class_names": "ab"}', "list of texts"),
        ('{"georeference": {"transform": [1, 0, 0]}}', "is broken"),
        ('{"unit": 3}', "3 is not text"),
    ):
        np.savez(tmp_path / "a.npz", cube=cube, labels=labels, sceneshift=np.array(text))
        with pytest.raises(InvalidInputError, match=expected):
            read_scene(tmp_path / "a.npz")


def test_names_that_nothing_gives_are_asked_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((3, 3, 4)), y=np.eye(3, dtype=int))
    with pytest.raises(NoClassNamesError, match="class_names") as error:
        read_scene(tmp_path / "a.npz")
    assert error.value.num_classes == 1
    scene = read_scene(tmp_path / "a.npz", class_names=("soil", "tree"))
    assert (scene.name, scene.class_counts.tolist()) == ("a", [3, 0])


def test_cube_and_labels_of_other_sizes_are_reported(kind: str, scene: Scene, tmp_path: Path) -> None:
    path, _ = write_both(scene, tmp_path, kind)
    other = tmp_path / f"other{SUFFIX[kind]}"
    export_labels(scene.labels[:5], other, kind, class_names=scene.class_names)
    with pytest.raises(InvalidInputError, match=r"\(9, 7\).*\(5, 7\)"):
        read_scene(path, labels=other)


def test_no_class_numbers_and_an_unknown_format_are_reported(tmp_path: Path, scene: Scene) -> None:
    for labels in (np.ones((3, 3)), np.full((3, 3), -1), np.ones(3, dtype=int)):
        with pytest.raises(InvalidInputError, match="whole numbers"):
            export_labels(labels, tmp_path / "a.npz", "npz")
    with pytest.raises(InvalidInputError, match=r"up to 3.*1 class"):
        export_labels(np.full((3, 3), 3), tmp_path / "a.npz", "npz", class_names=("soil",))
    with pytest.raises(InvalidInputError, match=r"'geotif'.*'geotiff'"):
        export_scene(scene, tmp_path / "a.tif", "geotif")


@pytest.mark.parametrize("name", sorted(GEO))
def test_a_missing_package_is_reported_with_the_command(
    name: str, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("rasterio", "rasterio.crs"):
        monkeypatch.setitem(__import__("sys").modules, package, None)
    path = tmp_path / f"scene{SUFFIX[name]}"
    path.write_text("x")
    with pytest.raises(MissingPackageError, match=r"\[geo\]"):
        read_scene(path)
    with pytest.raises(MissingPackageError, match=r"\[geo\]"):
        export_scene(scene, path, name)
    with pytest.raises(InvalidInputError, match="envi"):
        export_scene(
            Scene(name="one", cube=scene.cube[..., :1], labels=scene.labels, class_names=scene.class_names),
            tmp_path / "one.hdr",
            "envi",
        )
