"""MATLAB's files: v4 and v5 by SciPy, v7.3, which is HDF5 with the axes reversed, by h5py.

What is in structures and cells has the name that MATLAB gives it: ``scene.cube``, ``scenes(2).cube``, ``maps{1}``.
Sparse matrices come back as full ones.
"""

import io
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.files.formats.description import Description
from sceneshift.files.formats.file_format import (
    DESCRIPTION,
    WAVELENGTHS,
    FileFormat,
    Variable,
    described_arrays,
    described_by,
)
from sceneshift.files.formats.hdf5_blocks import refuse_large_blocks
from sceneshift.files.formats.matlab_v4 import is_v4, list_v4_matrices
from sceneshift.files.formats.matlab_v5 import ALONE, Matrix, element_alone, list_matrices
from sceneshift.safe_files import refuse_oversized, replacing

if TYPE_CHECKING:
    import h5py

_log = logging.getLogger(__name__)

#: What MATLAB calls its numeric classes; cells, structures and texts are not arrays here.
_MATLAB_NUMBERS = {"double", "single", "logical"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}

_SPARSE = "sparse"

#: What else there is, in messages.
_KINDS = {"struct": "structure", "char": "text", "function": "function handle"}

#: Maximum depth of structures and number of references of a cell; what is beyond is not read.
_MOST_LEVELS, _MOST_REFERENCES, _MOST_ITEMS = 8, 1000, 10_000

#: Size in bytes of the header before HDF5, of which MATLAB reads the first 128.
_HEADER_BYTES = 512

#: Maximum size of an array in a v5 file, whose length field has 32 bits.
_MOST_V5_BYTES = 2**32 - 2**16


class Matlab(FileFormat):
    """``.mat``: v4, v5 and v7.3 are distinguished by their content; a scene's description is a text among the arrays.

    Args:
        hdf5: Whether v7.3 is written.
    """

    suffixes = (".mat",)
    holds_several = True

    def __init__(self, *, hdf5: bool) -> None:
        self._hdf5 = hdf5

    def variables(self, path: Path) -> dict[str, Variable]:
        """See the base class."""
        if _is_hdf5(path):
            with _hdf5_file(path) as file:
                items = list(islice(_hdf5_items(file), _MOST_ITEMS + 1))
                if len(items) > _MOST_ITEMS:
                    raise InvalidInputError(
                        f"{path} holds more than {_MOST_ITEMS} arrays; expected a file with a scene. Save cube and "
                        "labels in a separate file."
                    )
                return {name: _hdf5_variable(item, path) for name, item in items}
        return {
            matrix.name: Variable(
                shape=matrix.shape,
                numeric=matrix.kind in _MATLAB_NUMBERS or matrix.kind == _SPARSE,
                kind=_KINDS.get(matrix.kind, matrix.kind),
            )
            for matrix in _matrices(path)
        }

    def load(self, path: Path, name: str) -> NDArray[Any]:
        """See the base class; the axes of a v7.3 file come back in MATLAB's order."""
        if _is_hdf5(path):
            with _hdf5_file(path) as file:
                item = next(item for known, item in _hdf5_items(file) if known == name)
                if _is_sparse(item):
                    return _hdf5_full(item, path, name)
                values = _hdf5_values(item, path, name)
                if _is_matlab_s(item, path):
                    return values.T
                _log.warning(
                    "%s was not written by MATLAB: the axes of %s are taken as they are in the file", path, name
                )
                return values
        import scipy.io

        # SciPy is given valid files only.
        matrix = next(matrix for matrix in _matrices(path) if matrix.name == name)
        if matrix.kind == _SPARSE:
            _refuse_oversized_full(path, name, matrix.shape, held=path.stat().st_size)
        if matrix.within is not None:
            values = scipy.io.loadmat(io.BytesIO(element_alone(path, matrix)))[ALONE]
        else:
            values = scipy.io.loadmat(path, variable_names=[name])[name]
        if matrix.kind == _SPARSE:
            columns = values.tocsc()  # of v4 it has other indices
            return _full(
                path, name, values=columns.data, rows=columns.indices, starts=columns.indptr, shape=matrix.shape
            )
        return np.asarray(values)

    def describe(self, path: Path) -> Description:
        """See the base class."""
        held = self.variables(path)
        text = self._text(path, DESCRIPTION) if DESCRIPTION in held else None
        has_wavelengths = WAVELENGTHS in held and held[WAVELENGTHS].numeric
        return described_by(text, self.load(path, WAVELENGTHS) if has_wavelengths else None)

    def _text(self, path: Path, name: str) -> str:
        letters = self.load(path, name).ravel()
        return "".join(chr(letter) for letter in letters) if letters.dtype.kind in "iu" else str(letters[0])

    def write(self, path: Path, arrays: Mapping[str, NDArray[Any]], description: Description) -> None:
        """See the base class."""
        values, text = described_arrays(arrays, description)
        with replacing(path) as temporary:
            if self._hdf5:
                _write_hdf5(temporary, values, text)
            else:
                _write_v5(temporary, values, text)


