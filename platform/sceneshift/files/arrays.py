"""Arrays and label maps from files: MATLAB (v4, v5 and v7.3), NumPy, ENVI, GeoTIFF, and PNG for label maps.

A file that can't be read, or holds something else than it should, is an error of this package that says which file
and what is in it, whatever the library underneath raised. An array is taken by its name, else by its shape; what
was chosen by shape is reported if there were alternatives.

Shape letters: H rows, W columns.
"""

import functools
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.files.formats.description import Description
from sceneshift.files.formats.envi import Envi, headers_next_to, refuse_numbers
from sceneshift.files.formats.file_format import FileFormat, Variable
from sceneshift.files.formats.geotiff import GeoTiff
from sceneshift.files.formats.matlab import Matlab
from sceneshift.files.formats.numpy_files import Npy, Npz
from sceneshift.files.formats.picture import load_picture
from sceneshift.files.inside import split_inside
from sceneshift.files.missing import valid_pixels
from sceneshift.safe_files import existing, expanded, guarded
from sceneshift.scenes.class_numbers import to_class_ids

_log = logging.getLogger(__name__)

#: Who reads a file, by its ending.
_READERS: dict[str, FileFormat] = {
    suffix: reader for reader in (Matlab(hdf5=False), Npy(), Npz(), Envi(), GeoTiff()) for suffix in reader.suffixes
}

_ARRAY_SUFFIXES = tuple(_READERS)
_NOTHING = Variable(shape=(), numeric=False)

_PICTURE = ".png"
_LABEL_SUFFIXES = (*_ARRAY_SUFFIXES, _PICTURE)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelMap:
    """A label map as its file has it, read once: what there is to report is reported once.

    Args:
        numbers: (H, W) whole numbers >= 0; 0 = unlabelled.
        class_names: The names of 1..K; None where none are known.
        described: The file's metadata; of a picture, nothing.
    """

    numbers: NDArray[np.int64]
    class_names: tuple[str, ...] | None
    described: Description


