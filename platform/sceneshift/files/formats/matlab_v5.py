"""What a MATLAB v5 file holds, and whether it is sound enough to be handed to SciPy.

SciPy takes the sizes and types in such a file at their word: a damaged type ends the whole process, a damaged size
asks for gigabytes. So the elements' heads are read here first, without the numbers, by MathWorks' "MAT-File Format"
(chapter 1, level 5), and inconsistent files are rejected.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sceneshift.errors import InvalidInputError
from sceneshift.safe_files import refuse_oversized

_HEADER_BYTES = 128

#: Bytes of an element that hold all before its numbers: flags, dimensions, name, and the numbers' own tag.
_HEAD_BYTES = 4096

_MATRIX, _COMPRESSED = 14, 15

#: Bytes a number takes in the types an array's numbers may have in the file, whatever its class: small ones are packed.
_NUMBER_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}

#: The types a text may have beside those: UTF-8, UTF-16, UTF-32.
_TEXT_BYTES = {16: 1, 17: 2, 18: 4}

_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8", 9: "uint8",
    10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64", 16: "function", 17: "opaque",
}  # fmt: skip

_IS_COMPLEX, _IS_LOGICAL = 0x0800, 0x0200


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One variable: its shape, and its class as MATLAB calls it; ``complex`` and ``logical`` are told as such."""

    name: str
    shape: tuple[int, ...]
    kind: str


def list_matrices(path: Path) -> list[Matrix]:
    """All variables with a name.

    Raises:
        InvalidInputError: The file is damaged.
        struct.error: It ends within an element's head.
        zlib.error: A compressed element is damaged at its beginning.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(_HEADER_BYTES)[-2:])
        if order is None:
            raise _damaged(path, "no header of MATLAB v5 or v7.3; v4 is written anew by MATLAB's `save -v7`")
        return [matrix for matrix in _matrices(path, file, order, size) if matrix.name]


def _matrices(path: Path, file: BinaryIO, order: str, size: int) -> Iterator[Matrix]:
    place = _HEADER_BYTES
    while place < size:
        file.seek(place)
        kind, length = struct.unpack(f"{order}II", file.read(8))
        place += 8 + length
        if place > size or kind not in (_MATRIX, _COMPRESSED):
            raise _damaged(path, f"an element of type {kind} and {length} bytes at {place - 8 - length} of {size}")
        head = file.read(min(length, _HEAD_BYTES))
        if kind == _COMPRESSED:
            head = zlib.decompressobj().decompress(head, _HEAD_BYTES)
            kind, unpacked = struct.unpack_from(f"{order}II", head)
            if kind != _MATRIX:
                raise _damaged(path, f"a compressed element of type {kind}")
            refuse_oversized(path, "a compressed element", needed=unpacked, held=length)
            head, length = head[8:], unpacked
        yield _matrix(path, head, order, length)


def _matrix(path: Path, head: bytes, order: str, length: int) -> Matrix:
    _, start, _, place = _part(path, head, 0, order, length)
    (flags,) = struct.unpack_from(f"{order}I", head, start)
    kind = _CLASSES.get(flags & 0xFF)
    if kind is None:
        raise _damaged(path, f"an array of class {flags & 0xFF}")
    if kind == "opaque":  # an object of MATLAB's; its parts are others
        return Matrix(name="", shape=(), kind=kind)
    _, start, num_bytes, place = _part(path, head, place, order, length)
    shape = struct.unpack_from(f"{order}{num_bytes // 4}i", head, start)
    _, start, num_bytes, place = _part(path, head, place, order, length)
    name = head[start : start + num_bytes].decode("latin-1")
    if len(shape) < 2 or min(shape) < 0:
        raise _damaged(path, f"{name} of shape {shape}")
    numeric = kind not in ("cell", "struct", "object", "char", "sparse", "function")
    if (numeric or kind == "char") and place < length:
        known = _NUMBER_BYTES if numeric else _NUMBER_BYTES | _TEXT_BYTES
        type_, _, num_bytes, _ = _part(path, head, place, order, length)
        if type_ not in known:
            raise _damaged(path, f"{name} of type {type_}")
        if numeric and num_bytes != math.prod(shape) * known[type_]:
            raise _damaged(path, f"{name} of shape {shape} in {num_bytes} bytes")
    if numeric and flags & (_IS_COMPLEX | _IS_LOGICAL):
        kind = "complex" if flags & _IS_COMPLEX else "logical"
    return Matrix(name=name, shape=shape, kind=kind)


def _part(path: Path, head: bytes, place: int, order: str, length: int) -> tuple[int, int, int, int]:
    """Type of the part of an element at a place, where its content begins, its bytes, and where the next part is."""
    (word,) = struct.unpack_from(f"{order}I", head, place)
    if word >> 16:  # up to four bytes lie in the tag itself
        kind, num_bytes, start, after = word & 0xFFFF, word >> 16, place + 4, place + 8
        fits = num_bytes <= 4
    else:
        (num_bytes,) = struct.unpack_from(f"{order}I", head, place + 4)
        kind, start, after = word, place + 8, place + 8 + -(-num_bytes // 8) * 8
        fits = start + num_bytes <= length
    if not fits:
        raise _damaged(path, f"a part of {num_bytes} bytes in an element of {length}")
    return kind, start, num_bytes, after


def _damaged(path: Path, what: str) -> InvalidInputError:
    return InvalidInputError(f"{path} could not be read ({what}); is it complete? Copy or download it again.")
