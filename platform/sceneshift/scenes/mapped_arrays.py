"""Arrays of a scene in an Arrow file, mapped into memory: nothing is copied, and pages are shared by all who open it.

The file is an Arrow IPC file of one record batch, a row per pixel: ``spectrum``, a list of C float32, and ``label``,
an int64. The schema's metadata holds the scene's description, its shape, the format's version and a SHA-256 of the
whole file, in which the checksum's own digits, which Arrow keeps at its beginning and at its end, count as zeros.

Such an array is known by the object that holds its memory (:class:`StoredMemory`), whatever views were made of it:
that is how a scene knows that it needs no check, and a pickle that a path is enough. It is safe because

- only :func:`write_arrays` makes such files, and it is given the arrays of a scene, which have been checked;
- the memory is mapped read-only: no view can be made writable in this process;
- a file is never changed: another one of its name is a new file (a rename), and the map keeps the old one.

What it doesn't guard against is a file damaged on disk, or changed in place by another program: for that the checksum
is compared (``verify``).

Shape letters: H rows, W columns, C bands.
"""

import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.safe_files import existing, guarded, replacing

#: The endings of stored scenes.
SUFFIXES = (".arrow",)

#: The version of the format this package writes, and the only one it reads.
VERSION = 2

_SPECTRUM, _LABEL = "spectrum", "label"

_KEYS = ("version", "shape", "description", "description_sha256", "sha256")

_whole: ContextVar[bool] = ContextVar("sent_whole", default=False)


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file as it was when it was opened.

    Args:
        path: Where it lay, absolute.
        device: The file system's number.
        inode: The file's number there.
        sha256: The checksum of its content, as the file states it.
    """

    path: Path
    device: int
    inode: int
    sha256: str

    def is_reachable(self) -> bool:
        """Whether the path still holds the same file."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)


class StoredMemory:
    """The memory of one array of a stored scene; NumPy makes arrays on it without a copy.

    Args:
        file: The file it is mapped from.
        column: ``spectrum`` or ``label``.
        buffer: Arrow's buffer, which keeps the map alive.
        dtype: The array's type.
        shape: The array's shape.
    """

    def __init__(
        self,
        *,
        file: StoredFile,
        column: str,
        buffer: Any,  # noqa: ANN401 - pyarrow has no types
        dtype: "np.dtype[Any]",
        shape: tuple[int, ...],
    ) -> None:
        self.file = file
        self.column = column
        self._buffer = buffer
        self.__array_interface__ = {
            "data": (buffer.address, True),
            "shape": shape,
            "typestr": dtype.str,
            "version": 3,
        }


@dataclass(frozen=True, kw_only=True)
class StoredReference:
    """What is pickled instead of a stored array, or of any view of one: its location.

    Args:
        path: The file.
        sha256: The checksum of its content.
        column: ``spectrum`` or ``label``.
        offset: Bytes from the column's first value to the array's.
        shape: The array's shape.
        strides: Its strides in bytes.
    """

    path: str
    sha256: str
    column: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredArrays:
    """What a file holds.

    Args:
        cube: (H, W, C) float32, read-only.
        labels: (H, W) int64, read-only.
        description: The rest, as JSON.
        file: Where it came from.
    """

    cube: NDArray[np.float32]
    labels: NDArray[np.int64]
    description: str
    file: StoredFile


def is_checked_cube(array: NDArray[Any]) -> bool:
    """Whether an array is part of the mapped cube of a stored scene, and so is known to be finite."""
    memory = _memory_of(array)
    return memory is not None and memory.column == _SPECTRUM and array.dtype == np.float32


def is_stored(array: NDArray[Any]) -> bool:
    """Whether an array is part of a mapped file, and so is read-only."""
    return _memory_of(array) is not None


def reference_to(array: NDArray[Any]) -> StoredReference | None:
    """What to pickle for an array: a reference if it is part of a stored file that exists, else None."""
    memory = _memory_of(array)
    if memory is None or _whole.get() or not memory.file.is_reachable():
        return None
    whole = np.asarray(memory)
    if array.dtype != whole.dtype:
        return None
    return StoredReference(
        path=str(memory.file.path),
        sha256=memory.file.sha256,
        column=memory.column,
        offset=array.ctypes.data - whole.ctypes.data,
        shape=array.shape,
        strides=array.strides,
    )


