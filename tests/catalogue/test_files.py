"""Scenes from files of exactly the published layout, small and in both of MATLAB's formats."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from sceneshift.catalogue import load as catalogue
from sceneshift.catalogue.load import PAIRS, SCENES, load_both_labelled, load_pair, load_reference, load_scene
from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.catalogue.target import open_target
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.scenes.scene import UnlabelledScene

FROM_FILES = [name for name, entry in SCENES.items() if entry.forms]
WITH_LABEL_MAPS = [name for name in FROM_FILES if SCENES[name].forms[0].labels is not None]
MATERIALS = ["samson", "jasper_ridge", "muufl"]

Write = Callable[[Path, dict[str, np.ndarray]], None]


@pytest.fixture(autouse=True)
def warnings_are_told_again() -> Iterator[None]:
    catalogue._warn_once.cache_clear()
    yield
    catalogue._warn_once.cache_clear()


def write_v73(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array.T).attrs["MATLAB_class"] = np.bytes_(b"double")


@pytest.fixture(params=[scipy.io.savemat, write_v73], ids=["v5", "v7.3"])
def write(request: pytest.FixtureRequest) -> Write:
    return request.param


def write_scene(folder: Path, name: str, write: Write, *, form: int = 0, seed: int = 0) -> tuple[np.ndarray, ...]:
    """A 9 x 7 x 4 scene of the published files and variables; returns the cube and the label map in class ids."""
    rng, entry = np.random.default_rng(seed), SCENES[name]
    files, num_classes = entry.forms[form], len(entry.class_names)
    cube = rng.integers(0, 9000, size=(9, 7, 4)).astype(np.int16)
    labels = rng.integers(0, num_classes + 1, size=(9, 7))
    numbers = np.array([0, *(entry.label_values or range(1, num_classes + 1))])
    contents: dict[str, dict[str, np.ndarray]] = {}
    contents.setdefault(files.cube.file, {})[files.cube.name] = cube
    contents.setdefault(files.labels.file, {})[files.labels.name] = numbers[labels].astype(np.uint8)
    folder.mkdir(exist_ok=True)
    for file, arrays in contents.items():
        write(folder / file, arrays)
    return cube, labels


def write_materials(folder: Path, name: str, write: Write) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One of :data:`MATERIALS` in full size; returns cube, abundances and endmembers."""
    rng, entry = np.random.default_rng(0), SCENES[name]
    height, width, bands = entry.shape
    num_materials = len(entry.class_names)
    cube = rng.integers(0, 5000, size=entry.shape).astype(np.uint16)
    abundances = rng.dirichlet(np.full(num_materials, 0.3), size=(height, width))
    endmembers = rng.random((bands, num_materials))

    def by_columns(image: np.ndarray) -> np.ndarray:
        return image.transpose(2, 1, 0).reshape(image.shape[2], -1)  # pixel = column * H + row

    if name == "samson":
        write(folder / "Samson.mat", {"Y": by_columns(cube), "S_GT": abundances, "GT": endmembers.T})
    elif name == "muufl":
        write(folder / "muffle_dataset_130_90.mat", {"Y": cube, "label": abundances, "M": endmembers})
    else:
        write(folder / "JasperRidge2_R198.mat", {"Y": by_columns(cube), "nRow": np.array([[100]])})
        write(folder / "JasperRidge2_end4.mat", {"A": by_columns(abundances), "M": endmembers})
    return cube, abundances, endmembers


def in_unit(name: str, cube: np.ndarray) -> np.ndarray:
    """A file's numbers in the unit of the scene's entry."""
    return cube.astype(np.float32) / np.float32({"jasper_ridge": 10_000}.get(name, 1))


@pytest.mark.parametrize("name", WITH_LABEL_MAPS)
@pytest.mark.parametrize("subfolder", ["", "own", "OWN"])
def test_a_scene_is_read_from_its_files(tmp_path: Path, write: Write, name: str, subfolder: str) -> None:
    folder = tmp_path / {"": "", "own": name, "OWN": name.upper()}[subfolder]
    cube, labels = write_scene(folder, name, write)
    scene = load_scene(name, str(tmp_path))
    np.testing.assert_array_equal(scene.cube, cube.astype(np.float32))
    np.testing.assert_array_equal(scene.labels, labels)
    assert (scene.name, scene.class_names, scene.normalization) == (name, SCENES[name].class_names, ())
    assert scene.cube.dtype == np.float32
    assert scene.footprint.parent == name


