"""GeoTIFF, by rasterio: bands with their wavelengths, and where the image is on the ground.

Numbers are those in the file; scale and offset of the bands are part of the description.

Shape letters: H rows, W columns, C bands.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.files.formats.description import Description
from sceneshift.files.formats.envi_header import listed
from sceneshift.files.formats.file_format import FileFormat, Variable, geo_package
from sceneshift.files.formats.gdal_image import (
    crs_from_text,
    image_variables,
    open_image,
    read_georeference,
    read_image,
    read_mask,
    spectral_indexes,
)
from sceneshift.files.formats.stored_values import StoredValues
from sceneshift.files.formats.wavelengths import in_names, in_nanometers
from sceneshift.safe_files import refuse_oversized, replacing
from sceneshift.scenes.class_colours import as_rgb

_log = logging.getLogger(__name__)

#: The tag that holds a scene's description as JSON.
_TAG = "SCENESHIFT"

#: The ending of the file next to the image in which GDAL keeps what a TIFF has no place for.
_BESIDE = ".aux.xml"

_DRIVER = "GTiff"


class GeoTiff(FileFormat):
    """``.tif``: one image, (H, W, C), or (H, W) where it has one band."""

    suffixes = (".tif", ".tiff")
    holds_several = False

    def variables(self, path: Path) -> dict[str, Variable]:
        """See the base class."""
        with _open(path) as file:
            return image_variables(file)

    def load(self, path: Path, name: str) -> NDArray[Any]:
        """See the base class."""
        with _open(path) as file:
            needed = file.height * file.width * sum(np.dtype(dtype).itemsize for dtype in file.dtypes)
            refuse_oversized(path, "the image", needed=needed, held=path.stat().st_size)
            return read_image(file)

    def load_mask(self, path: Path) -> NDArray[np.bool_] | None:
        """See the base class."""
        with _open(path) as file:
            return read_mask(file)

    def describe(self, path: Path) -> Description:
        """See the base class."""
        with _open(path) as file:
            text = file.tags().get(_TAG)
            indexes = spectral_indexes(file)
            bands = [{key.lower(): value for key, value in file.tags(band).items()} for band in indexes]
            imagery = [file.tags(band, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM") for band in indexes]
            names = [file.descriptions[band - 1] for band in indexes]
            of_image = {key.lower(): value for key, value in file.tags(ns="ENVI").items()}
            ignored = [file.nodatavals[band - 1] for band in indexes]
            georeference = read_georeference(file)
            stored_as = StoredValues.by_bands(file.scales, file.offsets)
        wavelengths = _wavelengths(path, bands, imagery, names, of_image)
        description = Description() if text is None else Description.from_json(text)
        values = vars(description) | {
            "wavelengths_nm": wavelengths,
            **_missing_values(ignored),
            "good_bands": _good_bands(path, bands, of_image),
            "georeference": georeference,
            "stored_as": stored_as,
        }
        return Description(**values)

    def write(self, path: Path, arrays: Mapping[str, NDArray[Any]], description: Description) -> None:
        """See the base class."""
        rasterio = geo_package("rasterio")
        (array,) = arrays.values()
        bands = np.atleast_3d(array).transpose(2, 0, 1)
        profile: dict[str, Any] = {
            "driver": _DRIVER,
            "count": bands.shape[0],
            "height": bands.shape[1],
            "width": bands.shape[2],
            "dtype": bands.dtype,
            "interleave": "pixel",
            "BIGTIFF": "IF_SAFER",
        }
        if (georeference := description.georeference) is not None:
            profile["transform"] = rasterio.Affine(*georeference.transform)
            profile["crs"] = None if georeference.crs is None else crs_from_text(georeference.crs)
        apart = {"wavelengths_nm": None, "georeference": None}
        with replacing(path) as temporary, rasterio.open(temporary, "w", **profile) as file:
            file.write(bands)
            file.update_tags(**{_TAG: Description(**(vars(description) | apart)).to_json()})
            for band, centre in enumerate(description.wavelengths_nm or (), start=1):
                file.update_tags(band, wavelength=repr(centre), wavelength_units="Nanometers")
            for band, name in enumerate(description.band_names or (), start=1):
                file.set_band_description(band, name)
            if array.ndim == 2 and description.class_colours is not None:
                colours = [(0, 0, 0, 0), *((*as_rgb(colour), 255) for colour in description.class_colours)]
                file.write_colormap(1, dict(enumerate(colours)))
        names = description.class_names if array.ndim == 2 else None
        _write_class_names(path.with_name(path.name + _BESIDE), names)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """GDAL's open file.

    Raises:
        InvalidInputError: It holds several images; GDAL would read only the first.
    """
    with open_image(path, _DRIVER) as file:
        if len(pages := file.subdatasets) > 1:
            raise InvalidInputError(
                f"{path} holds {len(pages)} images (pages); expected one. Save them as the bands of one image, or "
                "save the one you need to a separate file."
            )
        yield file


def _wavelengths(
    path: Path,
    bands: Sequence[Mapping[str, str]],
    imagery: Sequence[str | None],
    names: Sequence[str | None],
    of_image: Mapping[str, str],
) -> tuple[float, ...] | None:
    """Band centres from where programs write them: tags of the bands, ENVI's of the image, names of the bands."""
    where = f"{path}, wavelength"
    if all("wavelength" in band for band in bands):
        unit = bands[0].get("wavelength_units")
        return in_nanometers([band["wavelength"] for band in bands], unit=unit, bands=len(bands), where=where)
    if all(value is not None for value in imagery):
        texts = [value for value in imagery if value is not None]
        return in_nanometers(texts, unit="micrometers", bands=len(bands), where=where)
    if "wavelength" in of_image:
        unit = of_image.get("wavelength_units")
        return in_nanometers(listed(of_image["wavelength"]), unit=unit, bands=len(bands), where=where)
    return in_names(names, where=where)


def _good_bands(path: Path, bands: Sequence[Mapping[str, str]], of_image: Mapping[str, str]) -> tuple[bool, ...] | None:
    """Decode the bad band list that GDAL has kept from an ENVI header: 0 is bad, any other number good."""
    texts = [band.get("bbl", "1") for band in bands]
    if "bbl" in of_image and not any("bbl" in band for band in bands):
        texts = list(listed(of_image["bbl"]))
    try:
        good = tuple(float(text) != 0 for text in texts)
    except ValueError:
        _log.warning("%s, bbl: got %r; expected 0 or 1 for each band. It is ignored.", path, texts)
        return None
    return None if all(good) else good


def _missing_values(ignored: Sequence[float | None]) -> dict[str, Any]:
    """The values for missing data: one for all bands, or one each."""
    values = [None if value is None else float(value) for value in ignored]
    if len({str(value) for value in values}) > 1:  # as text: no NaN equals another
        return {"ignore_values": tuple(values)}
    return {"ignore_value": values[0]}


def _write_class_names(path: Path, names: tuple[str, ...] | None) -> None:
    """Names for GDAL and GIS programs, which look for them in a file next to the image; a stale one is deleted."""
    if names is None:
        path.unlink(missing_ok=True)
        return
    categories = "".join(f"<Category>{escape(name)}</Category>" for name in ("unclassified", *names))
    with replacing(path) as temporary:
        temporary.write_text(
            f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{categories}</CategoryNames></PAMRasterBand>'
            "</PAMDataset>\n",
            encoding="utf-8",
        )
