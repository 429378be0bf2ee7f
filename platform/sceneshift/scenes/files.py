"""Arrays and label maps from files: MATLAB (v5 and v7.3), NumPy, TIFF and PNG.

A file that can't be read, or holds something else than it should, is an error of this package that says which file
and what lies in it, whatever the library underneath raised.

Shape letters: H rows, W columns.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, MissingDataError, first_line

if TYPE_CHECKING:
    import h5py

T = TypeVar("T")

_ARRAY_SUFFIXES = (".mat", ".npy", ".npz")
_PICTURE_SUFFIXES = (".tif", ".tiff", ".png")

#: What MATLAB calls its numeric classes; cells, structures, texts and sparse matrices are no arrays here.
_MATLAB_NUMBERS = {"double", "single", "logical"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}

#: The name the one array of an .npy file goes by.
_NPY_NAME = "the array"


@dataclass(frozen=True, kw_only=True)
class _Variable:
    shape: tuple[int, ...]
    numeric: bool


def array_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every numeric array in a ``.mat``, ``.npy`` or ``.npz`` file.

    Raises:
        MissingDataError: There is no such file.
        InvalidInputError: It can't be read, or is of another kind.
    """
    location = _existing(path, _ARRAY_SUFFIXES)
    return {name: variable.shape for name, variable in _list_variables(location).items() if variable.numeric}


def read_array(path: str | Path, variable: str | None = None, *, ndim: int | None = None) -> NDArray[Any]:
    """Read one numeric array.

    Args:
        path: A ``.mat`` (v5 or v7.3), ``.npy`` or ``.npz`` file. The axes of a v7.3 file, which HDF5 keeps reversed,
            come back in MATLAB's order.
        variable: Its name in the file. Where the file has none of that name, or none was given, the only array of
            fitting dimension is taken.
        ndim: The dimension that fits; None takes any array of two dimensions or more.

    Raises:
        MissingDataError: There is no such file.
        InvalidInputError: The file can't be read, or no or several arrays fit; the message lists them.
    """
    location = _existing(path, _ARRAY_SUFFIXES)
    variables = _list_variables(location)
    name = _choose(location, variables, variable, ndim)
    array = np.asarray(_guarded(location, lambda path: _load_variable(path, name)))
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(f"{location}: {name} holds {array.dtype}; expected real numbers.")
    return array


def read_label_map(path: str | Path, variable: str | None = None) -> NDArray[np.int64]:
    """Read a map of class numbers, 0 = unlabelled.

    Args:
        path: What :func:`read_array` reads, or a ``.tif``, ``.tiff`` or ``.png`` with one channel.
        variable: As for :func:`read_array`; a picture has none.

    Returns:
        (H, W) whole numbers >= 0.

    Raises:
        MissingDataError: There is no such file.
        InvalidInputError: The file can't be read, or its values are no class numbers.
    """
    location = _existing(path, (*_ARRAY_SUFFIXES, *_PICTURE_SUFFIXES))
    if location.suffix.lower() in _PICTURE_SUFFIXES:
        values = np.asarray(_guarded(location, _load_picture))
    else:
        values = read_array(location, variable, ndim=2)
    if values.ndim != 2 or values.size == 0:
        raise InvalidInputError(
            f"{location}: expected a label map (rows, columns), got an array of shape {values.shape}."
        )
    whole = values.astype(np.int64, copy=True) if values.dtype.kind in "biu" else _whole_numbers(location, values)
    if (low := int(whole.min())) < 0:
        raise InvalidInputError(
            f"{location}: a label map with values from {low} on; expected 0 (unlabelled) and class numbers above."
        )
    return whole


def _whole_numbers(location: Path, values: NDArray[Any]) -> NDArray[np.int64]:
    # Above 2**53 a float no longer tells whole numbers apart, and no class has such a number.
    wrong = ~np.isfinite(values) | (np.abs(values) > 2**53) | (values != np.floor(values))
    if wrong.any():
        raise InvalidInputError(
            f"{location}: {int(wrong.sum())} values of the label map are no whole numbers (the first: "
            f"{values[wrong].flat[0]}); expected class numbers. Is it another variable, or another file?"
        )
    whole: NDArray[np.int64] = values.astype(np.int64)
    return whole


def _existing(path: str | Path, suffixes: tuple[str, ...]) -> Path:
    location = Path(path).expanduser()
    if location.is_dir():
        raise InvalidInputError(f"{location} is a folder; expected a file ({', '.join(suffixes)}).")
    if not location.exists():
        raise MissingDataError(f"there is no file {location}; check the path, or put the file there.")
    if location.suffix.lower() not in suffixes:
        raise InvalidInputError(
            f"{location}: expected a file that ends in {', '.join(suffixes)}; got {location.suffix or 'no ending'!r}."
        )
    return location


