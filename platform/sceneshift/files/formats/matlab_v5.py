"""What a MATLAB v5 file holds, and whether it is valid enough for SciPy.

SciPy takes the sizes and types in such a file at their word: a damaged type ends the whole process, a damaged size
asks for gigabytes. So the elements' heads are read here first, without the numbers, by MathWorks' "MAT-File Format"
(chapter 1, level 5), and inconsistent files are rejected. Structures and cells are walked through: what is in them
has the names that MATLAB gives it, ``scene.cube``, ``scenes(2).cube`` and ``maps{1}``.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from sceneshift.errors import InvalidInputError
from sceneshift.safe_files import refuse_oversized

_HEADER_BYTES = 128

_MATRIX, _COMPRESSED, _INT8, _UINT32 = 14, 15, 1, 6

#: Bytes a number takes in the types an array's numbers may have in the file, whatever its class: small ones are packed.
_NUMBER_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}

#: Other types that a text may have: UTF-8, UTF-16, UTF-32.
_TEXT_BYTES = {16: 1, 17: 2, 18: 4}

_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8", 9: "uint8",
    10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64", 16: "function", 17: "opaque",
}  # fmt: skip

_NOT_NUMERIC = ("cell", "struct", "object", "char", "sparse", "function")

_IS_COMPLEX, _IS_LOGICAL = 0x0800, 0x0200

#: Maximum depth of structures and cells, and number of parts of one file; what is beyond is not read.
_MOST_LEVELS, _MOST_PARTS = 8, 10_000

#: A name, dimensions and flags take no more.
_MOST_HEAD_BYTES = 2**16

#: Bytes decompressed at once while skipping.
_BLOCK = 2**16

#: The name of an array that is passed to SciPy alone.
ALONE = "x"


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One variable, or a part of one.

    Args:
        name: Its name as MATLAB writes it.
        shape: Its shape.
        kind: Its class as MATLAB calls it; ``complex`` and ``logical`` are named so.
        place: Where its top-level element begins in the file.
        within: For a part, where its element's content begins in the (unpacked) content of that, and its bytes.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    place: int = 0
    within: tuple[int, int] | None = None


def list_matrices(path: Path) -> list[Matrix]:
    """All named variables, and the content of structures and cells.

    Raises:
        InvalidInputError: The file is damaged.
        struct.error: It ends within an element's head.
        zlib.error: A compressed element is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        order = _byte_order(path, file)
        return [matrix for matrix in _matrices(path, file, order, size) if matrix.name]


def element_alone(path: Path, matrix: Matrix) -> bytes:
    """A MATLAB v5 file with one array: a part of a structure or of a cell, under the name :data:`ALONE`.

    Args:
        path: The file that :func:`list_matrices` was given.
        matrix: One of its numeric arrays that is a part.

    Raises:
        InvalidInputError: The file was changed meanwhile.
        zlib.error: A compressed element is damaged.
    """
    assert matrix.within is not None
    start, num_bytes = matrix.within
    with path.open("rb") as file:
        order = _byte_order(path, file)
        file.seek(0)
        header = file.read(_HEADER_BYTES)
        file.seek(matrix.place)
        stream, _ = _open_element(path, file, order)
        stream.skip(start)
        content = bytearray(stream.read(num_bytes))
    head = _Head(path, _Content(path, content), order, num_bytes)
    head.read()
    # A part's name is empty, which takes eight bytes, as a name of one letter does.
    if content[head.name_at : head.name_at + 8] != struct.pack(f"{order}II", _INT8, 0):
        raise _damaged(path, f"{matrix.name} without its own name")
    content[head.name_at : head.name_at + 8] = struct.pack(f"{order}I", 1 << 16 | _INT8) + ALONE.encode().ljust(
        4, b"\0"
    )
    return header + struct.pack(f"{order}II", _MATRIX, num_bytes) + bytes(content)


class _Content:
    """Bytes that are read one after another, and never more of them in memory than are asked for."""

    def __init__(self, path: Path, content: bytes | bytearray = b"") -> None:
        self._path = path
        self._content = bytes(content)
        self.at = 0

    def read(self, num_bytes: int) -> bytes:
        """So many bytes.

        Raises:
            InvalidInputError: There are fewer.
        """
        found = self._next(num_bytes)
        self.at += len(found)
        if len(found) != num_bytes:
            raise _damaged(self._path, f"an element that ends after {self.at} bytes")
        return found

    def skip(self, num_bytes: int) -> None:
        """Read and discard `num_bytes` bytes."""
        while num_bytes > 0:
            num_bytes -= len(self.read(min(num_bytes, _BLOCK)))

    def _next(self, num_bytes: int) -> bytes:
        return self._content[self.at : self.at + num_bytes]


