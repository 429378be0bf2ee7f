"""ENVI images: a text header ``.hdr`` beside a file of raw numbers, read by GDAL (rasterio).

Numbers come as they lie in the file; a "reflectance scale factor" or gains are part of the description. Headers are
written here: GDAL's rounds where the image lies to 15 digits, has no class names, and invents names of bands.

Shape letters: H rows, W columns, C bands.
"""

import logging
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.files.formats.description import Description
from sceneshift.files.formats.file_format import FileFormat, Variable, geo_package
from sceneshift.files.formats.gdal_image import (
    crs_from_text,
    image_variables,
    open_image,
    read_georeference,
    read_image,
    read_mask,
)
from sceneshift.files.formats.stored_values import stored_in_envi
from sceneshift.files.formats.wavelengths import in_nanometers
from sceneshift.safe_files import put_in_place, replacing
from sceneshift.scenes.class_colours import as_rgb, class_colours
from sceneshift.scenes.scene import Georeference

_log = logging.getLogger(__name__)

#: The ending of the numbers beside a header this package writes.
_DATA_SUFFIX = ".img"

_INTERLEAVES = ("bsq", "bil", "bip")

#: Endings of the numbers beside others' headers, in the order they are looked for; interleaves come after them, then
#: the same in upper case.
_DATA_SUFFIXES = ("", _DATA_SUFFIX, ".dat", ".sli", ".hyspex", ".raw", ".bin")

#: ``key = value`` or ``key = { value, … }`` in a header, over as many lines as it takes; ``;`` begins a comment.
_ENTRY = re.compile(r"^[ \t]*([^;={}\s][^={}\n]*)=[ \t]*(\{[^}]*\}|[^\n]*)", re.MULTILINE)

#: Keys that say how the numbers lie; GDAL must have read what stands there.
_SHAPING = ("samples", "lines", "bands", "header offset", "data type", "interleave", "byte order")

#: ENVI's numbers of the types that are written.
_TYPES = {"uint8": 1, "int16": 2, "int32": 3, "float32": 4, "float64": 5, "uint16": 12, "uint32": 13, "uint64": 15}

#: Characters that end a text in a header's list.
_NOT_IN_NAMES = frozenset(",{}\n")


class Envi(FileFormat):
    """``.hdr``: one image, (H, W, C), or (H, W) where it has one band."""

    suffixes = (".hdr",)
    holds_several = False

    def variables(self, path: Path) -> dict[str, Variable]:
        """See the base class."""
        with _open(path) as (file, _):
            return image_variables(file)

    def load(self, path: Path, name: str) -> NDArray[Any]:
        """See the base class."""
        with _open(path) as (file, header):
            offset = int(header.get("header offset", 0))
            needed = offset + file.height * file.width * file.count * np.dtype(file.dtypes[0]).itemsize
            if (found := os.stat(file.name).st_size) < needed:
                raise InvalidInputError(
                    f"{file.name} has {found} bytes, its header {path} tells of {needed}; expected them to fit. Copy "
                    "both again."
                )
            return read_image(file)

    def load_mask(self, path: Path) -> NDArray[np.bool_] | None:
        """See the base class."""
        with _open(path) as (file, _):
            return read_mask(file)

    def describe(self, path: Path) -> Description:
        """See the base class."""
        with _open(path) as (file, header):
            unit = header.get("wavelength units")
            names = _texts(header.get("class names"))
            stored_as = stored_in_envi(
                header.get("reflectance scale factor"), file.scales, file.offsets, where=str(path)
            )
            return Description(
                class_names=names[1:] if len(names) > 1 else None,
                wavelengths_nm=_nanometers(path, header.get("wavelength"), unit, header.get("wavelength")),
                fwhm_nm=_nanometers(path, header.get("fwhm"), unit, header.get("wavelength")),
                ignore_value=_ignored(path, header.get("data ignore value")),
                good_bands=_good_bands(path, header.get("bbl")),
                georeference=read_georeference(file) if "map info" in header else None,
                unit=None if stored_as is None else stored_as.unit,
                stored_as=stored_as,
            )

    def write(self, path: Path, arrays: Mapping[str, NDArray[Any]], description: Description) -> None:
        """Write header and numbers; name, normalization, footprint and unit are lost.

        The old header goes first and the new one comes last: a header is never beside the numbers of another image.
        """
        geo_package("rasterio")  # to say so at once where what is written could not be read
        (array,) = arrays.values()
        header = _header(array, description)
        data = path.with_suffix(_DATA_SUFFIX)
        with replacing(path) as temporary:
            temporary_data = temporary.with_suffix(_DATA_SUFFIX)
            try:
                with temporary_data.open("wb") as file:
                    for band in np.atleast_3d(array).transpose(2, 0, 1):
                        file.write(band.tobytes())
                temporary.write_text(header, encoding="utf-8")
                path.unlink(missing_ok=True)
                put_in_place(temporary_data, data)
            finally:
                temporary_data.unlink(missing_ok=True)