@contextmanager
def sent_whole() -> Iterator[None]:
    """Within this, stored scenes are pickled with all their content: for a machine that doesn't have the file."""
    token = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(token)


def dereference(state: dict[str, Any]) -> dict[str, Any]:
    """Open what references in an object's state point to; each file once.

    Raises:
        MissingDataError: The file isn't there.
        InvalidInputError: Another one is.
    """
    opened: dict[str, StoredArrays] = {}
    found = dict(state)
    for name, value in state.items():
        if isinstance(value, StoredReference):
            if value.path not in opened:
                opened[value.path] = _open_referenced(value)
            whole: NDArray[Any] = getattr(opened[value.path], "cube" if value.column == _SPECTRUM else "labels")
            found[name] = np.ndarray(value.shape, whole.dtype, buffer=whole, offset=value.offset, strides=value.strides)
    return found


def _open_referenced(reference: StoredReference) -> StoredArrays:
    if not Path(reference.path).exists():
        raise MissingDataError(
            f"a stored scene was sent as its path, and there is no file {reference.path} on this machine; keep stored "
            "scenes in a folder all machines share, or send them within `sceneshift.files.arrow_scenes.sent_whole()`."
        )
    arrays = map_arrays(reference.path)
    if arrays.file.sha256 != reference.sha256:
        raise InvalidInputError(
            f"{reference.path} holds another scene (checksum {arrays.file.sha256[:16]}) than was sent "
            f"({reference.sha256[:16]}): it was rewritten in the meantime. Start again."
        )
    return arrays


def map_arrays(path: str | Path, *, verify: bool = False) -> StoredArrays:
    """Map a file's arrays.

    Args:
        path: The file.
        verify: Compare the checksum of the file, over every byte, with the one stored in it.

    Raises:
        MissingDataError: There is no such file.
        InvalidInputError: It can't be read, is no stored scene, or (with ``verify``) its content was damaged.
    """
    location = existing(path, SUFFIXES)
    arrays = guarded(location, _map)
    if verify:
        guarded(location, lambda path: _verify(path, arrays.file))
    return arrays


def write_arrays(path: Path, cube: NDArray[np.float32], labels: NDArray[np.int64], description: str) -> None:
    """Write a checked scene's arrays; the file gets its name once it is complete on disk.

    Args:
        path: The file; an existing one is replaced, and those who have it open keep the old one.
        cube: (H, W, C), finite.
        labels: (H, W).
        description: The rest, as JSON.
    """
    import pyarrow as pa

    cube, labels = np.ascontiguousarray(cube), np.ascontiguousarray(labels)
    num_pixels, num_bands = labels.size, cube.shape[2]
    values = pa.Array.from_buffers(pa.float32(), cube.size, [None, pa.py_buffer(cube)])
    spectra = pa.FixedSizeListArray.from_arrays(values, num_bands)
    label = pa.Array.from_buffers(pa.int64(), num_pixels, [None, pa.py_buffer(labels)])
    placeholder = os.urandom(32).hex()  # found again, as nothing else in the file is like it
    entries = {
        "version": str(VERSION),
        "shape": " ".join(map(str, cube.shape)),
        "description": description,
        "description_sha256": hashlib.sha256(description.encode()).hexdigest(),
        "sha256": placeholder,
    }
    schema = pa.schema(
        [pa.field(_SPECTRUM, spectra.type), pa.field(_LABEL, label.type)],
        metadata={f"sceneshift.{key}": value for key, value in entries.items()},
    )
    with replacing(path) as temporary:
        with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(pa.record_batch([spectra, label], schema=schema))
        _write_checksum(temporary, placeholder)