def array_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every numeric array in a file.

    Args:
        path: What :func:`read_array` reads; of ``FILE:NAME`` the one array, or those in the structure of that name.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: It can't be read, or is of another kind.
    """
    return {name: variable.shape for name, variable in list_variables(path).items() if variable.numeric}


def list_variables(path: str | Path) -> dict[str, Variable]:
    """Everything that a file holds under a name, arrays of real numbers and other things.

    Args:
        path: As for :func:`array_shapes`.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: It can't be read, or is of another kind.
    """
    location, inside = _located(path, _ARRAY_SUFFIXES)
    variables = guarded(location, _reader(location).variables)
    if inside is None:
        return variables
    within = {name: variable for name, variable in variables.items() if _is_within(name, inside)}
    if not within:
        raise InvalidInputError(
            f"{location}: got the name {inside!r}; expected one that it holds. {_contents(variables)}"
        )
    return within


def read_array(path: str | Path, variable: str | None = None, *, ndim: int | None = None) -> NDArray[Any]:
    """Read one numeric array.

    Args:
        path: A ``.mat`` (v4, v5 or v7.3), ``.npy``, ``.npz``, ``.hdr`` (ENVI) or ``.tif`` file. The axes of a v7.3
            file, which HDF5 keeps reversed, come back in MATLAB's order; images as (H, W, bands), or (H, W) with one
            band. ``FILE:NAME``, such as ``flight.mat:scene.cube``, is that array, or one in the structure of that name.
        variable: Its name in the file. Where the file has none of that name, or none was given, the only array of
            fitting dimension is taken. Files with a single array have no names.
        ndim: The dimension that fits; None takes any array of two dimensions or more.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: The file can't be read, or no or several arrays fit; the message lists them.
    """
    variables = list_variables(path)
    location, inside = _located(path, _ARRAY_SUFFIXES)
    reader = _reader(location)
    if inside is not None:
        if variable is not None and not _is_within(variable, inside):
            raise InvalidInputError(
                f"{path}: got the variable {variable!r} as well; expected one name. Leave out one of the two."
            )
        if variable is None and variables.get(inside, _NOTHING).numeric:
            variable = inside
    name = _choose(location, variables, variable if reader.holds_several else None, ndim)
    array = np.asarray(guarded(location, lambda path: reader.load(path, name)))
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(f"{location}: {name} holds {array.dtype}; expected real numbers.")
    return array


def read_label_map(
    path: str | Path,
    variable: str | None = None,
    *,
    label_values: tuple[int, ...] | None = None,
    unlabelled_values: tuple[int, ...] = (),
) -> NDArray[np.int64]:
    """Read a map of class numbers, 0 = unlabelled.

    What the file calls missing (its value for missing data, NaN, its own mask) is unlabelled, which is reported.

    Args:
        path: What :func:`read_array` reads, or a ``.png`` with one channel.
        variable: As for :func:`read_array`; a picture has none.
        label_values: (K,) the numbers of the classes in the file, 0 or above: they become 1..K. With 0 among them, 0 is
            a class. None takes the numbers as they are.
        unlabelled_values: Numbers in the file that mean unlabelled, in addition to 0 if that is not a class.

    Returns:
        (H, W) whole numbers >= 0.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: The file can't be read, or its values are not class numbers.
    """
    return read_classes(path, variable, label_values=label_values, unlabelled_values=unlabelled_values).numbers


def holds_label_map(path: str | Path) -> bool:
    """Whether a file holds something of a label map's shape, be it of numbers or not.

    Args:
        path: As for :func:`array_shapes`.

    Raises:
        MissingDataError: As for :func:`array_shapes`.
        MissingPackageError: As for :func:`array_shapes`.
        InvalidInputError: As for :func:`array_shapes`.
    """
    return any(_fits(variable, 2) for variable in list_variables(path).values())


def read_classes(
    path: str | Path,
    variable: str | None = None,
    *,
    class_names: tuple[str, ...] | None = None,
    label_values: tuple[int, ...] | None = None,
    unlabelled_values: tuple[int, ...] = (),
) -> LabelMap:
    """Read a map of class numbers as :func:`read_label_map` does, with the names of its classes and its metadata.

    Args:
        path: As for :func:`read_label_map`.
        variable: As for :func:`read_label_map`.
        class_names: The K names; by default those in the file.
        label_values: As for :func:`read_label_map`.
        unlabelled_values: As for :func:`read_label_map`.

    Raises:
        MissingDataError: As for :func:`read_label_map`.
        MissingPackageError: As for :func:`read_label_map`.
        InvalidInputError: As for :func:`read_label_map`; or names and numbers don't fit each other.
    """
    location, _ = _located(path, _LABEL_SUFFIXES)
    described, mask = Description(), None
    if location.suffix.lower() == _PICTURE:
        values = guarded(location, load_picture)
    else:
        values = read_array(path, variable, ndim=2)
        described, mask = read_description(path), read_mask(path)
    if values.ndim != 2 or values.size == 0:
        raise InvalidInputError(
            f"{location}: expected a label map (rows, columns), got an array of shape {values.shape}."
        )
    numbers = _class_numbers(location, values, described, mask, known=label_values or (), unlabelled=unlabelled_values)
    names = class_names or _names_of(location, described, numbers, label_values)
    if label_values is not None:
        numbers = to_class_ids(numbers, class_names=names, label_values=label_values, path=location)
    else:
        _look_for_class_0(location, numbers, described, names)
        numbers = np.where(numbers < 0, 0, numbers)
    return LabelMap(numbers=numbers, class_names=names, described=described)


def read_mask(path: str | Path) -> NDArray[np.bool_] | None:
    """Read what a file's own mask says: an alpha band, an internal mask, or a ``.msk`` file.

    Returns:
        (H, W) or (H, W, bands), False where nothing was measured; None where the file has no mask.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: The file can't be read.
    """
    location, _ = _located(path, _ARRAY_SUFFIXES)
    return guarded(location, _reader(location).load_mask)


def read_description(path: str | Path) -> Description:
    """Read the metadata of a file: names, wavelengths, location; as far as the format holds them.

    Raises:
        MissingDataError: There is no such file.
        MissingPackageError: ENVI or GeoTIFF, and the extra ``geo`` is not installed.
        InvalidInputError: The file can't be read.
    """
    location, _ = _located(path, _ARRAY_SUFFIXES)
    return guarded(location, _reader(location).describe)


def _reader(location: Path) -> FileFormat:
    return _READERS[location.suffix.lower()]


def _located(path: str | Path, suffixes: tuple[str, ...]) -> tuple[Path, str | None]:
    """The file, which is there and has one of the endings, and the name of an array in it."""
    location, inside = split_inside(path)
    location = expanded(location)
    if os.path.isfile(location) and location.suffix.lower() not in suffixes:
        refuse_numbers(location)
    try:
        return existing(location, suffixes), inside
    except MissingDataError as error:
        if location.suffix.lower() == ".hdr" and (others := headers_next_to(location)):
            raise MissingDataError(f"{error} Beside it there is {others[0]}: is that meant?") from error
        raise


def _is_within(name: str, whole: str) -> bool:
    return name == whole or (name.startswith(whole) and name[len(whole)] in ".({")


def _class_numbers(
    location: Path,
    values: NDArray[Any],
    described: Description,
    mask: NDArray[np.bool_] | None,
    *,
    known: tuple[int, ...],
    unlabelled: tuple[int, ...],
) -> NDArray[np.int64]:
    """(H, W) whole numbers >= 0, and -1 where the file or the user says that there is no label."""
    if min(known, default=0) < 0 or len(set(known)) != len(known) or set(known) & set(unlabelled):
        raise InvalidInputError(
            f"{location}: got label_values {known} and unlabelled_values {unlabelled}; expected different numbers from "
            "0 on, each in one of the two. Correct the lists."
        )
    valid = valid_pixels(values, described, mask)
    if known:  # who declares the file's value for missing data as a class knows better
        valid |= np.isin(values, known) & (True if mask is None else mask)
    if (missing := int((~valid).sum())) and described.ignore_value != 0:
        stated = "" if described.ignore_value is None else f"{described.ignore_value:g}, "
        _log.warning(
            "%s: %d pixels are the file's missing data (%sNaN or masked): unlabelled", location, missing, stated
        )
    valid &= ~np.isin(values, unlabelled)
    numbers = np.full(values.shape, -1, dtype=np.int64)
    numbers[valid] = _whole_numbers(location, values[valid])
    if (low := int(numbers[valid].min(initial=0))) < 0:
        raise InvalidInputError(
            f"{location}: a label map with values down to {low}; expected 0 (unlabelled) and class numbers above 0. If "
            f"{low} means unlabelled, say so by unlabelled_values."
        )
    return numbers


def _whole_numbers(location: Path, values: NDArray[Any]) -> NDArray[np.int64]:
    """(N,) numbers of a label map that are not missing data."""
    if values.dtype.kind in "biu":
        return values.astype(np.int64)
    # Above 2**53 a float can't distinguish integers any more, and no class has such a number.
    wrong = (np.abs(values) > 2**53) | (values != np.floor(values))
    if wrong.any():
        raise InvalidInputError(
            f"{location}: {int(wrong.sum())} values of the label map are not whole numbers (the first: "
            f"{values[wrong].flat[0]}); expected class numbers. Is it the right variable, and the right file?"
        )
    whole: NDArray[np.int64] = values.astype(np.int64)
    return whole


def _names_of(
    location: Path, described: Description, numbers: NDArray[np.int64], label_values: tuple[int, ...] | None
) -> tuple[str, ...] | None:
    """The class names of a file. A first name that may be a class's is one if the numbers need it."""
    names, first = described.class_names or (), described.name_of_zero
    if first is None:
        return names or None
    every = (first, *names)
    if len(label_values or ()) in (len(every), len(names)) and label_values is not None:
        return every if len(label_values) == len(every) else names
    if int(numbers.max(initial=0)) == len(every):
        return every
    raise InvalidInputError(
        f"{location}: its class names begin with {first!r}, and its numbers run up to {int(numbers.max(initial=0))}; "
        f"expected a word such as 'Unclassified' for 0, or names for 1 to {len(every)}. Say what the numbers mean by "
        "class_names and label_values; label_values with a 0 if 0 is a class."
    )


