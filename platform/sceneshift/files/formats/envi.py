"""ENVI images: a text header ``.hdr`` beside a file of raw numbers, by the ``spectral`` package.

Numbers come as they lie in the file: a "reflectance scale factor" is left alone. Where the image lies on the ground
is told by GDAL (rasterio), which knows the many ways ENVI writes it.

Shape letters: H rows, W columns, C bands.
"""

import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.files.formats.description import Description
from sceneshift.files.formats.file_format import FileFormat, Variable, geo_package
from sceneshift.files.formats.geotiff import crs_from_text, read_georeference
from sceneshift.files.formats.wavelengths import in_nanometers
from sceneshift.safe_files import put_in_place, replacing
from sceneshift.scenes.class_colours import as_rgb
from sceneshift.scenes.scene import Georeference

_log = logging.getLogger(__name__)

#: The ending of the numbers beside a header this package writes.
_DATA_SUFFIX = ".img"

#: Endings of the numbers beside others' headers.
_DATA_SUFFIXES = (_DATA_SUFFIX, ".dat", ".raw", ".bsq", ".bil", ".bip", "")

_UNCLASSIFIED = (0, 0, 0)

#: Characters that end a text in a header's list.
_NOT_IN_NAMES = frozenset(",{}\n")


class Envi(FileFormat):
    """``.hdr``: one image, (H, W, C), or (H, W) where it has one band."""

    suffixes = (".hdr",)
    holds_several = False

    def variables(self, path: Path) -> dict[str, Variable]:
        """See the base class."""
        image = _open(path)
        shape = (image.nrows, image.ncols, image.nbands)
        return {
            "the image": Variable(
                shape=shape[:2] if shape[2] == 1 else shape, numeric=np.dtype(image.dtype).kind in "iuf"
            )
        }

    def load(self, path: Path, name: str) -> NDArray[Any]:
        """See the base class."""
        image = _open(path)
        needed = image.offset + image.nrows * image.ncols * image.nbands * np.dtype(image.dtype).itemsize
        if (found := Path(image.filename).stat().st_size) < needed:
            raise InvalidInputError(
                f"{image.filename} has {found} bytes, its header {path} tells of {needed}; expected them to fit. Copy "
                "both again."
            )
        values = np.array(image.open_memmap(interleave="bip", writable=False), order="C")
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        return values[..., 0] if values.shape[2] == 1 else values

    def describe(self, path: Path) -> Description:
        """See the base class."""
        image = _open(path)
        header: Mapping[str, Any] = image.metadata
        unit = header.get("wavelength units")
        names = header.get("class names")
        ignored = header.get("data ignore value")
        return Description(
            class_names=tuple(names[1:]) if isinstance(names, list) and len(names) > 1 else None,
            wavelengths_nm=_nanometers(path, header.get("wavelength"), unit, header.get("wavelength")),
            fwhm_nm=_nanometers(path, header.get("fwhm"), unit, header.get("wavelength")),
            ignore_value=None if ignored is None else float(ignored),
            georeference=read_georeference(Path(image.filename), "ENVI") if "map info" in header else None,
        )

    def write(self, path: Path, arrays: Mapping[str, NDArray[Any]], description: Description) -> None:
        """Write header and numbers; name, normalization, footprint and unit are lost.

        The old header goes first and the new one comes last: a header is never beside the numbers of another image.
        """
        envi = geo_package("spectral.io.envi")
        (array,) = arrays.values()
        metadata = _header(description)
        data = path.with_suffix(_DATA_SUFFIX)
        with replacing(path) as temporary:
            temporary_data = temporary.with_suffix(_DATA_SUFFIX)
            try:
                if array.ndim == 2:
                    names = description.class_names or tuple(str(k) for k in range(1, int(array.max()) + 1))
                    metadata = {key: value for key, value in metadata.items() if key != "wavelength"}
                    colours = description.class_colours
                    envi.save_classification(
                        str(temporary),
                        array,
                        class_names=["unclassified", *names],
                        class_colors=None if colours is None else [_UNCLASSIFIED, *map(as_rgb, colours)],
                        metadata=metadata,
                        ext=_DATA_SUFFIX,
                    )
                else:
                    envi.save_image(
                        str(temporary), array, dtype=array.dtype, interleave="bsq", metadata=metadata, ext=_DATA_SUFFIX
                    )
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


def _open(path: Path) -> Any:  # noqa: ANN401 - spectral has no types
    # Asked before spectral opens it, which leaves a broken object behind where it may not.
    for data in (path.with_suffix(suffix) for suffix in _DATA_SUFFIXES):
        if data.is_file() and not os.access(data, os.R_OK):
            raise InvalidInputError(
                f"{data}, the numbers of {path}: no permission to read it; try `chmod u+r {shlex.quote(str(data))}`."
            )
    return geo_package("spectral.io.envi").open(str(path))


def _nanometers(
    path: Path, texts: Sequence[str] | None, unit: str | None, centres: Sequence[str] | None
) -> tuple[float, ...] | None:
    """Numbers in the header's unit; what that is when it isn't told, the band centres show."""
    if texts is None:
        return None
    known = [float(text) for text in centres or texts]
    return in_nanometers([float(text) for text in texts], unit=unit, largest=max(known), where=str(path))


def _header(description: Description) -> dict[str, Any]:
    header: dict[str, Any] = {}
    if description.wavelengths_nm is not None:
        header |= {"wavelength": list(description.wavelengths_nm), "wavelength units": "Nanometers"}
    if description.band_names is not None:
        header["band names"] = list(description.band_names)
    refuse_names((*(description.class_names or ()), *(description.band_names or ())))
    if (georeference := description.georeference) is not None:
        header |= _map_info(georeference)
    return header


def _map_info(georeference: Georeference) -> dict[str, Any]:
    a, b, c, d, e, f = georeference.transform
    if b or d or a <= 0 or e >= 0:
        _log.warning(
            "the georeference %s is turned or mirrored, which is not written to ENVI; it is left out", georeference
        )
        return {}
    if georeference.crs is None:
        return {"map info": ["Arbitrary", 1, 1, c, f, a, -e]}
    crs = crs_from_text(georeference.crs)
    name = "Geographic Lat/Lon" if crs.is_geographic else "Projected"
    return {"map info": [name, 1, 1, c, f, a, -e], "coordinate system string": f"{{{crs.to_wkt()}}}"}
