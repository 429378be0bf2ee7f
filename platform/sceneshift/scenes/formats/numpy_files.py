"""NumPy's files: ``.npy`` with one array, ``.npz`` with several."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.file_access import replacing
from sceneshift.scenes.formats.description import Description
from sceneshift.scenes.formats.file_format import (
    DESCRIPTION,
    WAVELENGTHS,
    FileFormat,
    Variable,
    described_arrays,
    described_by,
)


class Npy(FileFormat):
    """``.npy``: one array without a name, and nothing beside it."""

    suffixes = (".npy",)
    holds_several = False

    def variables(self, path: Path) -> dict[str, Variable]:
        """See the base class; an array of objects is an error."""
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return {"the array": Variable(shape=array.shape, numeric=array.dtype.kind in "biuf")}

    def load(self, path: Path, name: str) -> NDArray[Any]:
        """See the base class."""
        return np.asarray(np.load(path, allow_pickle=False))

    def write(self, path: Path, arrays: Mapping[str, NDArray[Any]], description: Description) -> None:
        """Write the one array; the description is lost."""
        (array,) = arrays.values()
        with replacing(path) as temporary:
            np.save(temporary, array, allow_pickle=False)


class Npz(FileFormat):
    """``.npz``: arrays by name; a scene's description is a text among them."""

    suffixes = (".npz",)
    holds_several = True

    def variables(self, path: Path) -> dict[str, Variable]:
        """See the base class; only the headers are read."""
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _header(archive, name) for name in archive.namelist()}

    def load(self, path: Path, name: str) -> NDArray[Any]:
        """See the base class."""
        # Opened here: np.load leaves a broken archive open behind it.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return np.asarray(archive[name])

    def describe(self, path: Path) -> Description:
        """See the base class."""
        held = self.variables(path)
        text = str(self.load(path, DESCRIPTION)) if DESCRIPTION in held else None
        return described_by(text, self.load(path, WAVELENGTHS) if WAVELENGTHS in held else None)

    def write(self, path: Path, arrays: Mapping[str, NDArray[Any]], description: Description) -> None:
        """See the base class."""
        values, text = described_arrays(arrays, description)
        with replacing(path) as temporary:
            np.savez(temporary, allow_pickle=False, **values, **{DESCRIPTION: np.array(text)})


def _header(archive: zipfile.ZipFile, name: str) -> Variable:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise InvalidInputError(f"{name} is of .npy version {version}; expected 1.0 to 3.0. Install a newer numpy.")
        # Version 3 differs from 2 in its text encoding alone, which matters for names of fields.
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    return Variable(shape=shape, numeric=dtype.kind in "biuf")