def refuse_names(names: Sequence[str]) -> None:
    """Refuse names of classes or bands that a header can't hold.

    Raises:
        InvalidInputError: Some have characters that end a text there.
    """
    if wrong := [name for name in names if _NOT_IN_NAMES & set(name)]:
        raise InvalidInputError(
            f"class names {wrong}: an ENVI header can't hold commas, braces or line ends in them; rename the classes, "
            "or write another format."
        )


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Mapping[str, str]]]:
    """GDAL's open file, and the header's texts.

    Raises:
        InvalidInputError: No numbers are beside the header, they may not be read, or the header says of them what GDAL
            would pass over in silence.
    """
    geo_package("rasterio")
    header = _read_header(path)
    interleave = header.get("interleave", "nothing").lower()
    data = _data_file(path, interleave)
    for key in ("major frame offsets", "minor frame offsets"):
        if any(text not in ("", "0") for text in _texts(header.get(key))):
            raise InvalidInputError(f"{path}, {key}: got {header[key]}; expected none. Have ENVI write the file again.")
    if interleave not in _INTERLEAVES:
        raise InvalidInputError(
            f"{path}, interleave: got {interleave!r}; expected one of {', '.join(_INTERLEAVES)}. Write the order that "
            "the numbers have."
        )
    if "data type" not in header:
        raise InvalidInputError(f"{path}, data type: got nothing; expected ENVI's number of a type. Write it there.")
    with open_image(data, "ENVI") as file:
        read = {key.lower().replace("_", " "): value for key, value in file.tags(ns="ENVI").items()}
        for key in _SHAPING:
            if read.get(key) != header.get(key):
                raise InvalidInputError(
                    f"{path}, {key}: got {header.get(key, 'nothing')}, and GDAL read {read.get(key, 'nothing')} in "
                    f"{', '.join(file.files[1:])}; expected one header, with lines of at most 10000 characters. Move "
                    "others away, or break its lines."
                )
        yield file, header


def _read_header(path: Path) -> dict[str, str]:
    """The header's texts, by keys in lower case; GDAL's own tags lack those with an equals sign in them."""
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")  # what ENVI writes on Windows
    if not text.startswith("ENVI"):
        raise InvalidInputError(
            f"{path} could not be read (it begins with {text[:8]!r}); expected an ENVI header, and no byte order mark "
            "before it. Copy or download it again, or save it as plain text."
        )
    header = {key.strip().lower(): value.strip() for key, value in _ENTRY.findall(text)}
    for key, value in header.items():
        if value.startswith("{") and not value.endswith("}"):
            raise InvalidInputError(
                f"{path}, {key}: got a list without its end; expected a brace. Copy the file again."
            )
    return header


