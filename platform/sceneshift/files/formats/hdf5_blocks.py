"""Sizes of blocks that an HDF5 file states, compared with the file's own size before HDF5 reads it.

HDF5 allocates the size that is stated for the blocks of an object header and for the names of a group, before it finds
that the file ends earlier: a damaged file of a few kilobytes asks for any amount of memory. The groups of a file are
walked through here, and such a file is rejected.

Walked through are groups as MATLAB and, by default, h5py write them: superblocks 0 and 1, object headers of version 1,
and symbol tables (The HDF Group, "HDF5 File Format Specification", sections "Disk Format: Level 0A", "Level 1A1",
"Level 1B", "Level 1D" and "Level 2A1"; the layout is written from memory, and tested on files that HDF5 writes). Newer
structures are left to HDF5: what is not understood here is not rejected.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sceneshift.errors import InvalidInputError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"

#: Types of messages in an object header.
_CONTINUATION, _SYMBOL_TABLE = 0x10, 0x11

#: Bytes of a symbol table's entry after its two offsets.
_ENTRY_REST = 24

#: Bytes that an address or a size may have.
_WIDTHS = (2, 4, 8)

#: No block of an object header or a tree is longer; what is behind is not looked at.
_MOST_BYTES = 2**24


def refuse_large_blocks(path: Path) -> None:
    """Reject a file whose object headers or groups state blocks that reach beyond its end.

    Args:
        path: An HDF5 file.

    Raises:
        InvalidInputError: There is such a block.
    """
    with path.open("rb") as file:
        blocks = _Blocks(path, file)
        root = blocks.root()
        waiting, seen = [] if root is None else [root], set[int]()
        while waiting:
            address = waiting.pop()
            if address not in seen:
                seen.add(address)
                waiting += blocks.members(address, seen)


class _Blocks:
    """The blocks of an open file; addresses count from the superblock on."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file, self._size = path, file, path.stat().st_size
        self._base, self._offset, self._length = 0, 8, 8  # bytes of an address and of a size

    def root(self) -> int | None:
        """Address of the root group's object header; None where the superblock is a newer one."""
        start = 0
        while start < self._size and self._at(start, len(_SIGNATURE)) != _SIGNATURE:
            start = max(512, 2 * start)
        head = self._at(start, 24)
        if len(head) < 24 or head[8] > 1 or head[13] not in _WIDTHS or head[14] not in _WIDTHS:
            return None
        self._base, self._offset, self._length = start, head[13], head[14]
        # Addresses of: base, free space, end, driver; then the root group's entry: name and object header.
        addresses = self._read(24 + 4 * head[8], 6 * self._offset)
        return self._integer(addresses, 5 * self._offset, self._offset)

    def members(self, address: int, seen: set[int]) -> Iterator[int]:
        """Addresses of the object headers that a group holds.

        Args:
            address: That of an object header.
            seen: Addresses of other blocks that were read; others are added.

        Raises:
            InvalidInputError: A block of it reaches beyond the file's end.
        """
        for kind, content in self._messages(address, seen):
            if kind == _SYMBOL_TABLE and len(content) >= 2 * self._offset:
                self._check_heap(self._integer(content, self._offset, self._offset))
                yield from self._in_tree(self._integer(content, 0, self._offset), seen)

    def _messages(self, address: int, seen: set[int]) -> Iterator[tuple[int, bytes]]:
        head = self._read(address, 16)
        if len(head) < 16 or head[0] != 1:
            return
        parts = [(address + 16, int.from_bytes(head[8:12], "little"))]
        while parts:
            start, num_bytes = parts.pop()
            block, at = self._read(start, num_bytes), 0
            while at + 8 <= len(block):
                kind, size = struct.unpack_from("<HH", block, at)
                content = block[at + 8 : at + 8 + size]
                at += 8 + size
                if kind == _CONTINUATION and len(content) >= self._offset + self._length:
                    further = self._integer(content, 0, self._offset)
                    length = self._integer(content, self._offset, self._length)
                    self._check(further, length, "an object header")
                    if further not in seen:
                        seen.add(further)
                        parts.append((further, length))
                else:
                    yield kind, content

    def _check_heap(self, address: int) -> None:
        head = self._read(address, 8 + 2 * self._length + self._offset)
        if len(head) == 8 + 2 * self._length + self._offset and head.startswith(b"HEAP"):
            size, at = self._integer(head, 8, self._length), self._integer(head, 8 + 2 * self._length, self._offset)
            self._check(at, size, "the names of a group")

    def _in_tree(self, address: int, seen: set[int]) -> Iterator[int]:
        """Addresses of the object headers below a node of a group's B-tree."""
        if address in seen:
            return
        seen.add(address)
        head = self._read(address, 8)
        if len(head) < 8:
            return
        (number,) = struct.unpack_from("<H", head, 6)
        if head.startswith(b"SNOD"):
            width = 2 * self._offset + _ENTRY_REST
            entries = self._read(address + 8, number * width)
            for at in range(0, len(entries) - width + 1, width):
                yield self._integer(entries, at + self._offset, self._offset)
        elif head.startswith(b"TREE") and head[4] == 0:
            width = self._length + self._offset
            nodes = self._read(address + 8 + 2 * self._offset, number * width)
            for at in range(0, len(nodes) - width + 1, width):
                yield from self._in_tree(self._integer(nodes, at + self._length, self._offset), seen)

    def _check(self, address: int, num_bytes: int, what: str) -> None:
        if self._base + address + num_bytes > self._size:
            raise InvalidInputError(
                f"{self._path} could not be read ({what} states {num_bytes} bytes at {address}, and the file has "
                f"{self._size}); is it complete? Copy or download it again."
            )

    def _read(self, address: int, num_bytes: int) -> bytes:
        """So many bytes at an address, or as many as the file has there."""
        return self._at(self._base + address, num_bytes)

    def _at(self, place: int, num_bytes: int) -> bytes:
        if place >= self._size:
            return b""
        self._file.seek(place)
        return self._file.read(min(num_bytes, self._size - place, _MOST_BYTES))

    def _integer(self, content: bytes, at: int, num_bytes: int) -> int:
        """An integer, or a number beyond any file where there are fewer bytes."""
        part = content[at : at + num_bytes]
        return int.from_bytes(part, "little") if len(part) == num_bytes else 2**64