def _guarded(location: Path, function: Callable[[Path], T]) -> T:
    """Call a reader of a library; whatever it raises becomes one error that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(location)
    except InvalidInputError:
        raise
    except Exception as error:  # a broken file makes these libraries raise almost anything
        raise InvalidInputError(
            f"{location} could not be read ({type(error).__name__}: {first_line(error)}); is it whole, and what its "
            f"ending {location.suffix} says? Copy or download it again."
        ) from error


def _list_variables(location: Path) -> dict[str, _Variable]:
    return _guarded(location, _variables_of)


def _variables_of(location: Path) -> dict[str, _Variable]:
    match location.suffix.lower():
        case ".npy":
            array = np.load(location, mmap_mode="r", allow_pickle=False)
            return {_NPY_NAME: _Variable(shape=array.shape, numeric=array.dtype.kind in "biuf")}
        case ".npz":
            # Opened here: np.load leaves a broken archive open behind it.
            with location.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return {name: _described(archive[name]) for name in archive.files}
    if _is_hdf5(location):
        import h5py

        with h5py.File(location, "r") as file:
            return {name: _hdf5_variable(item) for name, item in file.items() if isinstance(item, h5py.Dataset)}
    import scipy.io

    return {
        name: _Variable(shape=tuple(int(n) for n in shape), numeric=kind in _MATLAB_NUMBERS)
        for name, shape, kind in scipy.io.whosmat(location)
    }


def _described(array: NDArray[Any]) -> _Variable:
    return _Variable(shape=array.shape, numeric=array.dtype.kind in "biuf")


def _hdf5_variable(dataset: "h5py.Dataset") -> _Variable:
    kind = dataset.attrs.get("MATLAB_class", b"double")
    name = kind.decode() if isinstance(kind, bytes) else str(kind)
    numeric = name in _MATLAB_NUMBERS and dataset.dtype.kind in "biuf" and not dataset.attrs.get("MATLAB_empty", 0)
    return _Variable(shape=tuple(reversed(dataset.shape)), numeric=bool(numeric))


def _load_variable(location: Path, name: str) -> NDArray[Any]:
    match location.suffix.lower():
        case ".npy":
            return np.asarray(np.load(location, allow_pickle=False))
        case ".npz":
            # Opened here: np.load leaves a broken archive open behind it.
            with location.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return np.asarray(archive[name])
    if _is_hdf5(location):
        import h5py

        with h5py.File(location, "r") as file:
            return np.asarray(file[name][()]).T
    import scipy.io

    return np.asarray(scipy.io.loadmat(location, variable_names=[name])[name])


def _load_picture(location: Path) -> NDArray[Any]:
    from PIL import Image

    with Image.open(location) as picture:
        if (frames := getattr(picture, "n_frames", 1)) != 1 or len(picture.getbands()) != 1:
            raise InvalidInputError(
                f"{location}: {frames} page(s) of {len(picture.getbands())} channel(s) ({picture.mode}); expected one "
                "page with one channel whose values are class numbers, not colours."
            )
        return np.asarray(picture)


def _is_hdf5(location: Path) -> bool:
    import h5py

    return bool(h5py.is_hdf5(location))


def _choose(location: Path, variables: Mapping[str, _Variable], wanted: str | None, ndim: int | None) -> str:
    def fits(variable: _Variable) -> bool:
        if not variable.numeric or 0 in variable.shape:
            return False
        # A MATLAB scalar or vector has two dimensions as well, and is neither a cube nor a map.
        return min(variable.shape, default=0) > 1 and (
            len(variable.shape) >= 2 if ndim is None else len(variable.shape) == ndim
        )

    expected = "an array" if ndim is None else f"an array of {ndim} dimensions"
    if wanted is not None and wanted in variables:
        variable = variables[wanted]
        if not variable.numeric or (ndim is not None and len(variable.shape) != ndim):
            raise InvalidInputError(f"{location}: {wanted} is not {expected} of numbers. {_told(variables)}")
        return wanted
    fitting = [name for name, variable in variables.items() if fits(variable)]
    if len(fitting) != 1:
        looked_for = expected if wanted is None else f"{wanted}, or as the only one {expected}"
        raise InvalidInputError(
            f"{location}: looked for {looked_for}, found {len(fitting) or 'none'} that fit. {_told(variables)}"
        )
    return fitting[0]


def _told(variables: Mapping[str, _Variable]) -> str:
    shapes = [
        f"{name} {' x '.join(map(str, variable.shape)) or 'scalar'}{'' if variable.numeric else ' (no numbers)'}"
        for name, variable in variables.items()
    ]
    return f"The file holds: {', '.join(shapes) or 'nothing'}."
