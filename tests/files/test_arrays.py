"""Readers: every format gives the same array back, and a wrong file is an error that says what is in it."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.files.arrays import array_shapes, read_array, read_label_map

CUBE = np.arange(4 * 3 * 5, dtype=np.int16).reshape(4, 3, 5)
LABELS = np.array([[0, 1, 2], [3, 0, 1], [2, 2, 2], [0, 0, 16]])


def write_v5(path: Path, arrays: dict[str, np.ndarray]) -> None:
    scipy.io.savemat(path, arrays)


def write_v73(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """HDF5 behind MATLAB's header of 512 bytes, axes reversed, each array's class next to it."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            dataset = file.create_dataset(name, data=np.asarray(array).T)
            kind = {"f8": "double", "f4": "single"}.get(array.dtype.str[1:], array.dtype.name)
            dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path, **arrays)


def write_npy(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.save(path, next(iter(arrays.values())))


def write_picture(path: Path, arrays: dict[str, np.ndarray]) -> None:
    Image.fromarray(next(iter(arrays.values())).astype(np.uint8)).save(path)


MANY = {"v5": (write_v5, ".mat"), "v7.3": (write_v73, ".mat"), "npz": (write_npz, ".npz")}
ARRAYS = MANY | {"npy": (write_npy, ".npy")}
MAPS = ARRAYS | {kind: (write_picture, f".{kind}") for kind in ("tif", "tiff", "png")}

Write = Callable[[Path, dict[str, np.ndarray]], None]


@pytest.mark.parametrize(("write", "suffix"), ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("array", [CUBE, CUBE.astype(np.float64) / 7, LABELS.astype(np.uint8)])
def test_an_array_comes_back_as_it_was(tmp_path: Path, write: Write, suffix: str, array: np.ndarray) -> None:
    write(tmp_path / f"a{suffix}", {"ori_data": array})
    read = read_array(tmp_path / f"a{suffix}", "ori_data")
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read_array(str(tmp_path / f"a{suffix}")), array)


@pytest.mark.parametrize(("write", "suffix"), MANY.values(), ids=MANY)
def test_a_variable_is_found_by_name_and_else_by_its_dimension(tmp_path: Path, write: Write, suffix: str) -> None:
    path = tmp_path / f"scene{suffix}"
    write(path, {"input": CUBE, "TR": LABELS, "bands": np.arange(5.0)[None], "size": np.array([[4.0]])})
    np.testing.assert_array_equal(read_array(path, "input"), CUBE)
    np.testing.assert_array_equal(read_array(path, "another name", ndim=3), CUBE)
    np.testing.assert_array_equal(read_label_map(path), LABELS)  # vector and scalar are not maps
    assert array_shapes(path) == {"input": (4, 3, 5), "TR": (4, 3), "bands": (1, 5), "size": (1, 1)}
    with pytest.raises(InvalidInputError, match=r"'another'.*2 arrays") as error:
        read_array(path, "another")
    assert "input 4 x 3 x 5" in str(error.value)
    assert "TR 4 x 3" in str(error.value)
    with pytest.raises(InvalidInputError, match=r"input .*2-D"):
        read_label_map(path, "input")


@pytest.mark.parametrize(("write", "suffix"), MANY.values(), ids=MANY)
def test_two_maps_need_a_name(tmp_path: Path, write: Write, suffix: str) -> None:
    path = tmp_path / f"masks{suffix}"
    write(path, {"TR": LABELS, "TE": LABELS[::-1]})
    np.testing.assert_array_equal(read_label_map(path, "TE"), LABELS[::-1])
    with pytest.raises(InvalidInputError, match=rf"2 arrays.*{suffix}"):
        read_label_map(path)


@pytest.mark.parametrize(("write", "suffix"), MAPS.values(), ids=MAPS)
def test_a_label_map_is_whole_numbers_whatever_the_file(tmp_path: Path, write: Write, suffix: str) -> None:
    write(tmp_path / f"gt{suffix}", {"map": LABELS})
    read = read_label_map(tmp_path / f"gt{suffix}")
    np.testing.assert_array_equal(read, LABELS)
    assert read.dtype == np.int64


@pytest.mark.parametrize(("write", "suffix"), ARRAYS.values(), ids=ARRAYS)
def test_floats_with_whole_numbers_are_a_label_map_and_others_are_not(
    tmp_path: Path, write: Write, suffix: str
) -> None:
    path = tmp_path / f"gt{suffix}"
    write(path, {"map": LABELS.astype(np.float64)})
    np.testing.assert_array_equal(read_label_map(path), LABELS)
    for wrong, expected in ((0.5, "0.5"), (2.0**60, "1.15"), (-0.25, "-0.25")):
        values = LABELS.astype(np.float64)
        values[2, 1] = wrong
        write(path, {"map": values})
        with pytest.raises(InvalidInputError, match=rf"1 values.*{expected}"):
            read_label_map(path)
    write(path, {"map": LABELS.astype(np.int16) - 1})
    with pytest.raises(InvalidInputError, match="down to -1"):
        read_label_map(path)


@pytest.mark.parametrize("suffix", sorted({suffix for _, suffix in MAPS.values()}))
def test_a_missing_file_says_so_and_a_broken_one_is_no_traceback(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"gone{suffix}"
    with pytest.raises(MissingDataError, match="gone"):
        read_label_map(path)
    for content in (b"", b"not what it says", bytes(range(256)) * 40):
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match=f"{suffix}"):
            read_label_map(path)


@pytest.mark.parametrize(("write", "suffix"), MAPS.values(), ids=MAPS)
def test_half_a_file_is_broken(tmp_path: Path, write: Write, suffix: str) -> None:
    path = tmp_path / f"half{suffix}"
    write(path, {"map": np.random.default_rng(0).integers(0, 200, size=(60, 50))})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInputError, match=f"half{suffix}"):
        read_label_map(path)


def test_other_endings_folders_and_objects_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("1,2")
    with pytest.raises(InvalidInputError, match=r"ends in \.mat, .*\.hdr, \.tif, \.tiff, \.png; got '\.csv'"):
        read_label_map(tmp_path / "labels.csv")
    with pytest.raises(InvalidInputError, match="folder"):
        read_array(tmp_path)
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object))
    with pytest.raises(InvalidInputError, match=r"2.*\(no numbers\)"):
        read_array(tmp_path / "objects.npy")
    scipy.io.savemat(tmp_path / "texts.mat", {"names": np.array(["soil", "tree"], dtype=object), "n": {"a": 1}})
    with pytest.raises(InvalidInputError, match=r"\(cell\)"):
        read_array(tmp_path / "texts.mat")


def test_colours_and_several_pages_are_no_label_map(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 3, 3), dtype=np.uint8)).save(tmp_path / "colours.png")
    with pytest.raises(InvalidInputError, match=r"1 page.*3 channel"):
        read_label_map(tmp_path / "colours.png")
    page = Image.fromarray(LABELS.astype(np.uint8))
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page])
    with pytest.raises(InvalidInputError, match=r"holds 2 images \(pages\)"):
        read_label_map(tmp_path / "pages.tif")


def test_a_picture_of_sixteen_bits_and_a_palette_keep_their_numbers(tmp_path: Path) -> None:
    Image.fromarray((LABELS * 300).astype(np.uint16)).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "deep.png"), LABELS * 300)
    palette = Image.fromarray(LABELS.astype(np.uint8), mode="L").convert("P")
    palette.putpalette([7, 8, 9] * 256)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "palette.png"), LABELS)