@pytest.mark.parametrize("name", [name for name in PAIRS if PAIRS[name].source in WITH_LABEL_MAPS])
def test_a_pair_is_read_and_its_target_s_labels_are_behind_the_door(
    tmp_path: Path, write: Write, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = [write_scene(tmp_path, scene, write, seed=seed) for seed, scene in enumerate(PAIRS[name].scenes)]
    recipe = NamedPair(name=name, data_dir=str(tmp_path))
    pair = load_pair(recipe)
    np.testing.assert_array_equal(pair.source.labels, sides[0][1])
    np.testing.assert_array_equal(pair.target.cube, sides[1][0].astype(np.float32))
    assert type(pair.target) is UnlabelledScene
    assert pair.test_split is None
    (note,) = pair.notes
    assert " and ".join(PAIRS[name].scenes) in note
    assert "4 bands" in note
    np.testing.assert_array_equal(open_target(recipe).ground_truth(), sides[1][1])
    monkeypatch.setenv("SCENESHIFT_DATA", str(tmp_path))
    (source,), target = load_both_labelled(NamedPair(name=name))
    assert (source.content_hash, target.cube_hash) == (pair.source.content_hash, pair.target.cube_hash)
    assert source.class_names == target.class_names


def test_shanghai_and_hangzhou_may_be_in_one_file(tmp_path: Path, write: Write) -> None:
    (cube, labels), (other_cube, other_labels) = (
        write_scene(tmp_path / name, name, write, form=1, seed=seed)
        for seed, name in enumerate(["shanghai", "hangzhou"])
    )
    together = {"DataCube1": cube, "gt1": labels, "DataCube2": other_cube, "gt2": other_labels}
    write(tmp_path / "DataCube.mat", together)
    for name in ("shanghai", "hangzhou"):
        (tmp_path / name / "DataCube.mat").unlink()
    np.testing.assert_array_equal(load_scene("shanghai", str(tmp_path)).labels, labels)
    np.testing.assert_array_equal(load_scene("hangzhou", str(tmp_path)).cube, other_cube.astype(np.float32))


@pytest.mark.parametrize("name", MATERIALS)
def test_abundances_and_cube_are_arranged_alike(
    tmp_path: Path, write: Write, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    cube, abundances, endmembers = write_materials(tmp_path, name, write)
    scene, reference = load_scene(name, str(tmp_path)), load_reference(name, str(tmp_path))
    np.testing.assert_array_equal(scene.cube, in_unit(name, cube))
    assert (scene.cube.dtype, scene.unit) == (np.float32, SCENES[name].unit)
    np.testing.assert_array_equal(reference.abundances, abundances)
    np.testing.assert_array_equal(reference.endmembers, endmembers)
    assert reference.materials == scene.class_names
    largest = 1 + abundances.argmax(axis=2)
    np.testing.assert_array_equal(scene.labels, np.where(abundances.max(axis=2) >= 0.5, largest, 0))
    np.testing.assert_allclose(scene.wavelengths_nm, SCENES[name].wavelengths_nm)
    assert "per class" in caplog.text
    assert "shape" not in caplog.text


@pytest.mark.parametrize("name", ["samson-jasper_ridge", "jasper_ridge-samson"])
def test_samson_and_jasper_ridge_are_a_pair_without_the_road(tmp_path: Path, name: str) -> None:
    both = ("samson", "jasper_ridge")
    cubes = {scene: write_materials(tmp_path, scene, scipy.io.savemat)[0] for scene in both}
    recipe = NamedPair(name=name, data_dir=str(tmp_path))
    pair, truth = load_pair(recipe), open_target(recipe).ground_truth()
    whole = {scene: load_scene(scene, str(tmp_path)) for scene in both}
    sides = {PAIRS[name].source: (pair.source, pair.source.labels), PAIRS[name].target: (pair.target, truth)}
    order = {"samson-jasper_ridge": ("soil", "tree", "water"), "jasper_ridge-samson": ("tree", "water", "soil")}[name]
    assert pair.class_names == order
    assert type(pair.target) is UnlabelledScene
    for scene, (side, labels) in sides.items():
        names = np.array(["", *whole[scene].class_names])[whole[scene].labels]
        expected = np.where(names == "road", "", names)
        np.testing.assert_array_equal(np.array(["", *order])[labels], expected)
        assert (side.name, side.footprint) == (scene, whole[scene].footprint)
    known = whole["jasper_ridge"].wavelengths_nm
    bands = np.flatnonzero((known >= 401) & (known <= 889))
    bands = bands[np.argsort(known[bands])]  # AVIRIS's spectrometers overlap
    assert len(bands) == 52
    np.testing.assert_array_equal(pair.source.wavelengths_nm, known[bands])
    np.testing.assert_array_equal(pair.target.wavelengths_nm, known[bands])
    jasper, samson = sides["jasper_ridge"][0], sides["samson"][0]
    np.testing.assert_array_equal(jasper.cube, in_unit("jasper_ridge", cubes["jasper_ridge"][..., bands]))
    assert (jasper.unit, samson.unit) == (SCENES["jasper_ridge"].unit, SCENES["samson"].unit)
    spectrum = np.interp(known[bands], whole["samson"].wavelengths_nm, cubes["samson"][3, 5])
    np.testing.assert_allclose(samson.cube[3, 5], spectrum, rtol=1e-6)
    assert re.findall("jasper_ridge|samson|road|soil|tree|water", pair.notes[0]) == ["jasper_ridge", "road"]
    assert "52 of jasper_ridge's 198, 409 to 885 nm" in pair.notes[1]


@pytest.mark.parametrize(
    ("name", "classes"), [("muufl-jasper_ridge", ("tree", "asphalt")), ("jasper_ridge-muufl", ("tree", "road"))]
)
def test_muufl_and_jasper_ridge_are_a_pair_of_trees_and_asphalt(
    tmp_path: Path, name: str, classes: tuple[str, ...]
) -> None:
    for scene in ("muufl", "jasper_ridge"):
        write_materials(tmp_path, scene, scipy.io.savemat)
    recipe = NamedPair(name=name, data_dir=str(tmp_path))
    pair, truth = load_pair(recipe), open_target(recipe).ground_truth()
    assert pair.class_names == classes
    assert type(pair.target) is UnlabelledScene
    for side, labels in ((pair.source, pair.source.labels), (pair.target, truth)):
        whole = load_scene(side.name, str(tmp_path))
        names = np.array(["", *whole.class_names])[whole.labels]
        same = {"tree": "tree", "road": "asphalt", "asphalt": "asphalt"}
        expected = [[same.get(found, "") for found in row] for row in names]
        np.testing.assert_array_equal(np.array(["", "tree", "asphalt"])[labels], expected)
        assert side.unit == SCENES[side.name].unit
    assert pair.source.num_bands == pair.target.num_bands == 64
    assert any("is taken as" in note for note in pair.notes)
    left_out = [re.findall("muufl|jasper_ridge", note) for note in pair.notes if note.startswith("left out, ")]
    assert sorted(left_out) == [["jasper_ridge"], ["muufl"]]


def told_files(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "SHA-256" in message]


def test_a_file_of_another_hash_is_reported_once_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cube, *_ = write_materials(tmp_path, "jasper_ridge", scipy.io.savemat)
    files = SCENES["jasper_ridge"].forms[0].needed()
    found = {file: hashlib.sha256((tmp_path / file).read_bytes()).hexdigest() for file in files}
    for _ in range(2):
        np.testing.assert_array_equal(load_scene("jasper_ridge", str(tmp_path)).cube, in_unit("jasper_ridge", cube))
    messages = told_files(caplog)
    assert len(messages) == len(files) == 2
    for message, file in zip(messages, files, strict=True):
        assert found[file] in message
        assert SCENES["jasper_ridge"].sha256[file] in message
    assert ["10000" in message for message in messages] == [True, False]  # the abundances are not divided
    caplog.clear()
    catalogue._warn_once.cache_clear()
    monkeypatch.setitem(SCENES, "jasper_ridge", replace(SCENES["jasper_ridge"], sha256=found))
    load_scene("jasper_ridge", str(tmp_path))
    assert told_files(caplog) == []


def test_files_are_hashed_only_where_an_entry_states_a_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scene(tmp_path, "paviau", scipy.io.savemat)
    monkeypatch.delattr(catalogue, "sha256_of")
    assert load_scene("paviau", str(tmp_path)).unit is None


def test_a_scene_without_abundances_has_no_reference(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="'dioni'"):
        load_reference("dioni", str(tmp_path))


def test_another_release_is_reported_with_both_figures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, labels = write_scene(tmp_path, "houston18", scipy.io.savemat)
    with caplog.at_level(logging.WARNING):
        load_scene("houston18", str(tmp_path))
    shape, counts = caplog.messages
    assert "(210, 954, 48)" in shape
    found = tuple(np.bincount(labels.ravel(), minlength=8)[1:].tolist())
    assert f"{found} ({sum(found)} together)" in counts
    assert "(53200): another release" in counts


def test_cube_and_labels_of_different_size_are_refused(tmp_path: Path) -> None:
    write_scene(tmp_path, "dioni", scipy.io.savemat)
    scipy.io.savemat(tmp_path / "Dioni_gt_out68.mat", {"map": np.ones((7, 9))})
    with pytest.raises(InvalidInputError, match=r"\(9, 7\).*\(7, 9\)"):
        load_scene("dioni", str(tmp_path))


@pytest.mark.parametrize(("name", "wrong"), [("dioni", 13), ("salinas_a", 2)])
def test_class_numbers_that_are_not_the_scene_s_are_refused(tmp_path: Path, name: str, wrong: int) -> None:
    write_scene(tmp_path, name, scipy.io.savemat)
    labels = SCENES[name].forms[0].labels
    scipy.io.savemat(tmp_path / labels.file, {labels.name: np.full((9, 7), wrong)})
    with pytest.raises(InvalidInputError, match=rf"\[{wrong}\].*1"):
        load_scene(name, str(tmp_path))


def test_pixels_that_make_no_image_are_refused(tmp_path: Path) -> None:
    write_materials(tmp_path, "samson", scipy.io.savemat)
    scipy.io.savemat(tmp_path / "Samson.mat", {"Y": np.ones((156, 9000)), "S_GT": np.ones((95, 95, 3)) / 3})
    with pytest.raises(InvalidInputError, match=r"Samson\.mat.*\(156, 9000\).*9025 pixels"):
        load_scene("samson", str(tmp_path))


@pytest.mark.parametrize("name", FROM_FILES)
def test_missing_files_are_all_named_with_the_folders_and_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingDataError) as error:
        load_scene(name, str(tmp_path))
    message = str(error.value)
    for form in SCENES[name].forms:
        assert all(file in message for file in form.needed())
    assert f"{tmp_path / name} and {tmp_path}." in message
    assert "SCENESHIFT_DATA" in message
    assert SCENES[name].offered in message


def test_only_what_is_missing_is_named(tmp_path: Path) -> None:
    write_scene(tmp_path, "loukia", scipy.io.savemat)
    (tmp_path / "Loukia.mat").unlink()
    with pytest.raises(MissingDataError, match=r"'loukia'.*Loukia\.mat"):
        load_scene("loukia", str(tmp_path))


def test_no_folder_and_a_folder_that_is_not_there_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCENESHIFT_DATA", raising=False)
    with pytest.raises(MissingDataError, match="'dioni'"):
        load_pair(NamedPair(name="dioni-loukia"))
    with pytest.raises(MissingDataError, match="--data-dir"):
        load_scene("dioni", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SCENESHIFT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(MissingDataError, match="SCENESHIFT_DATA"):
        load_scene("dioni")


def test_an_unknown_scene_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidInputError, match=r"'samsen'.*'samson'"):
        load_scene("samsen")


def test_a_scene_from_files_is_divided_like_the_embedded_one(tmp_path: Path) -> None:
    _, labels = write_scene(tmp_path, "salinas_a", scipy.io.savemat)
    recipe = InScene(
        scene="salinas_a", split="random", patch_size=3, seed=0, train_fraction=0.5, data_dir=str(tmp_path)
    )
    pair = load_pair(recipe)
    truth = open_target(recipe).ground_truth()
    np.testing.assert_array_equal(pair.source.labels + truth, labels)
    assert pair.name == "salinas_a"
