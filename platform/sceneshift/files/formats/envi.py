"""ENVI images: a text header ``.hdr`` next to a file of raw numbers, read by GDAL (rasterio).

GDAL is given the numbers with a header made of what was read and checked here
(:mod:`sceneshift.files.formats.envi_header`): it sees no other header, and nothing that it would ignore silently.
Numbers are those in the file; a "reflectance scale factor" or gains are part of the description. Headers are written
here: GDAL's round the image's location to 15 digits, have no class names, and invent names of bands.

Shape letters: H rows, W columns, C bands.
"""

import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, first_line
from sceneshift.files.formats.description import Description
from sceneshift.files.formats.envi_gzip import check_compressed, unpack
from sceneshift.files.formats.envi_header import INTERLEAVES, TYPES, EnviHeader, listed, read_header
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

#: The ending of the numbers next to a header this package writes.
_DATA_SUFFIX = ".img"

#: Endings of the numbers next to others' headers, in search order; interleaves come after them, then
#: the same in upper case.
_DATA_SUFFIXES = ("", _DATA_SUFFIX, ".dat", ".sli", ".hyspex", ".raw", ".bin")

#: Endings of files next to a header that are not numbers of an ENVI image, and those of them that are images
#: themselves.
_IMAGES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".mat", ".npy", ".npz", ".arrow")
_NO_NUMBERS = (".hdr", ".xml", ".txt", ".csv", ".json", ".enp", ".sta", ".ovr", ".msk", ".prj", ".log", ".md", ".zip")

#: What GDAL reads in addition to an image: masks, and its own metadata.
_BESIDE = (".msk", ".aux.xml")

#: First names in a list of classes that are not a class, in lower case.
_UNCLASSIFIED = (
    *("unclassified", "unlabelled", "unlabeled", "undefined", "unknown", "background", "none", "nothing", "ignore"),
    *("no data", "nodata", "no label", "not classified", "masked", "masked pixels", "void", "fill", "0", ""),
    *("unklassifiziert", "nicht klassifiziert", "hintergrund", "non classé", "sin clasificar", "non classificato"),
)

#: ENVI's numbers of the types that are written.
_NUMBERS = {name: number for number, name in TYPES.items() if not name.startswith("complex")}

#: Characters that end a text in a header's list.
_NOT_IN_NAMES = frozenset(",{}\n")


