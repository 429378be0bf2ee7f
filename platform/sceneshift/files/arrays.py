"""Arrays and label maps from files: MATLAB (v5 and v7.3), NumPy, ENVI, GeoTIFF, and PNG for label maps.

A file that can't be read, or holds something else than it should, is an error of this package that says which file
and what lies in it, whatever the library underneath raised. An array is taken by its name, else by its shape; what
was chosen by shape is reported if there were alternatives.

Shape letters: H rows, W columns.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.files.formats.description import Description
from sceneshift.files.formats.envi import Envi
from sceneshift.files.formats.file_format import FileFormat, Variable
from sceneshift.files.formats.geotiff import GeoTiff
from sceneshift.files.formats.matlab import Matlab
from sceneshift.files.formats.numpy_files import Npy, Npz
from sceneshift.files.formats.picture import load_picture
from sceneshift.safe_files import existing, guarded

_log = logging.getLogger(__name__)

_GEOTIFF = GeoTiff()

#: Who reads a file, by its ending.
_READERS: dict[str, FileFormat] = {
    suffix: reader for reader in (Matlab(hdf5=False), Npy(), Npz(), Envi(), _GEOTIFF) for suffix in reader.suffixes
}

_ARRAY_SUFFIXES = tuple(_READERS)
_LABEL_SUFFIXES = (*_ARRAY_SUFFIXES, ".png")


def array_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every numeric array in a file.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: It can't be read, or is of another kind.
    """
    location = existing(path, _ARRAY_SUFFIXES)
    variables = guarded(location, _reader(location).variables)
    return {name: variable.shape for name, variable in variables.items() if variable.numeric}


def read_array(path: str | Path, variable: str | None = None, *, ndim: int | None = None) -> NDArray[Any]:
    """Read one numeric array.

    Args:
        path: A ``.mat`` (v5 or v7.3), ``.npy``, ``.npz``, ``.hdr`` (ENVI) or ``.tif`` file. The axes of a v7.3 file,
            which HDF5 keeps reversed, come back in MATLAB's order; images as (H, W, bands), or (H, W) with one band.
        variable: Its name in the file. Where the file has none of that name, or none was given, the only array of
            fitting dimension is taken. Files with a single array have no names.
        ndim: The dimension that fits; None takes any array of two dimensions or more.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: The file can't be read, or no or several arrays fit; the message lists them.
    """
    location = existing(path, _ARRAY_SUFFIXES)
    reader = _reader(location)
    variables = guarded(location, reader.variables)
    name = _choose(location, variables, variable if reader.holds_several else None, ndim)
    array = np.asarray(guarded(location, lambda path: reader.load(path, name)))
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(f"{location}: {name} holds {array.dtype}; expected real numbers.")
    return array


def read_label_map(path: str | Path, variable: str | None = None) -> NDArray[np.int64]:
    """Read a map of class numbers, 0 = unlabelled.

    Args:
        path: What :func:`read_array` reads, or a ``.png`` with one channel. A ``.tif`` that Pillow knows needs no
            extra package.
        variable: As for :func:`read_array`; a picture has none.

    Returns:
        (H, W) whole numbers >= 0.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI, and the extra ``geo`` is not installed.
        InvalidInputError: The file can't be read, or its values are no class numbers.
    """
    location = existing(path, _LABEL_SUFFIXES)
    if location.suffix.lower() == ".png":
        values = guarded(location, load_picture)
    elif location.suffix.lower() in _GEOTIFF.suffixes:
        values = guarded(location, _GEOTIFF.load_labels)
    else:
        values = read_array(location, variable, ndim=2)
    if values.ndim != 2 or values.size == 0:
        raise InvalidInputError(
            f"{location}: expected a label map (rows, columns), got an array of shape {values.shape}."
        )
    whole = values.astype(np.int64, copy=True) if values.dtype.kind in "biu" else _whole_numbers(location, values)
    if (low := int(whole.min())) < 0:
        raise InvalidInputError(
            f"{location}: a label map with values down to {low}; expected 0 (unlabelled) and class numbers above 0."
        )
    return whole


def read_mask(path: str | Path) -> NDArray[np.bool_] | None:
    """Read what a file's own mask says: an alpha band, an internal mask, or a ``.msk`` file.

    Returns:
        (H, W) or (H, W, bands), False where nothing was measured; None where the file has no mask.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: The file can't be read.
    """
    location = existing(path, _ARRAY_SUFFIXES)
    return guarded(location, _reader(location).load_mask)


def read_description(path: str | Path) -> Description:
    """Read the metadata of a file: names, wavelengths, location; whatever the format holds.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: The file can't be read.
    """
    location = existing(path, _ARRAY_SUFFIXES)
    return guarded(location, _reader(location).describe)


def _reader(location: Path) -> FileFormat:
    return _READERS[location.suffix.lower()]


def _whole_numbers(location: Path, values: NDArray[Any]) -> NDArray[np.int64]:
    # Above 2**53 a float can't distinguish integers any more, and no class has such a number.
    wrong = ~np.isfinite(values) | (np.abs(values) > 2**53) | (values != np.floor(values))
    if wrong.any():
        raise InvalidInputError(
            f"{location}: {int(wrong.sum())} values of the label map are not whole numbers (the first: "
            f"{values[wrong].flat[0]}); expected class numbers. Is it the right variable, and the right file?"
        )
    whole: NDArray[np.int64] = values.astype(np.int64)
    return whole


def _choose(location: Path, variables: Mapping[str, Variable], wanted: str | None, ndim: int | None) -> str:
    def fits(variable: Variable) -> bool:
        if not variable.numeric or 0 in variable.shape:
            return False
        # A MATLAB scalar or vector has two dimensions as well, and is neither a cube nor a map.
        return min(variable.shape, default=0) > 1 and (
            len(variable.shape) >= 2 if ndim is None else len(variable.shape) == ndim
        )

    expected = "an array" if ndim is None else f"a {ndim}-D array"
    if wanted is not None and wanted in variables:
        variable = variables[wanted]
        if not variable.numeric or (ndim is not None and len(variable.shape) != ndim):
            raise InvalidInputError(f"{location}: {wanted} is not {expected} of numbers. {_told(variables)}")
        return wanted
    fitting = [name for name, variable in variables.items() if fits(variable)]
    if len(fitting) != 1:
        missing = "" if wanted is None else f"no variable {wanted!r}, and "
        count, advice = (f"{len(fitting)} arrays fit", "; name one") if fitting else ("no array fits", "")
        raise InvalidInputError(f"{location}: {missing}{count} (expected {expected}){advice}. {_told(variables)}")
    chosen = fitting[0]
    if wanted is not None or len(variables) > 1:
        others = {name: variable for name, variable in variables.items() if name != chosen}
        _log.warning(
            "%s: took %s %s, %s; the other variables: %s",
            location,
            chosen,
            " x ".join(map(str, variables[chosen].shape)),
            f"the only {expected.split(' ', 1)[1]}" + ("" if wanted is None else f", because there is no {wanted}"),
            _listed(others),
        )
    return chosen


def _told(variables: Mapping[str, Variable]) -> str:
    return f"The file holds: {_listed(variables)}."


def _listed(variables: Mapping[str, Variable]) -> str:
    shapes = [
        f"{name} {' x '.join(map(str, variable.shape)) or 'scalar'}{'' if variable.numeric else ' (no numbers)'}"
        for name, variable in variables.items()
    ]
    return ", ".join(shapes) or "nothing"
