"""What every file format can do."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import MissingPackageError
from sceneshift.files.formats.description import Description

#: The variable that holds a scene's description as JSON, in formats that hold several arrays.
DESCRIPTION = "sceneshift"

#: The arrays of a scene in such formats.
CUBE, LABELS, WAVELENGTHS = "cube", "labels", "wavelengths_nm"


@dataclass(frozen=True, kw_only=True)
class Variable:
    """Shape of an array in a file, and whether it holds real numbers.

    Args:
        shape: Its shape.
        numeric: Whether it can be read as numbers.
        kind: What it is instead, in a word or two, where that is known.
    """

    shape: tuple[int, ...]
    numeric: bool
    kind: str = "no numbers"


class FileFormat(ABC):
    """A file format. Its methods raise what their libraries do; ``guarded`` makes errors of this package of that.

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

    def load_mask(self, path: Path) -> NDArray[np.bool_] | None:
        """(H, W) or (H, W, C), False where the file's own mask says that nothing was measured; None without a mask."""
        return None

    def describe(self, path: Path) -> Description:
        """What a file holds besides the arrays."""
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
    others = {key: value for key, value in vars(description).items() if key != WAVELENGTHS}
    return values, Description(**others).to_json()


def described_by(text: str | None, wavelengths: NDArray[Any] | None) -> Description:
    """The other way round: the description from JSON and wavelengths, where the file has them."""
    values = vars(Description() if text is None else Description.from_json(text))
    if wavelengths is not None:
        values = values | {WAVELENGTHS: tuple(np.asarray(wavelengths, dtype=np.float64).ravel().tolist())}
    return Description(**values)


def geo_package(name: str) -> ModuleType:
    """Import ``rasterio`` or one of its modules, which the extra ``geo`` brings.

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
