"""MATLAB files of every version: v4, sparse matrices, and what a v7.3 file may not ask for."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from sceneshift.commands.scene_checks import check_file
from sceneshift.errors import InvalidInputError
from sceneshift.files.arrays import array_shapes, list_variables, read_array, read_label_map
from sceneshift.files.scenes import read_scene, read_unlabelled_scene

LABELS = np.random.default_rng(0).integers(0, 4, size=(9, 7)) * (np.arange(7) % 2)
CUBE = np.random.default_rng(1).random((9, 7, 5))
CLASSES = ("soil", "tree", "water")


def write_v4_big_endian(path: Path, name: str, values: np.ndarray, *, code: int, dtype: str) -> None:
    """A matrix as MATLAB v4 on a big-endian machine wrote it; SciPy writes only this machine's order."""
    called = name.encode() + b"\0"
    head = struct.pack(">5i", 1000 + 10 * code, *values.shape, 0, len(called))
    path.write_bytes(head + called + values.astype(f">{dtype}").tobytes(order="F"))


class TestV4:
    @pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "int16", "uint16", "uint8"])
    def test_a_label_map_is_read(self, tmp_path: Path, dtype: str) -> None:
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"gt": LABELS.astype(dtype), "wide": np.arange(4.0), "text": "soil"}, format="4")
        assert array_shapes(path) == {"gt": (9, 7), "wide": (1, 4)}
        np.testing.assert_array_equal(read_label_map(path), LABELS)
        assert list_variables(path)["text"].kind == "text"
        assert any("gt: label map 9 x 7" in line for line in check_file(path))

    @pytest.mark.parametrize(("code", "dtype"), [(0, "f8"), (3, "i2"), (5, "u1")])
    def test_a_big_endian_file_is_read(self, tmp_path: Path, code: int, dtype: str) -> None:
        write_v4_big_endian(tmp_path / "a.mat", "gt", LABELS, code=code, dtype=dtype)
        np.testing.assert_array_equal(read_label_map(tmp_path / "a.mat"), LABELS)

    def test_complex_numbers_are_none(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"z": LABELS + 1j, "gt": LABELS.astype(float)}, format="4")
        assert list_variables(path)["z"].kind == "complex"
        np.testing.assert_array_equal(read_label_map(path), LABELS)

    def test_a_cube_is_looked_for_in_vain(self, tmp_path: Path) -> None:
        scipy.io.savemat(tmp_path / "a.mat", {"cube": CUBE.reshape(-1, 5)}, format="4")
        with pytest.raises(InvalidInputError, match="cube 63 x 5"):
            read_unlabelled_scene(tmp_path / "a.mat")

    @pytest.mark.parametrize("left", [3, 19, 22, 100, -1])
    def test_a_truncated_file_is_refused(self, tmp_path: Path, left: int) -> None:
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"gt": LABELS.astype(float)}, format="4")
        path.write_bytes(path.read_bytes()[:left])
        with pytest.raises(InvalidInputError):
            read_label_map(path)

    @pytest.mark.parametrize("field", [1, 2])
    def test_a_size_beyond_the_file_is_refused(self, tmp_path: Path, field: int) -> None:
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"gt": LABELS.astype(float)}, format="4")
        content = bytearray(path.read_bytes())
        struct.pack_into("<i", content, 4 * field, 2**31 - 1)
        path.write_bytes(content)
        with pytest.raises(InvalidInputError):
            list_variables(path)


def save_v4(path: Path, **arrays: object) -> None:
    scipy.io.savemat(path, arrays, format="4")


def save_v5(path: Path, **arrays: object) -> None:
    scipy.io.savemat(path, arrays)


def save_v7(path: Path, **arrays: object) -> None:
    scipy.io.savemat(path, arrays, do_compression=True)