def _data_file(path: Path, interleave: str) -> Path:
    suffixes = [*_DATA_SUFFIXES, f".{interleave}", *(f".{name}" for name in _INTERLEAVES)]
    for data in map(path.with_suffix, (*suffixes, *map(str.upper, suffixes))):
        if data.is_file():
            if not os.access(data, os.R_OK):
                raise InvalidInputError(
                    f"{data}, the numbers of {path}: no permission to read it; try `chmod u+r "
                    f"{shlex.quote(str(data))}`."
                )
            return data
    raise InvalidInputError(
        f"{path} could not be read (no file of numbers is beside it); expected {path.with_suffix(_DATA_SUFFIX).name}, "
        f"or another of {', '.join(dict.fromkeys(suffixes[1:]))}. Copy or download it again, with its numbers."
    )


def _texts(value: str | None) -> tuple[str, ...]:
    """The texts of a header's list; a comma behind the last is no other."""
    if value is None:
        return ()
    return tuple(text.strip() for text in value.strip("{}").strip().rstrip(",").split(","))


def _ignored(path: Path, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text.strip("{} "))
    except ValueError:
        _log.warning("%s, data ignore value: got %r; expected a number. It is passed over.", path, text)
        return None


def _good_bands(path: Path, text: str | None) -> tuple[bool, ...] | None:
    """What a bad band list says: 0 is bad, any other number good."""
    if not _texts(text) or _texts(text) == ("",):
        return None
    try:
        return tuple(float(entry) != 0 for entry in _texts(text))
    except ValueError:
        _log.warning("%s, bbl: got %r; expected 0 or 1 for each band. It is passed over.", path, text)
        return None


def _nanometers(path: Path, text: str | None, unit: str | None, centres: str | None) -> tuple[float, ...] | None:
    """Numbers in the header's unit; what that is when it isn't told, the band centres show."""
    if text is None:
        return None
    known = [float(text) for text in _texts(centres or text)]
    return in_nanometers([float(text) for text in _texts(text)], unit=unit, largest=max(known), where=str(path))


def _header(array: NDArray[Any], description: Description) -> str:
    """A header's text; a list's items go between braces."""
    is_map = array.ndim == 2
    rows, columns, bands = np.atleast_3d(array).shape
    header: dict[str, Any] = {
        "samples": columns,
        "lines": rows,
        "bands": bands,
        "header offset": 0,
        "file type": "ENVI Classification" if is_map else "ENVI Standard",
        "data type": _TYPES[array.dtype.name],
        "interleave": "bsq",
        "byte order": int(sys.byteorder == "big"),
    }
    refuse_names((*(description.class_names or ()), *(description.band_names or ())))
    if is_map:
        names = description.class_names or tuple(str(k) for k in range(1, int(array.max()) + 1))
        colours = [(0, 0, 0), *map(as_rgb, description.class_colours or class_colours(len(names)))]
        header["classes"] = 1 + len(names)
        header["class names"] = ["unclassified", *names]
        header["class lookup"] = [part for colour in colours for part in colour]
    elif description.wavelengths_nm is not None:
        header |= {"wavelength": description.wavelengths_nm, "wavelength units": "Nanometers"}
    if description.band_names is not None:
        header["band names"] = description.band_names
    if description.georeference is not None:
        header |= _map_info(description.georeference)
    # An item a line: GDAL reads no line of more than 10000 characters, nor what comes after it.
    lists = {key: "{" + ",\n ".join(map(str, v)) + "}" for key, v in header.items() if isinstance(v, list | tuple)}
    return "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in {**header, **lists}.items())


def _map_info(georeference: Georeference) -> dict[str, str]:
    a, b, c, d, e, f = georeference.transform
    if b or d or a <= 0 or e >= 0:
        _log.warning(
            "the georeference %s is turned or mirrored, which is not written to ENVI; it is left out", georeference
        )
        return {}
    crs = None if georeference.crs is None else crs_from_text(georeference.crs)
    name = "Arbitrary" if crs is None else "Geographic Lat/Lon" if crs.is_geographic else "Projected"
    header = {"map info": f"{{{name}, 1, 1, {c}, {f}, {a}, {-e}}}"}
    return header if crs is None else header | {"coordinate system string": f"{{{crs.to_wkt()}}}"}