class _Plain(_Content):
    """The raw content of an element."""

    def __init__(self, path: Path, file: BinaryIO, num_bytes: int) -> None:
        super().__init__(path)
        self._file, self._num_bytes, self._start = file, num_bytes, file.tell()

    def skip(self, num_bytes: int) -> None:
        """See the base class; nothing is read."""
        if self.at + num_bytes > self._num_bytes:
            raise _damaged(self._path, f"a part of {num_bytes} bytes in an element of {self._num_bytes}")
        self.at += num_bytes

    def _next(self, num_bytes: int) -> bytes:
        self._file.seek(self._start + self.at)
        return self._file.read(min(num_bytes, self._num_bytes - self.at))


class _Compressed(_Content):
    """The content of a compressed element, unpacked as it is read."""

    def __init__(self, path: Path, file: BinaryIO, num_bytes: int) -> None:
        super().__init__(path)
        self._file, self._left, self._unpacking, self._ready = file, num_bytes, zlib.decompressobj(), b""

    def _next(self, num_bytes: int) -> bytes:
        parts = [self._ready[:num_bytes]]
        self._ready = self._ready[num_bytes:]
        missing = num_bytes - len(parts[0])
        while missing and not self._unpacking.eof:
            packed = self._unpacking.unconsumed_tail
            if not packed:
                packed = self._file.read(min(self._left, _BLOCK))
                self._left -= len(packed)
            unpacked = self._unpacking.decompress(packed, max(missing, _BLOCK))
            if not packed and not unpacked:
                break
            parts.append(unpacked[:missing])
            self._ready = unpacked[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)


def _byte_order(path: Path, file: BinaryIO) -> str:
    header = file.read(_HEADER_BYTES)
    order = {b"IM": "<", b"MI": ">"}.get(header[_HEADER_BYTES - 2 :])
    if order is not None:
        return order
    raise _damaged(path, "no header of MATLAB v4, v5 or v7.3")


def _matrices(path: Path, file: BinaryIO, order: str, size: int) -> Iterator[Matrix]:
    place, parts = _HEADER_BYTES, 0
    while place < size:
        file.seek(place)
        kind, length = struct.unpack(f"{order}II", file.read(8))
        if place + 8 + length > size or kind not in (_MATRIX, _COMPRESSED):
            raise _damaged(path, f"an element of type {kind} and {length} bytes at {place} of {size}")
        file.seek(place)
        stream, content = _open_element(path, file, order)
        for matrix in _walk(path, stream, order, content, levels=_MOST_LEVELS):
            parts += 1
            if parts > _MOST_PARTS:
                raise InvalidInputError(
                    f"{path} holds more than {_MOST_PARTS} arrays; expected a file with a scene. Save cube and labels "
                    "in a separate file."
                )
            yield replace(matrix, place=place)
        place += 8 + length


def _open_element(path: Path, file: BinaryIO, order: str) -> tuple[_Content, int]:
    """The content of the top-level matrix that begins here, and its bytes."""
    kind, length = struct.unpack(f"{order}II", file.read(8))
    if kind == _MATRIX:
        return _Plain(path, file, length), length
    stream = _Compressed(path, file, length)
    kind, unpacked = struct.unpack(f"{order}II", stream.read(8))
    if kind != _MATRIX:
        raise _damaged(path, f"a compressed element of type {kind}")
    refuse_oversized(path, "a compressed element", needed=unpacked, held=length)
    stream.at = 0
    return stream, unpacked