def save_v73(path: Path, **arrays: object) -> None:
    """Sparse matrices as MATLAB keeps them in HDF5: a group with numbers, rows and starts of columns."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            if not scipy.sparse.issparse(values):
                file.create_dataset(name, data=np.asarray(values).T).attrs["MATLAB_class"] = np.bytes_(b"double")
                continue
            columns = values.tocsc()
            group = file.create_group(name)
            group.attrs["MATLAB_class"] = np.bytes_(b"logical" if columns.dtype == bool else b"double")
            group.attrs["MATLAB_sparse"] = np.uint64(columns.shape[0])
            group["jc"] = columns.indptr.astype(np.uint64)
            if columns.nnz:
                group["ir"] = columns.indices.astype(np.uint64)
                group["data"] = columns.data.astype(np.uint8) if columns.dtype == bool else columns.data
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


SAVERS: dict[str, Callable[..., None]] = {"v4": save_v4, "v5": save_v5, "v7": save_v7, "v7.3": save_v73}


class TestSparse:
    @pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS)
    @pytest.mark.parametrize("labels", [LABELS, LABELS * (np.arange(7) > 3), np.zeros((9, 7), dtype=int)])
    def test_a_label_map_is_the_full_one(self, save: Callable[..., None], tmp_path: Path, labels: np.ndarray) -> None:
        path = tmp_path / "a.mat"
        save(path, gt=scipy.sparse.csc_matrix(labels.astype(float)))
        assert array_shapes(path) == {"gt": (9, 7)}
        np.testing.assert_array_equal(read_label_map(path), labels)

    @pytest.mark.parametrize("save", [save_v5, save_v7, save_v73])  # v4 has doubles only
    def test_logical_ones_are_ones(self, save: Callable[..., None], tmp_path: Path) -> None:
        save(tmp_path / "a.mat", gt=scipy.sparse.csc_matrix(LABELS == 2))
        np.testing.assert_array_equal(read_label_map(tmp_path / "a.mat"), LABELS == 2)

    @pytest.mark.parametrize("save", [save_v5, save_v7, save_v73])  # v4 has no cube
    def test_it_is_the_label_map_of_a_scene(self, save: Callable[..., None], tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        save(path, cube=CUBE, labels=scipy.sparse.csc_matrix(LABELS.astype(float)))
        scene = read_scene(path, class_names=CLASSES)
        np.testing.assert_array_equal(scene.labels, LABELS)
        np.testing.assert_array_equal(scene.cube, CUBE.astype(np.float32))

    @pytest.mark.parametrize("save", [save_v4, save_v5, save_v7])
    def test_complex_numbers_are_none(self, save: Callable[..., None], tmp_path: Path) -> None:
        save(tmp_path / "a.mat", z=scipy.sparse.csc_matrix(LABELS * 1j))
        assert array_shapes(tmp_path / "a.mat") == {}
        assert list_variables(tmp_path / "a.mat")["z"].kind == "complex"

    @pytest.mark.parametrize("compressed", [False, True])
    def test_one_in_a_structure_or_a_cell_has_its_name(self, tmp_path: Path, compressed: bool) -> None:
        sparse, cell = scipy.sparse.csc_matrix(LABELS.astype(float)), np.empty(2, dtype=object)
        cell[:] = sparse, "no map"
        scipy.io.savemat(tmp_path / "a.mat", {"scene": {"gt": sparse}, "maps": cell}, do_compression=compressed)
        for name in ("scene.gt", "maps{1}"):
            np.testing.assert_array_equal(read_label_map(f"{tmp_path}/a.mat:{name}"), LABELS)

    @pytest.mark.parametrize(("rows", "columns"), [(2**30, 2**30), (0, 2**30), (9, 2**30)])
    def test_a_size_that_v4_states_is_refused(self, tmp_path: Path, rows: int, columns: int) -> None:
        path = tmp_path / "a.mat"
        save_v4(path, gt=scipy.sparse.csc_matrix(LABELS.astype(float)))
        content, number = bytearray(path.read_bytes()), np.count_nonzero(LABELS) + 1
        for column, size in enumerate((rows, columns)):
            struct.pack_into("<d", content, 23 + 8 * (column * number + number - 1), size)
        path.write_bytes(content)
        assert array_shapes(path) == {"gt": (rows, columns)}
        with pytest.raises(InvalidInputError, match="bytes in memory"):
            read_array(path, "gt")

    def test_parts_in_other_files_are_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        save_v73(path, gt=scipy.sparse.csc_matrix(LABELS.astype(float)))
        (tmp_path / "other.mat").write_bytes(path.read_bytes())
        with h5py.File(path, "r+") as file:
            del file["gt/data"]
            file["gt/data"] = h5py.ExternalLink(str(tmp_path / "other.mat"), "gt/data")
        with pytest.raises(InvalidInputError):
            read_label_map(path)

    @pytest.mark.parametrize("part", ["ir", "jc"])
    @pytest.mark.parametrize("value", [2**40, 100])
    def test_rows_and_columns_outside_are_refused(self, tmp_path: Path, part: str, value: int) -> None:
        path = tmp_path / "a.mat"
        save_v73(path, gt=scipy.sparse.csc_matrix(LABELS.astype(float)))
        with h5py.File(path, "r+") as file:
            file[f"gt/{part}"][2] = value
        with pytest.raises(InvalidInputError):
            read_label_map(path)

    def test_of_v5_too(self, tmp_path: Path) -> None:
        path, columns = tmp_path / "a.mat", scipy.sparse.csc_matrix(LABELS.astype(float))
        save_v5(path, gt=columns)
        rows = columns.indices.astype("<i4").tobytes()
        content = path.read_bytes()
        assert content.count(rows) == 1
        path.write_bytes(content.replace(rows, b"\x7f" + rows[1:]))
        with pytest.raises(InvalidInputError):
            read_label_map(path)

    def test_a_size_that_its_numbers_do_not_explain_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        save_v73(path, gt=scipy.sparse.csc_matrix(LABELS.astype(float)))
        with h5py.File(path, "r+") as file:
            file["gt"].attrs["MATLAB_sparse"] = np.uint64(2**40)
        assert array_shapes(path) == {"gt": (2**40, 7)}
        with pytest.raises(InvalidInputError, match="bytes in memory"):
            read_label_map(path)


class TestV73Sizes:
    def test_a_chunk_far_larger_than_its_bytes_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mat"
        with h5py.File(path, "w") as file:
            data = file.create_dataset(
                "cube", shape=CUBE.shape, maxshape=(None,) * 3, chunks=(5000, 5000, 20), dtype="f8", compression="gzip"
            )
            data.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(1000)))
        with pytest.raises(InvalidInputError, match=r"cube.*4000000000 bytes"):
            read_array(path)

    def test_numbers_in_other_files_are_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "other.bin").write_bytes(CUBE.tobytes())
        with h5py.File(tmp_path / "other.mat", "w") as file:
            file["cube"] = CUBE
        layout = h5py.VirtualLayout(shape=CUBE.shape, dtype="f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.mat"), "cube", shape=CUBE.shape)
        with h5py.File(tmp_path / "a.mat", "w") as file:
            file["own"] = CUBE
            file.create_virtual_dataset("virtual", layout)
            outside = [(str(tmp_path / "other.bin"), 0, CUBE.nbytes)]
            file.create_dataset("outside", shape=CUBE.shape, dtype="f8", external=outside)
        assert array_shapes(tmp_path / "a.mat") == {"own": CUBE.shape}
        for name in ("virtual", "outside"):
            with pytest.raises(InvalidInputError, match="in other files"):
                read_array(tmp_path / "a.mat", name)