class Envi(FileFormat):
    """``.hdr``: one image, (H, W, C), or (H, W) where it has one band."""

    suffixes = (".hdr",)
    holds_several = False

    def variables(self, path: Path) -> dict[str, Variable]:
        """See the base class; a spectral library has no image."""
        geo_package("rasterio")
        header = read_header(path)
        if header.is_library:
            shape = (header.lines, header.samples)
            return {"a spectral library": Variable(shape=shape, numeric=False, kind="spectra x channels, no image")}
        with _open(header) as file:
            return image_variables(file)

    def load(self, path: Path, name: str) -> NDArray[Any]:
        """See the base class."""
        with _open(read_header(path), reads_numbers=True) as file:
            return read_image(file)

    def load_mask(self, path: Path) -> NDArray[np.bool_] | None:
        """See the base class."""
        with _open(read_header(path)) as file:
            return read_mask(file)

    def describe(self, path: Path) -> Description:
        """See the base class; what can't be understood in an optional key is reported and ignored."""
        geo_package("rasterio")
        header = read_header(path)
        texts = header.texts
        for note in header.notes:
            _log.warning("%s", note)
        if header.is_library:
            return Description()
        data = _data_file(header)
        if not header.is_compressed and (surplus := os.stat(data).st_size - header.num_bytes) > 0:
            _log.warning("%s has %d bytes more than its header %s states; is that right?", data, surplus, path)
        with _open(header) as file:
            stored_as = stored_in_envi(
                texts.get("reflectance scale factor"), file.scales, file.offsets, where=str(path)
            )
            georeference = _georeference(path, file) if "map info" in texts else None
        names, name_of_zero = _class_names(texts)
        return Description(
            class_names=names,
            name_of_zero=name_of_zero,
            wavelengths_nm=_nanometers(header, "wavelength"),
            fwhm_nm=_nanometers(header, "fwhm"),
            ignore_value=_ignored(path, texts.get("data ignore value")),
            good_bands=_good_bands(path, texts.get("bbl")),
            georeference=georeference,
            unit=None if stored_as is None else stored_as.unit,
            stored_as=stored_as,
        )

    def write(self, path: Path, arrays: Mapping[str, NDArray[Any]], description: Description) -> None:
        """Write header and numbers; name, normalization, footprint and unit are lost.

        The old header goes first and the new one comes last: a header is never next to the numbers of another image.
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


def refuse_numbers(location: Path) -> None:
    """Refuse a file of numbers that is named in place of its header, and name its header.

    Args:
        location: A file that is there, and has an ending that no reader knows.

    Raises:
        InvalidInputError: There is a header next to it, or its ending is one that the numbers of an ENVI image have.
    """
    looked_for = list(dict.fromkeys((location.with_suffix(".hdr"), location.with_name(f"{location.name}.hdr"))))
    if other := headers_next_to(location):
        raise InvalidInputError(
            f"{location} holds the numbers of an ENVI image; expected its header, which describes their layout. Name "
            f"{other[0]}."
        )
    if location.suffix.lower() in (*_DATA_SUFFIXES[1:], *(f".{name}" for name in INTERLEAVES)):
        raise InvalidInputError(
            f"{location} looks like the numbers of an ENVI image, and no header named "
            f"{' or '.join(header.name for header in looked_for)} is next to it; expected one. Put it there, and name "
            "it."
        )


def headers_next_to(location: Path) -> list[Path]:
    """ENVI headers that may be meant by a file's name: ``a.hdr`` and ``a.img.hdr`` for ``a.img`` or ``a.hdr``."""
    try:
        others = sorted(location.parent.iterdir())
    except OSError:
        return []
    stem, name = location.stem.lower(), location.name.lower()
    return [
        other
        for other in others
        if other.suffix.lower() == ".hdr"
        and other.name != location.name
        and (other.stem.lower() in (stem, name) or Path(other.stem).stem.lower() == stem)
    ]


@contextmanager
def _open(header: EnviHeader, *, reads_numbers: bool = False) -> Iterator[Any]:
    """GDAL's open file.

    Args:
        header: The header.
        reads_numbers: Whether the numbers will be read: compressed ones are unpacked only then.

    Raises:
        InvalidInputError: There are no numbers next to the header, or too few, or they may not be read.
    """
    geo_package("rasterio")
    data = _data_file(header)
    if header.is_compressed:
        check_compressed(header, data)
    elif (found := os.stat(data).st_size) < header.num_bytes:
        raise InvalidInputError(
            f"{data} has {found} bytes, its header {header.path} states {header.num_bytes}; expected them to fit. "
            "Copy both again, or correct the header."
        )
    try:
        place = tempfile.TemporaryDirectory(prefix="sceneshift-")
    except OSError as error:
        raise InvalidInputError(
            f"{header.path} needs a folder for temporary files to be read, and none can be written "
            f"({first_line(error)}); set TMPDIR to one."
        ) from error
    with place as folder:
        image = Path(folder) / "image"
        image.with_suffix(".hdr").write_text(header.for_gdal(), encoding="utf-8")
        if header.is_compressed:
            unpack(header, data, image, reads_numbers=reads_numbers)
        else:
            image.symlink_to(data.absolute())
        for ending in _BESIDE:
            if (other := data.with_name(data.name + ending)).is_file():
                image.with_name(image.name + ending).symlink_to(other.absolute())
        with open_image(image, "ENVI") as file:
            yield file


