"""NumPy's files: ``.npy`` with one array, ``.npz`` with several."""

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

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
from sceneshift.safe_files import refuse_oversized, replacing

#: No array's header is longer.
_HEADER_BYTES = 2**16


class Npy(FileFormat):
    """``.npy``: one array without a name, and nothing else."""

    suffixes = (".npy",)
    holds_several = False

    def variables(self, path: Path) -> dict[str, Variable]:
        """See the base class."""
        with path.open("rb") as file:
            return {"the array": _header(path, "the array", file, path.stat().st_size)}

    def load(self, path: Path, name: str) -> NDArray[Any]:
        """See the base class."""
        self.variables(path)  # its size is known to be the file's
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
            return {
                member.filename.removesuffix(".npy"): _member_header(path, archive, member)
                for member in archive.infolist()
            }

    def load(self, path: Path, name: str) -> NDArray[Any]:
        """See the base class."""
        self.variables(path)  # sizes are known to be those of the members
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


def _member_header(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Variable:
    refuse_oversized(path, member.filename, needed=member.file_size, held=member.compress_size)
    with archive.open(member) as file:
        return _header(path, member.filename, file, member.file_size)


def _header(path: Path, name: str, file: IO[bytes], size: int) -> Variable:
    """Shape and type of the array that begins here, whose size in bytes includes its header."""
    # Out of the file's first bytes: its own word on how long the header is may be gigabytes.
    start = io.BytesIO(file.read(_HEADER_BYTES))
    version = np.lib.format.read_magic(start)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise InvalidInputError(
            f"{path}: {name} is of .npy version {version}; expected 1.0 to 3.0. Install a newer numpy."
        )
    # Version 3 differs from 2 in its text encoding alone, which matters for names of fields.
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(start)
    numeric = dtype.kind in "biuf"
    if numeric and min(shape, default=0) < 0:
        raise InvalidInputError(f"{path} could not be read ({name} of shape {shape}); copy or download it again.")
    if numeric and (needed := dtype.itemsize * math.prod(shape)) > (held := size - start.tell()):
        raise InvalidInputError(
            f"{path} could not be read ({name} of shape {shape} takes {needed} bytes, and has {held}); is it complete? "
            "Copy or download it again."
        )
    return Variable(shape=shape, numeric=numeric)
