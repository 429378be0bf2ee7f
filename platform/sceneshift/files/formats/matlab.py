"""MATLAB's files: v5 by SciPy, v7.3, which is HDF5 with the axes reversed, by h5py."""

from collections.abc import Mapping
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
from sceneshift.files.formats.matlab_v5 import list_matrices
from sceneshift.safe_files import refuse_oversized, replacing

if TYPE_CHECKING:
    import h5py

#: What MATLAB calls its numeric classes; cells, structures, texts and sparse matrices are no arrays here.
_MATLAB_NUMBERS = {"double", "single", "logical"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}

#: HDF5 stands behind a header of so many bytes, the first 128 of which MATLAB reads.
_HEADER_BYTES = 512

#: What an array may take in a v5 file: its length is told in 32 bits.
_MOST_V5_BYTES = 2**32 - 2**16


class Matlab(FileFormat):
    """``.mat``: v5 and v7.3 are told apart by their content; a scene's description is a text among the arrays.

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
            import h5py

            with h5py.File(path, "r") as file:
                return {name: _hdf5_variable(item) for name, item in file.items() if isinstance(item, h5py.Dataset)}
        return {
            matrix.name: Variable(shape=matrix.shape, numeric=matrix.kind in _MATLAB_NUMBERS)
            for matrix in list_matrices(path)
        }

    def load(self, path: Path, name: str) -> NDArray[Any]:
        """See the base class; the axes of a v7.3 file come back in MATLAB's order."""
        if _is_hdf5(path):
            import h5py

            with h5py.File(path, "r") as file:
                dataset = file[name]
                # What was never written takes no room in the file, and would come back as zeros.
                held = min(dataset.id.get_storage_size(), path.stat().st_size)
                refuse_oversized(path, name, needed=dataset.nbytes, held=held)
                return np.asarray(dataset[()]).T
        import scipy.io

        list_matrices(path)  # SciPy is handed sound files alone
        return np.asarray(scipy.io.loadmat(path, variable_names=[name])[name])

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


def _is_hdf5(path: Path) -> bool:
    import h5py

    return bool(h5py.is_hdf5(path))


def _hdf5_variable(dataset: "h5py.Dataset") -> Variable:
    kind = dataset.attrs.get("MATLAB_class", b"double")
    name = kind.decode() if isinstance(kind, bytes) else str(kind)
    numeric = name in _MATLAB_NUMBERS and dataset.dtype.kind in "biuf" and not dataset.attrs.get("MATLAB_empty", 0)
    return Variable(shape=tuple(reversed(dataset.shape)), numeric=bool(numeric))


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