def _data_file(header: EnviHeader) -> Path:
    """The file of numbers: of those with a matching name, the first of the size that the header states, if any."""
    path = header.path
    suffixes = [*_DATA_SUFFIXES, f".{header.interleave}", *(f".{name}" for name in INTERLEAVES)]
    named = [data for data in map(path.with_suffix, (*suffixes, *map(str.upper, suffixes))) if data.is_file()]
    fitting = [data for data in named if os.stat(data).st_size == header.num_bytes]
    # Numbers may begin like any file: what has the header's size is its own.
    known = [data for data in named if data in fitting or not _is_tiff(data)]
    if known:
        data = (fitting or known)[0]
    else:
        others = [other for other in _beside(path) if os.stat(other).st_size == header.num_bytes]
        if len(others) != 1:
            raise _no_numbers(path, suffixes)
        data = others[0]
    if not os.access(data, os.R_OK):
        raise InvalidInputError(
            f"{data}, the numbers of {path}: no permission to read it; try `chmod u+r {shlex.quote(str(data))}`."
        )
    return data


def _no_numbers(path: Path, suffixes: Sequence[str]) -> InvalidInputError:
    if images := [other.name for other in _beside(path, images=True)]:
        return InvalidInputError(
            f"{path}: no file of numbers is next to this header; expected {path.with_suffix(_DATA_SUFFIX).name}, or "
            f"another of {', '.join(dict.fromkeys(suffixes[1:]))}. {' and '.join(images)} next to it holds an image "
            "with its own header: name that."
        )
    return InvalidInputError(
        f"{path} could not be read (no file of numbers is next to it); expected {path.with_suffix(_DATA_SUFFIX).name}, "
        f"or another of {', '.join(dict.fromkeys(suffixes[1:]))}. Copy or download it again, with its numbers."
    )


def _beside(path: Path, *, images: bool = False) -> list[Path]:
    """Files that have a header's name with another ending: numbers that may be its own, or other images."""
    found = []
    for other in sorted(path.parent.iterdir()):
        same = path.stem.lower() in (other.name.lower(), other.stem.lower())
        if same and other.suffix.lower() not in _NO_NUMBERS and other.is_file():
            is_image = other.suffix.lower() in _IMAGES or _is_tiff(other)
            found += [other] if is_image == images else []
    return found


def _is_tiff(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    except PermissionError:
        return False


def _class_names(texts: Mapping[str, str]) -> tuple[tuple[str, ...] | None, str | None]:
    """The names of the numbers from 1 on, and the name of 0 where that may be a class's.

    ENVI names 0 first, which is not a class: "Unclassified", or drawn in black. Other programs begin with class 1.
    """
    names = listed(texts.get("class names"))
    if names in ((), ("",)):
        return None, None
    if names[0].lower() in _UNCLASSIFIED or listed(texts.get("class lookup"))[:3] == ("0", "0", "0"):
        return names[1:] or None, None
    if texts.get("classes", "").strip("{} ") == str(len(names) + 1):
        return names, None
    return names[1:] or None, names[0]


def _georeference(path: Path, file: Any) -> Georeference | None:  # noqa: ANN401 - rasterio has no types
    try:
        return read_georeference(file)
    except (InvalidInputError, geo_package("rasterio.errors").CRSError) as error:
        _log.warning("%s, map info: %s. It is ignored.", path, first_line(error))
        return None


def _ignored(path: Path, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text.strip("{} "))
    except ValueError:
        _log.warning("%s, data ignore value: got %r; expected a number. It is ignored.", path, text)
        return None


def _good_bands(path: Path, text: str | None) -> tuple[bool, ...] | None:
    """Decode a bad band list: 0 is bad, any other number good."""
    if listed(text) in ((), ("",)):
        return None
    try:
        return tuple(float(entry) != 0 for entry in listed(text))
    except ValueError:
        _log.warning("%s, bbl: got %r; expected 0 or 1 for each band. It is ignored.", path, text)
        return None


def _nanometers(header: EnviHeader, key: str) -> tuple[float, ...] | None:
    """Centres or widths in the header's unit; if the header has none, it is inferred from the band centres."""
    if key not in header.texts:
        return None
    return in_nanometers(
        listed(header.texts[key]),
        unit=header.texts.get("wavelength units"),
        bands=header.bands,
        where=f"{header.path}, {key}",
        centres=listed(header.texts.get("wavelength", header.texts[key])),
    )


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
        "data type": _NUMBERS[array.dtype.name],
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
    # One item per line: GDAL reads no line of more than 10000 characters, nor what comes after it.
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