def _matrices(path: Path) -> list[Matrix]:
    return list_v4_matrices(path) if is_v4(path) else list_matrices(path)


def _full(
    path: Path, name: str, *, values: NDArray[Any], rows: NDArray[Any], starts: NDArray[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """The full matrix of a sparse one in compressed columns.

    Args:
        path: The file.
        name: The matrix.
        values: (N,) what is not zero, column by column.
        rows: (N,) their rows.
        starts: (columns + 1,) where each column's values begin among all.
        shape: Rows and columns.

    Raises:
        InvalidInputError: Rows or starts are not of such a matrix, or it is too large.
    """
    _refuse_oversized_full(path, name, shape, held=values.nbytes + rows.nbytes + starts.nbytes)
    number = int(starts[-1]) if len(starts) == shape[1] + 1 and starts[0] == 0 else -1
    rows, ordered = rows[: max(0, number)], (np.asarray(starts[1:] >= starts[:-1])).all()
    if not (0 <= number == len(rows) <= len(values) and ordered and ((rows >= 0) & (rows < shape[0])).all()):
        raise InvalidInputError(
            f"{path} could not be read ({name}, sparse, with rows or columns outside of {shape}); is it complete? Copy "
            "or download it again."
        )
    full = np.zeros(shape, dtype=values.dtype)
    columns = np.repeat(np.arange(shape[1]), (starts[1:] - starts[:-1]).astype(np.int64))
    full[rows.astype(np.int64), columns] = values[:number]
    return full


def _refuse_oversized_full(path: Path, name: str, shape: tuple[int, ...], *, held: int) -> None:
    # A matrix without rows has as many starts of columns all the same.
    refuse_oversized(path, f"{name}, sparse,", needed=8 * math.prod(max(1, number) for number in shape), held=held)


def _is_hdf5(path: Path) -> bool:
    import h5py

    return bool(h5py.is_hdf5(path))


@contextmanager
def _hdf5_file(path: Path) -> Iterator["h5py.File"]:
    import h5py

    refuse_large_blocks(path)
    with h5py.File(path, "r") as file:
        yield file


def _hdf5_items(group: "h5py.Group", prefix: str = "", levels: int = _MOST_LEVELS) -> Iterator[tuple[str, Any]]:
    """Datasets and groups by MATLAB's names: those in structures, in arrays of structures, and in cells as well."""
    import h5py

    for name in group:
        if name == "#refs#" or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue  # what cells refer to; other files
        item, known = group[name], prefix + name
        if isinstance(item, h5py.Group):
            yield known, item
            if levels > 0 and not _is_sparse(item):
                yield from _hdf5_items(item, f"{known}.", levels - 1)
        elif isinstance(item, h5py.Dataset):
            yield known, item
            refers = h5py.check_ref_dtype(item.dtype) is h5py.Reference
            if refers and levels > 0 and (item.size or 0) <= _MOST_REFERENCES:
                is_cell = _matlab_class(item) == "cell"
                for k, reference in enumerate(np.ravel(item[()]), start=1):
                    if not reference:
                        continue
                    part = group.file[reference]
                    if not isinstance(part, h5py.Dataset) and not _is_sparse(part):
                        continue
                    # Without a class, the references are one field's of an array of structures.
                    yield f"{known}{{{k}}}" if is_cell or not prefix else f"{prefix[:-1]}({k}).{name}", part


def _matlab_class(item: "h5py.Dataset | h5py.Group") -> str | None:
    kind = item.attrs.get("MATLAB_class")
    return kind.decode("latin-1") if isinstance(kind, bytes) else None if kind is None else str(kind)


def _is_matlab_s(dataset: "h5py.Dataset", path: Path) -> bool:
    """Whether MATLAB's order of axes is this one's, reversed: it says its class, or the file begins as MATLAB's."""
    if _matlab_class(dataset) is not None:
        return True
    with path.open("rb") as file:
        return file.read(6) == b"MATLAB"


def _is_sparse(item: "h5py.Dataset | h5py.Group") -> bool:
    """Whether a group holds a sparse matrix: its attribute has the number of rows."""
    return "MATLAB_sparse" in item.attrs


def _sparse_parts(group: "h5py.Group") -> dict[str, "h5py.Dataset"]:
    """Numbers, rows and starts of columns of a sparse matrix; where all is zero, it has starts alone."""
    import h5py

    own = [name for name in ("data", "ir", "jc") if isinstance(group.get(name, getlink=True), h5py.HardLink)]
    return {name: group[name] for name in own if isinstance(group[name], h5py.Dataset)}


def _sparse_shape(group: "h5py.Group") -> tuple[int, int]:
    return int(group.attrs["MATLAB_sparse"]), max(0, int(_sparse_parts(group)["jc"].size) - 1)


def _hdf5_full(group: "h5py.Group", path: Path, name: str) -> NDArray[Any]:
    parts = {part: _hdf5_values(item, path, f"{name}.{part}").ravel() for part, item in _sparse_parts(group).items()}
    return _full(
        path,
        name,
        values=parts.get("data", np.zeros(0)),
        rows=parts.get("ir", np.zeros(0, dtype=np.int64)),
        starts=parts["jc"],
        shape=_sparse_shape(group),
    )


def _hdf5_values(dataset: "h5py.Dataset", path: Path, name: str) -> NDArray[Any]:
    """An array as it is in the file.

    Raises:
        InvalidInputError: It states more bytes than the file can hold, or its numbers are in other files.
    """
    if _is_elsewhere(dataset):
        raise InvalidInputError(
            f"{path}: the numbers of {name} are in other files; expected them in this one. Save the array itself."
        )
    # What was never written takes no room in the file, and would come back as zeros.
    held, in_file = dataset.id.get_storage_size(), path.stat().st_size
    if held > in_file:
        raise InvalidInputError(
            f"{path} could not be read ({name} states {held} bytes in a file of {in_file}); is it complete? Copy or "
            "download it again."
        )
    refuse_oversized(path, name, needed=dataset.nbytes, held=held)
    if dataset.chunks is not None:
        needed = math.prod(dataset.chunks) * dataset.dtype.itemsize
        refuse_oversized(path, f"a chunk of {name}", needed=needed, held=held)
    return np.asarray(dataset[()])


def _is_elsewhere(dataset: "h5py.Dataset") -> bool:
    """Whether the numbers are in other files."""
    return bool(dataset.external) or bool(dataset.is_virtual)


def _hdf5_variable(item: "h5py.Dataset | h5py.Group", path: Path) -> Variable:
    import h5py

    name = _matlab_class(item)
    if isinstance(item, h5py.Group):
        parts = _sparse_parts(item) if _is_sparse(item) else {}
        if "jc" not in parts:
            return Variable(shape=(), numeric=False, kind="structure")
        real = "data" not in parts or parts["data"].dtype.kind in "biuf"
        return Variable(shape=_sparse_shape(item), numeric=real, kind="complex")
    if _is_elsewhere(item):
        return Variable(shape=tuple(item.shape or ()), numeric=False, kind="in other files")
    numeric = (name is None or name in _MATLAB_NUMBERS) and item.dtype.kind in "biuf"
    numeric = numeric and not item.attrs.get("MATLAB_empty", 0) and item.shape is not None
    shape = tuple(item.shape or ())
    kind = "complex" if item.dtype.names == ("real", "imag") else _KINDS.get(name or "", name or "no numbers")
    return Variable(
        shape=tuple(reversed(shape)) if _is_matlab_s(item, path) else shape, numeric=bool(numeric), kind=kind
    )


def _write_v5(path: Path, arrays: Mapping[str, NDArray[Any]], text: str) -> None:
    import scipy.io

    for name, array in arrays.items():
        if array.nbytes > _MOST_V5_BYTES:
            raise InvalidInputError(
                f"{name} takes {array.nbytes / 2**30:.1f} GiB; a MATLAB v5 file holds arrays up to 4 GiB. Write "
                "MATLAB v7.3 ('mat73') instead."
            )
    scipy.io.savemat(path, {**arrays, DESCRIPTION: text})


def _write_hdf5(path: Path, arrays: Mapping[str, NDArray[Any]], text: str) -> None:
    import h5py

    with h5py.File(path, "w", userblock_size=_HEADER_BYTES) as file:
        for name, array in arrays.items():
            columns = array if array.ndim > 1 else array[None]  # MATLAB has no array of one dimension
            kind = {"float64": "double", "float32": "single"}.get(array.dtype.name, array.dtype.name)
            file.create_dataset(name, data=columns.T).attrs["MATLAB_class"] = np.bytes_(kind.encode())
        letters = file.create_dataset(DESCRIPTION, data=np.array([[ord(letter)] for letter in text], dtype=np.uint16))
        letters.attrs["MATLAB_class"] = np.bytes_(b"char")
        letters.attrs["MATLAB_int_decode"] = np.int32(2)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, HDF5 schema 1.00 .".ljust(116) + bytes(8) + b"\x00\x02IM")