def _look_for_class_0(
    location: Path, numbers: NDArray[np.int64], described: Description, names: tuple[str, ...] | None
) -> None:
    """Report or refuse a map whose 0 may be a class: numbers from 0 to K - 1 for K names."""
    if names is None or int(numbers.max(initial=0)) != len(names) - 1 or not (numbers == 0).any():
        return
    what = f"numbers run from 0 to {len(names) - 1} for {len(names)} classes ({', '.join(names)})"
    if described.ignore_value not in (None, 0):
        raise InvalidInputError(
            f"{location}: {what}, and the file's missing data is {described.ignore_value:g}; expected to know what 0 "
            "is. Declare label_values, with a 0 if it is the first class, with 1 first if it is unlabelled."
        )
    _log.warning("%s: %s: 0 is taken as unlabelled; if it is a class, declare label_values", location, what)


def _fits(variable: Variable, ndim: int | None) -> bool:
    """Whether its shape may be a cube's or a map's: a MATLAB scalar or vector has two dimensions as well."""
    dimensions = len(variable.shape)
    return min(variable.shape, default=0) > 1 and (dimensions >= 2 if ndim is None else dimensions == ndim)


def _choose(location: Path, variables: Mapping[str, Variable], wanted: str | None, ndim: int | None) -> str:
    expected = "an array" if ndim is None else f"a {ndim}-D array"
    if wanted is not None and wanted in variables:
        variable = variables[wanted]
        if not variable.numeric or (ndim is not None and len(variable.shape) != ndim):
            raise InvalidInputError(f"{location}: {wanted} is not {expected} of numbers. {_contents(variables)}")
        return wanted
    fitting = [name for name, variable in variables.items() if variable.numeric and _fits(variable, ndim)]
    if len(fitting) != 1:
        missing = "" if wanted is None else f"no variable {wanted!r}, and "
        count, advice = (
            (f"{len(fitting)} arrays fit", f"; name one, as {location}:{fitting[0]}")
            if fitting
            else ("no array fits", "")
        )
        raise InvalidInputError(f"{location}: {missing}{count} (expected {expected}){advice}. {_contents(variables)}")
    chosen = fitting[0]
    if wanted is not None or len(variables) > 1:
        others = {name: variable for name, variable in variables.items() if name != chosen}
        shape = " x ".join(map(str, variables[chosen].shape))
        why = f"the only {expected.split(' ', 1)[1]}" + ("" if wanted is None else f", because there is no {wanted}")
        _say_once(f"{location}: took {chosen} {shape}, {why}; the other variables: {_listed(others)}")
    return chosen


@functools.cache
def _say_once(what: str) -> None:
    """Log a choice; a file is read several times, and said once."""
    _log.warning("%s", what)


def _contents(variables: Mapping[str, Variable]) -> str:
    return f"The file holds: {_listed(variables)}."


def _listed(variables: Mapping[str, Variable]) -> str:
    shapes = [
        f"{name} {' x '.join(map(str, variable.shape)) or 'scalar'}{'' if variable.numeric else f' ({variable.kind})'}"
        for name, variable in variables.items()
    ]
    return ", ".join(shapes) or "nothing"
