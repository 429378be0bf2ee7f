"""How files are opened and replaced safely, whatever library is underneath."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sceneshift.errors import InvalidInputError, MissingDataError, SceneshiftError, first_line

T = TypeVar("T")


def existing(path: str | Path, suffixes: tuple[str, ...]) -> Path:
    """The path of a file that is there, may be read, and has one of the endings.

    Raises:
        MissingDataError: There is no such file.
        InvalidInputError: It is a folder, may not be read, or ends otherwise.
    """
    location = Path(path).expanduser()
    if location.is_dir():
        raise InvalidInputError(f"{location} is a folder; expected a file ({', '.join(suffixes)}).")
    if not location.exists():
        raise MissingDataError(f"there is no file {location}; check the path, or put the file there.")
    if location.suffix.lower() not in suffixes:
        raise InvalidInputError(
            f"{location}: expected a file that ends in {', '.join(suffixes)}; got {location.suffix or 'no ending'!r}."
        )
    if not os.access(location, os.R_OK):
        raise InvalidInputError(f"{location}: no permission to read it; try `chmod u+r {location}`.")
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
            f"{location} could not be read {what}; is it whole, and what its ending {location.suffix} says? Copy or "
            "download it again."
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Hand out a temporary name beside a file; when all went well, what lies there takes the file's name.

    The content is on disk before the name changes: at the path lies the old file or the new one, never a part.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{os.urandom(4).hex()}{path.suffix}")
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Bring a written file to disk, give it its name, and bring the name to disk."""
    _sync(temporary)
    os.replace(temporary, path)
    _sync(path.parent)


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
