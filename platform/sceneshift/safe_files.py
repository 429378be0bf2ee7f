"""Opening and replacing files safely, whatever library reads or writes them."""

import hashlib
import os
import shlex
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sceneshift.errors import InvalidInputError, MissingDataError, SceneshiftError, first_line

T = TypeVar("T")

#: No compression shrinks a cube or a label map by this factor; deflate can't shrink anything by a factor of 1033.
_MOST_EXPANSION = 4096

#: This size is always allowed: a label map without labels takes almost no space in a file.
_ALWAYS_BYTES = 16 * 2**20


def expanded(path: str | Path) -> Path:
    """A path with its ``~`` expanded if there is such a user; pathlib's own method raises if there is none."""
    return Path(os.path.expanduser(path))


def existing(path: str | Path, suffixes: tuple[str, ...]) -> Path:
    """Check that a file exists, is readable, and has one of the suffixes; returns its path.

    Raises:
        MissingDataError: There is no such file.
        InvalidInputError: It is a folder or a device, is empty, is not readable, or has another suffix.
    """
    location = expanded(path)
    try:
        status = os.stat(location)
    except PermissionError as error:
        raise InvalidInputError(f"{location}: no permission to look into its folder; ask its owner.") from error
    except (OSError, ValueError) as error:  # no such name, or an invalid name
        raise MissingDataError(f"there is no file {location}; check the path, or put the file there.") from error
    if stat.S_ISDIR(status.st_mode):
        raise InvalidInputError(f"{location} is a folder; expected a file ({', '.join(suffixes)}).")
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInputError(f"{location} is a device or a pipe; expected a file ({', '.join(suffixes)}).")
    if location.suffix.lower() not in suffixes:
        raise InvalidInputError(
            f"{location}: expected a file that ends in {', '.join(suffixes)}; got {location.suffix or 'no ending'!r}."
        )
    if not os.access(location, os.R_OK):
        raise InvalidInputError(f"{location}: no permission to read it; try `chmod u+r {shlex.quote(str(location))}`.")
    if status.st_size == 0:
        raise InvalidInputError(f"{location} could not be read (it is empty). Copy or download it again.")
    return location


def writable(path: str | Path, suffixes: tuple[str, ...]) -> Path:
    """Check that a file can be written, its folder exists, and it has one of the suffixes; returns its path.

    Raises:
        MissingDataError: There is no such folder.
        InvalidInputError: It has another suffix, or is a folder.
    """
    location = expanded(path)
    if location.suffix.lower() not in suffixes:
        raise InvalidInputError(f"{location}: expected a name that ends in {' or '.join(suffixes)}.")
    if os.path.isdir(location):
        raise InvalidInputError(f"{location} is a folder; expected the name of a file to write.")
    if not os.path.isdir(location.parent):
        raise MissingDataError(f"there is no folder {location.parent} to write {location.name} in; make it first.")
    return location


def guarded(location: Path, function: Callable[[Path], T], *, writes: bool = False) -> T:
    """Call a library on a file; whatever it raises becomes one error that names the file.

    Raises:
        InvalidInputError: The library could not read or write it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(location)
    except SceneshiftError:
        raise
    except Exception as error:  # a broken file makes these libraries raise almost anything
        what = f"({type(error).__name__}: {first_line(error)})"
        if writes:
            raise InvalidInputError(
                f"{location} could not be written {what}; is there room, and may the folder be written to?"
            ) from error
        raise InvalidInputError(
            f"{location} could not be read {what}; is it complete, and is {location.suffix} its format? Copy or "
            "download it again."
        ) from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits.

    Raises:
        InvalidInputError: It can't be read.
    """

    def digest(location: Path) -> str:
        with location.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return guarded(path, digest)


def refuse_oversized(location: Path, what: str, *, needed: int, held: int) -> None:
    """Reject an array that claims to be far larger than the bytes that hold it, before memory is allocated.

    Args:
        location: The file.
        what: The array, for the message.
        needed: Bytes it would take in memory.
        held: Bytes it has in the file, compressed or not.

    Raises:
        InvalidInputError: No compression could achieve this.
    """
    if needed > _ALWAYS_BYTES + _MOST_EXPANSION * held:
        raise InvalidInputError(
            f"{location} could not be read ({what} would take {needed} bytes in memory, and has {held} in the file, "
            "which no compression explains); is it complete? Copy or download it again."
        )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name next to a file; without an error, the file written there replaces it.

    The content is on disk before the name changes: the path always holds the old file or the new one, never a part.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{os.urandom(4).hex()}{path.suffix}")
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Sync a written file to disk, rename it, and sync the new name to disk."""
    _sync(temporary)
    os.replace(temporary, path)
    _sync(path.parent)


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
