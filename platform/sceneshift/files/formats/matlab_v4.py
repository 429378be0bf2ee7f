"""What a MATLAB v4 file holds, and whether it is sound enough to be handed to SciPy.

A v4 file is a sequence of matrices, each with a head of five integers before its name and its numbers (MathWorks,
"MAT-File Format", chapter on level 4; from memory, and tested on files that SciPy writes). Matrices have two
dimensions: label maps and wavelengths are kept in such files, cubes are not.
"""

import math
import struct
from pathlib import Path
from typing import BinaryIO

from sceneshift.errors import InvalidInputError
from sceneshift.files.formats.matlab_v5 import Matrix

#: Type, rows, columns, whether there is an imaginary part, and bytes of the name.
_HEAD = "5i"
_HEAD_BYTES = struct.calcsize(f"<{_HEAD}")

#: Classes of numbers by the tens of the type, with struct's letters.
_NUMBERS = {0: ("double", "d"), 1: ("single", "f"), 2: ("int32", "i"), 3: ("int16", "h"), 4: ("uint16", "H"),
            5: ("uint8", "B")}  # fmt: skip

#: Kinds by the last digit of the type.
_FULL, _TEXT, _SPARSE = 0, 1, 2

_LARGEST_TYPE, _MOST_NAME_BYTES = 5000, 256


def is_v4(path: Path) -> bool:
    """Whether a file begins as a MATLAB v4 file does: with the head of a matrix and its name."""
    with path.open("rb") as file:
        order = _byte_order(file.read(4))
        file.seek(0)
        return _head(file, order) is not None


def list_v4_matrices(path: Path) -> list[Matrix]:
    """All matrices of a file; a sparse one has the shape of the full one.

    Raises:
        InvalidInputError: The file is damaged.
    """
    size, found = path.stat().st_size, []
    with path.open("rb") as file:
        order = _byte_order(file.read(4))
        place = 0
        while place < size:
            file.seek(place)
            head = _head(file, order)
            if head is None:
                raise _damaged(path, f"no matrix at {place} of {size}")
            kind, letter, shape, num_arrays, name = head
            start, num_bytes = file.tell(), math.prod(shape) * struct.calcsize(f"{order}{letter}")
            place = start + num_bytes * num_arrays
            if place > size:
                raise _damaged(path, f"{name} of {num_bytes * num_arrays} bytes, and {size - start} are left")
            if kind == "sparse":
                kind, shape = _of_full(path, file, f"{order}{letter}", shape, name)
            found.append(Matrix(name=name, shape=shape, kind=kind))
    return found


def _byte_order(first: bytes) -> str:
    """The order in which the type, which is small, makes sense."""
    kind = int.from_bytes(first, "little", signed=True)
    return "<" if 0 <= kind <= _LARGEST_TYPE else ">"


def _head(file: BinaryIO, order: str) -> tuple[str, str, tuple[int, int], int, str] | None:
    """Kind, letter of the numbers, shape, number of arrays and name of the matrix that begins here, or None."""
    content = file.read(_HEAD_BYTES)
    if len(content) < _HEAD_BYTES:
        return None
    type_, rows, columns, imaginary, name_bytes = struct.unpack(f"{order}{_HEAD}", content)
    orders, rest = divmod(type_, 1000)
    number, kind = divmod(rest, 10)
    if orders != (order == ">") or number not in _NUMBERS or kind not in (_FULL, _TEXT, _SPARSE):
        return None
    if rows < 0 or columns < 0 or imaginary not in (0, 1) or not 1 < name_bytes <= _MOST_NAME_BYTES:
        return None
    name = file.read(name_bytes)
    if len(name) < name_bytes or not name.endswith(b"\0"):
        return None
    called, letter = _NUMBERS[number]
    if kind != _FULL:
        called = "char" if kind == _TEXT else "sparse"
    elif imaginary:
        called = "complex"
    num_arrays = 2 if imaginary and kind != _SPARSE else 1
    return called, letter, (rows, columns), num_arrays, name.rstrip(b"\0").decode("latin-1")


def _of_full(path: Path, file: BinaryIO, letter: str, shape: tuple[int, int], name: str) -> tuple[str, tuple[int, int]]:
    """Kind and shape of the full matrix: a sparse one's last row has its rows and columns."""
    rows, columns = shape
    if rows < 1 or columns not in (3, 4):
        raise _damaged(path, f"{name}, sparse, of shape {shape}")
    start, width = file.tell(), struct.calcsize(letter)
    sizes = []
    for column in range(2):
        file.seek(start + (column * rows + rows - 1) * width)
        (value,) = struct.unpack(letter, file.read(width))
        if not (0 <= value < 2**31) or value != int(value):
            raise _damaged(path, f"{name}, sparse, with the size {value}")
        sizes.append(int(value))
    return "sparse" if columns == 3 else "complex", (sizes[0], sizes[1])


def _damaged(path: Path, what: str) -> InvalidInputError:
    return InvalidInputError(f"{path} could not be read ({what}); is it complete? Copy or download it again.")
