"""What is in structures and cells of MATLAB files, by the name that MATLAB gives it."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from sceneshift.catalogue.in_scene import read_masks
from sceneshift.commands.scene_arguments import Import
from sceneshift.commands.scene_checks import check_file
from sceneshift.commands.scenes import import_scene
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.files.arrays import array_shapes, read_array, read_label_map
from sceneshift.files.arrow_scenes import open_scene, open_stored
from sceneshift.files.inside import split_inside
from sceneshift.files.scenes import read_scene, read_unlabelled_scene
from sceneshift.scenes.scene import Scene

H, W, C = 5, 4, 7
CUBE = np.arange(H * W * C, dtype=np.int16).reshape(H, W, C) + 1
LABELS = (np.arange(H * W).reshape(H, W) % 3).astype(np.uint8)
CLASSES = ("soil", "tree")


def write_v5(path: Path, *, compressed: bool) -> None:
    pair = np.zeros((1, 2), dtype=[("cube", object), ("about", object)])
    pair[0, 0] = (CUBE, "first")
    pair[0, 1] = (CUBE[::-1], np.zeros((0, 0)))
    maps = np.empty((1, 3), dtype=object)
    maps[0, :] = LABELS, LABELS[::-1], "no map"
    inner = {"gt": LABELS, "z": np.array([[1 + 2j]])}
    arrays = {"scene": {"cube": CUBE, "truth": inner, "name": "field"}, "pair": pair, "maps": maps}
    scipy.io.savemat(path, arrays, do_compression=compressed)


def write_v73(path: Path) -> None:
    def put(group: h5py.Group, name: str, values: np.ndarray) -> h5py.Dataset:
        dataset = group.create_dataset(name, data=values.T)
        dataset.attrs["MATLAB_class"] = np.bytes_(values.dtype.name)
        return dataset

    with h5py.File(path, "w", userblock_size=512) as file:
        scene, referred, pair = file.create_group("scene"), file.create_group("#refs#"), file.create_group("pair")
        put(scene, "cube", CUBE)
        truth = scene.create_group("truth")
        put(truth, "gt", LABELS)
        for group in (scene, truth, pair):
            group.attrs["MATLAB_class"] = np.bytes_(b"struct")
        parts = {"a": CUBE, "b": CUBE[::-1], "c": LABELS, "d": LABELS[::-1]}
        references = {name: put(referred, name, values).ref for name, values in parts.items()}
        for group, name, letters, kind in ((pair, "cube", "ab", None), (file, "maps", "cd", b"cell")):
            dataset = group.create_dataset(name, shape=(2, 1), dtype=h5py.ref_dtype)
            for k, letter in enumerate(letters):
                dataset[k, 0] = references[letter]
            if kind is not None:
                dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


WRITERS: dict[str, Callable[[Path], None]] = {
    "v5": lambda path: write_v5(path, compressed=False),
    "v7": lambda path: write_v5(path, compressed=True),
    "v7.3": write_v73,
}


@pytest.fixture(params=WRITERS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    WRITERS[request.param](tmp_path / "flight.mat")
    return tmp_path / "flight.mat"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("scene.cube", CUBE),
        ("scene.truth.gt", LABELS),
        ("pair(1).cube", CUBE),
        ("pair(2).cube", CUBE[::-1]),
        ("maps{1}", LABELS),
        ("maps{2}", LABELS[::-1]),
    ],
)
def test_a_part_is_read_by_its_name(path: Path, name: str, values: np.ndarray) -> None:
    for read in (read_array(f"{path}:{name}"), read_array(path, name)):
        np.testing.assert_array_equal(read, values)
        assert read.dtype == values.dtype
    assert array_shapes(path)[name] == values.shape


def test_a_structure_s_name_is_enough_where_one_part_fits(path: Path) -> None:
    scene = read_scene(f"{path}:scene.cube", labels=f"{path}:scene.truth", class_names=CLASSES)
    np.testing.assert_array_equal(scene.cube, CUBE)
    np.testing.assert_array_equal(scene.labels, LABELS)
    assert scene.name == "flight"
    np.testing.assert_array_equal(read_unlabelled_scene(f"{path}:scene").cube, CUBE)
    with pytest.raises(InvalidInputError, match="2 arrays fit"):
        read_unlabelled_scene(f"{path}:pair")


def test_a_name_that_is_not_there_is_reported_with_those_that_are(path: Path) -> None:
    for name in ("scene.cub", "nothing", "scene.cube.x", "maps{9}"):
        with pytest.raises(InvalidInputError, match="5 x 4 x 7"):
            read_array(f"{path}:{name}")
    with pytest.raises(InvalidInputError, match="one name"):
        read_array(f"{path}:scene.cube", "pair(1).cube")
    with pytest.raises(MissingDataError, match=r"other\.mat"):
        read_array(path.with_name("other.mat:scene.cube"))


def test_check_shows_the_parts(path: Path) -> None:
    text = "\n".join(check_file(path))
    assert "(structure)" in text
    assert "scene.cube: 5 x 4 pixels, 7 bands, int16" in text
    assert "scene.truth.gt: label map 5 x 4" in text
    text = "\n".join(check_file(Path(f"{path}:scene.truth")))
    assert "scene.truth.gt: label map" in text
    assert "scene.cube" not in text


def test_masks_are_named_alike(path: Path) -> None:
    train, test = read_masks((Path(f"{path}:maps{{1}}"), None), (Path(f"{path}:maps{{2}}"), None))
    np.testing.assert_array_equal(train.numbers, LABELS)
    np.testing.assert_array_equal(test.numbers, LABELS[::-1])


def test_a_cube_named_alone_is_imported_without_labels(path: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "a.arrow")
    import_scene(Import(file=f"{path}:scene.cube", out=out))
    scene = open_stored(out)
    assert not isinstance(scene, Scene)
    np.testing.assert_array_equal(scene.cube, CUBE)
    out = str(tmp_path / "b.arrow")
    import_scene(Import(file=f"{path}:scene.cube", out=out, labels_variable="scene.truth.gt", class_names=CLASSES))
    np.testing.assert_array_equal(open_scene(out).labels, LABELS)


def test_two_maps_of_a_file_can_be_masks_of_npz_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "masks.npz", first=LABELS, second=LABELS[::-1])
    np.testing.assert_array_equal(read_label_map(f"{tmp_path}/masks.npz:second"), LABELS[::-1])


def test_a_colon_in_a_file_s_own_name_is_no_part(tmp_path: Path) -> None:
    path = tmp_path / "a.mat:b.npy"
    np.save(path, CUBE)
    assert split_inside(path) == (path, None)
    np.testing.assert_array_equal(read_array(path), CUBE)


def test_axes_of_a_file_that_matlab_did_not_write_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # losonczylab/sima#181: h5py's axes came out reversed.
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["cube"] = CUBE
    np.testing.assert_array_equal(read_array(tmp_path / "a.mat", "cube"), CUBE)
    assert "MATLAB" in caplog.text


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.mat", "w") as file:
        file["cube"] = CUBE
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["linked"] = h5py.ExternalLink(str(tmp_path / "other.mat"), "cube")
        file["gt"] = LABELS
        file["text"] = "of any length"
        file["loop"] = h5py.SoftLink("/")
    assert array_shapes(tmp_path / "a.mat") == {"gt": LABELS.shape}