def _map(location: Path) -> StoredArrays:
    import pyarrow as pa

    status = os.stat(location)
    source = pa.memory_map(str(location))
    if (now := os.stat(location)).st_ino != status.st_ino or now.st_dev != status.st_dev:
        raise InvalidInputError(f"{location} was replaced while it was opened; open it again.")
    reader = pa.ipc.open_file(source)
    metadata = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
    entries = {key: metadata.get(f"sceneshift.{key}") for key in _KEYS}
    version, shape_text, description, description_sha256, sha256 = entries.values()
    if version is None:
        raise InvalidInputError(f"{location} is an Arrow file, but no scene this package wrote; use write_scene.")
    if version != str(VERSION):
        raise InvalidInputError(
            f"{location} is of format version {version}; this package reads version {VERSION}. Write the scene again, "
            "or install the package that wrote it."
        )
    if shape_text is None or description is None or sha256 is None or description_sha256 is None:
        raise InvalidInputError(
            f"{location}: {', '.join(key for key in entries if entries[key] is None)} missing; damaged?"
        )
    if hashlib.sha256(description.encode()).hexdigest() != description_sha256:
        raise InvalidInputError(f"{location}: its description was damaged. Write or copy it again.")
    height, width, bands = (int(number) for number in shape_text.split())
    wanted = [(_SPECTRUM, pa.list_(pa.float32(), bands)), (_LABEL, pa.int64())]
    if [(field.name, field.type) for field in reader.schema] != wanted or reader.num_record_batches != 1:
        raise InvalidInputError(f"{location}: columns {reader.schema.names}; expected {[name for name, _ in wanted]}.")
    batch = reader.get_batch(0)
    if batch.num_rows != height * width or not min(height, width, bands) > 0:
        raise InvalidInputError(f"{location}: {batch.num_rows} pixels of {height} x {width}; damaged? Write it again.")
    file = StoredFile(path=location.resolve(), device=status.st_dev, inode=status.st_ino, sha256=sha256)
    cube = _array(batch.column(0).values, file, _SPECTRUM, np.dtype(np.float32), (height, width, bands))
    labels = _array(batch.column(1), file, _LABEL, np.dtype(np.int64), (height, width))
    return StoredArrays(cube=cube, labels=labels, description=description, file=file)


def _array(
    values: Any,  # noqa: ANN401 - pyarrow has no types
    file: StoredFile,
    column: str,
    dtype: "np.dtype[Any]",
    shape: tuple[int, ...],
) -> NDArray[Any]:
    buffer = values.buffers()[1]
    needed = dtype.itemsize * int(np.prod(shape))
    if values.offset or values.null_count or buffer is None or buffer.size < needed:
        raise InvalidInputError(f"{file.path}: {column} does not hold {needed} bytes; damaged? Write it again.")
    return np.asarray(StoredMemory(file=file, column=column, buffer=buffer, dtype=dtype, shape=shape))


def _verify(location: Path, opened: StoredFile) -> None:
    with location.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        status = os.fstat(file.fileno())
        if (status.st_dev, status.st_ino) != (opened.device, opened.inode):
            raise InvalidInputError(f"{location} was replaced while it was opened; open it again.")
        found = _checksum(content, _places(content, opened.sha256))
    if found != opened.sha256:
        raise InvalidInputError(
            f"{location} has the checksum {found[:16]}, but states {opened.sha256[:16]}; it was damaged. "
            "Write or copy it again."
        )


def _write_checksum(location: Path, placeholder: str) -> None:
    with location.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        places = _places(content, placeholder)
        digits = _checksum(content, places).encode()
        for place in places:
            content[place : place + len(digits)] = digits


def _places(content: mmap.mmap, digits: str) -> list[int]:
    """Offsets of the checksum: in the schema at the beginning, before all numbers, and in the footer after them."""
    return sorted({content.find(digits.encode()), content.rfind(digits.encode())} - {-1})


def _checksum(content: mmap.mmap, places: list[int]) -> str:
    digest, start = hashlib.sha256(), 0
    with memoryview(content) as view:
        for place in places:
            digest.update(view[start:place])
            digest.update(b"0" * 64)
            start = place + 64
        digest.update(view[start:])
    return digest.hexdigest()


def _memory_of(array: NDArray[Any]) -> StoredMemory | None:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, StoredMemory) else None