class _Head:
    """The parts of a matrix before its content, as they are read."""

    def __init__(self, path: Path, stream: _Content, order: str, length: int) -> None:
        self._path, self._stream, self.order = path, stream, order
        self._end = stream.at + length
        self.kind, self.flags, self.name, self.name_at = "", 0, "", 0
        self.shape: tuple[int, ...] = ()

    @property
    def left(self) -> int:
        """Bytes of the matrix that were not read."""
        return self._end - self._stream.at

    def part(self) -> tuple[int, int, bytes | None]:
        """Type and bytes of the next part, and its content if that is in the tag; it is read up to its content."""
        if self.left < 8:
            raise _damaged(self._path, f"a part of an element with {self.left} bytes left")
        tag = self._stream.read(8)
        (word, num_bytes) = struct.unpack(f"{self.order}II", tag)
        if word >> 16:  # up to four bytes are in the tag itself
            kind, num_bytes = word & 0xFFFF, word >> 16
            if num_bytes > 4:
                raise _damaged(self._path, f"a part of {num_bytes} bytes in 4")
            return kind, num_bytes, tag[4 : 4 + num_bytes]
        if num_bytes > self.left:
            raise _damaged(self._path, f"a part of {num_bytes} bytes in an element of {self.left}")
        return word, num_bytes, None

    def content(self) -> tuple[int, bytes]:
        """Type and content of the next part, which is a small one."""
        kind, num_bytes, content = self.part()
        if content is None:
            if num_bytes > _MOST_HEAD_BYTES:
                raise _damaged(self._path, f"a name or shape of {num_bytes} bytes")
            content = self._stream.read(num_bytes)
            self._stream.skip(min(-num_bytes % 8, self.left))
        return kind, content

    def skip_part(self) -> tuple[int, int]:
        """Type and bytes of the next part, whose content is passed over."""
        kind, num_bytes, content = self.part()
        if content is None:
            self._stream.skip(num_bytes)
            self._stream.skip(min(-num_bytes % 8, self.left))
        return kind, num_bytes

    def read(self) -> None:
        """Read flags, shape and name; an object of MATLAB's own has no more than flags here."""
        _, flags = self.content()
        (self.flags,) = struct.unpack_from(f"{self.order}I", flags.ljust(4, b"\0"))
        kind = _CLASSES.get(self.flags & 0xFF)
        if kind is None:
            raise _damaged(self._path, f"an array of class {self.flags & 0xFF}")
        self.kind = kind
        if kind == "opaque":
            return
        _, shape = self.content()
        self.shape = struct.unpack(f"{self.order}{len(shape) // 4}i", shape[: len(shape) // 4 * 4])
        self.name_at = self._stream.at
        _, name = self.content()
        self.name = name.decode("latin-1")
        if len(self.shape) < 2 or min(self.shape) < 0:
            raise _damaged(self._path, f"{self.name} of shape {self.shape}")


def _walk(
    path: Path, stream: _Content, order: str, length: int, *, levels: int, name: str | None = None
) -> Iterator[Matrix]:
    """A matrix and its whole content; the stream is then at the end of a part.

    Args:
        path: The file.
        stream: Its content begins here.
        order: Byte order.
        length: Bytes of its content.
        levels: How many levels within it are looked at.
        name: Its name, where it is a part of another.
    """
    start, end = stream.at, stream.at + length
    within = None if name is None else (start, length)
    if length == 0:  # an empty field of a structure
        if name is not None:
            yield Matrix(name=name, shape=(0, 0), kind="empty", within=within)
        return
    head = _Head(path, stream, order, length)
    head.read()
    if name is None:
        name = head.name
    numeric = head.kind not in (*_NOT_NUMERIC, "opaque")
    if (numeric or head.kind == "char") and head.left > 0:
        known = _NUMBER_BYTES if numeric else _NUMBER_BYTES | _TEXT_BYTES
        type_, num_bytes, _ = head.part()
        if type_ not in known:
            raise _damaged(path, f"{name} of type {type_}")
        if numeric and num_bytes != math.prod(head.shape) * known[type_]:
            raise _damaged(path, f"{name} of shape {head.shape} in {num_bytes} bytes")
    kind = head.kind
    if kind == "sparse":
        _check_sparse(path, head, name)
    if (numeric or kind == "sparse") and head.flags & _IS_COMPLEX:
        kind = "complex"
    elif numeric and head.flags & _IS_LOGICAL:
        kind = "logical"
    if kind == "opaque":  # an object of MATLAB's; its parts are others
        name = ""
    yield Matrix(name=name, shape=head.shape, kind=kind, within=within)
    if head.kind in ("struct", "cell") and levels > 0 and name:
        for part in _parts_of(path, head, name):
            type_, num_bytes, content = head.part()
            if type_ != _MATRIX or content is not None:
                raise _damaged(path, f"{part} of type {type_}")
            yield from _walk(path, stream, order, num_bytes, levels=levels - 1, name=part)
    if within is not None:  # the next top-level element is found by its place in the file
        stream.skip(end - stream.at)


def _check_sparse(path: Path, head: _Head, name: str) -> None:
    """Check that rows, columns and numbers of a sparse matrix are of known types."""
    for _ in range(3):
        type_, num_bytes = head.skip_part()
        if type_ not in _NUMBER_BYTES or num_bytes % _NUMBER_BYTES[type_]:
            raise _damaged(path, f"{name}, sparse, with a part of type {type_} and {num_bytes} bytes")


def _parts_of(path: Path, head: _Head, name: str) -> Iterator[str]:
    """The names of a structure's or a cell's parts, in their order."""
    number = math.prod(head.shape)
    if number > _MOST_PARTS:
        raise InvalidInputError(
            f"{path}: {name} has {number} parts; expected a file with a scene. Save cube and labels in a file of their "
            "own."
        )
    if head.kind == "cell":
        yield from (f"{name}{{{k}}}" for k in range(1, number + 1))
        return
    _, width = head.content()
    _, names = head.content()
    each = struct.unpack(f"{head.order}I", width)[0] if len(width) == 4 else 0
    if each == 0 or len(names) % each:
        raise _damaged(path, f"{name} with names of {each} bytes")
    fields = [names[at : at + each].partition(b"\0")[0].decode("latin-1") for at in range(0, len(names), each)]
    for k in range(1, number + 1):
        which = name if number == 1 else f"{name}({k})"
        yield from (f"{which}.{field}" for field in fields)


def _damaged(path: Path, what: str) -> InvalidInputError:
    return InvalidInputError(f"{path} could not be read ({what}); is it complete? Copy or download it again.")
