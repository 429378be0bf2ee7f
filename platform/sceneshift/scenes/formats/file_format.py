"""What every file format can do, and how a file is opened and replaced safely, whatever library is underneath."""

import importlib
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, MissingDataError, MissingPackageError, SceneshiftError, first_line
from sceneshift.scenes.formats.description import Description

T = TypeVar("T")

#: The variable that holds a scene's description as JSON, in formats that hold several arrays.
DESCRIPTION = "sceneshift"

#: The arrays of a scene in such formats.
CUBE, LABELS, WAVELENGTHS = "cube", "labels", "wavelengths_nm"


@dataclass(frozen=True, kw_only=True)
class Variable:
    """Shape of an array in a file, and whether it holds real numbers."""

    shape: tuple[int, ...]
    numeric: bool


class FileFormat(ABC):
    """A file format. What its methods raise is made an error of this package by :func:`guarded`.

    Attributes:
        suffixes: The endings its files have.
        holds_several: Whether a file holds several arrays, each with a name.
    """

    suffixes: ClassVar[tuple[str, ...]]
    holds_several: ClassVar[bool]

    @abstractmethod
    def variables(self, path: Path) -> dict[str, Variable]:
        """What arrays the file holds; reads no array."""

    @abstractmethod
    def load(self, path: Path, name: str) -> NDArray[Any]:
        """Load an array; never unpickles."""

    def describe(self, path: Path) -> Description:
        """What stands beside the arrays."""
        return Description()

    @abstractmethod
    def write(self, path: Path, arrays: Mapping[str, NDArray[Any]], description: Description) -> None:
        """Write arrays and description, at once or not at all."""


def described_arrays(
    arrays: Mapping[str, NDArray[Any]], description: Description
) -> tuple[dict[str, NDArray[Any]], str]:
    """For formats that hold several arrays: all arrays, wavelengths among them, and the rest as JSON."""
    values = dict(arrays)
    if description.wavelengths_nm is not None:
        values[WAVELENGTHS] = np.array(description.wavelengths_nm)
    told = {key: value for key, value in vars(description).items() if key != WAVELENGTHS}
    return values, Description(**told).to_json()


def described_by(text: str | None, wavelengths: NDArray[Any] | None) -> Description:
    """The other way round: the description from JSON and wavelengths, where the file has them."""
    told = vars(Description() if text is None else Description.from_json(text))
    if wavelengths is not None:
        told = told | {WAVELENGTHS: tuple(np.asarray(wavelengths, dtype=np.float64).ravel().tolist())}
    return Description(**told)


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


def geo_package(name: str) -> ModuleType:
    """Import ``rasterio`` or a module of ``spectral``, which the extra ``geo`` brings.

    Raises:
        MissingPackageError: Saying what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingPackageError(
            f"this needs the package {package}, which is not installed; run `pip install -c constraints.txt "
            "-e '.[geo]'`."
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
