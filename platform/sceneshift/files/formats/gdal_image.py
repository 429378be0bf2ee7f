"""What ENVI and GeoTIFF share: images opened by GDAL (rasterio), their numbers, and where they are on the ground.

Shape letters: H rows, W columns, C bands.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, MissingPackageError, first_line
from sceneshift.files.formats.file_format import Variable, geo_package
from sceneshift.scenes.scene import Georeference

#: Transforms that count pixels, without a location on the ground: GDAL's default, and what ENVI writes for any image.
_PIXELS = ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (1.0, 0.0, 0.0, 0.0, -1.0, 0.0))

#: What GDAL calls an unknown reference system.
_NO_CRS = 'LOCAL_CS["Arbitrary"'


@contextmanager
def open_image(path: Path, driver: str) -> Iterator[Any]:
    """Open a file by one of GDAL's drivers.

    Raises:
        MissingPackageError: rasterio is not installed.
    """
    rasterio = geo_package("rasterio")
    # Listing the folder, GDAL takes `a.hdr` for the header of `A.img`; read in pieces, it holds raw numbers twice.
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE", "GDAL_ONE_BIG_READ": "YES"}
    with rasterio.Env(**options), rasterio.open(path, driver=driver) as file:
        yield file


def image_variables(file: Any) -> dict[str, Variable]:  # noqa: ANN401 - rasterio has no types
    """The one image of an open file, as :meth:`FileFormat.variables` lists it."""
    shape = (file.height, file.width, len(spectral_indexes(file)))
    kinds = {np.dtype(dtype).kind for dtype in file.dtypes if not dtype.startswith("complex")}
    numeric = len(kinds) == 1 and kinds <= set("iuf")
    return {"the image": Variable(shape=shape[:2] if shape[2] == 1 else shape, numeric=numeric)}


def read_image(file: Any) -> NDArray[Any]:  # noqa: ANN401 - rasterio has no types
    """(H, W, C) numbers of an open file, or (H, W) where it has one band; in memory once."""
    indexes = spectral_indexes(file)
    values = np.empty((file.height, file.width, len(indexes)), dtype=file.dtypes[0])
    file.read(indexes, out=values.transpose(2, 0, 1))
    return values[..., 0] if values.shape[2] == 1 else values


def spectral_indexes(file: Any) -> list[int]:  # noqa: ANN401 - rasterio has no types
    """The numbers, from 1, of an open file's bands, except alpha bands, which are masks."""
    alpha = set(_alpha_indexes(file))
    return [index for index in file.indexes if index not in alpha]


def read_mask(file: Any) -> NDArray[np.bool_] | None:  # noqa: ANN401 - rasterio has no types
    """What alpha bands, an internal mask or a ``.msk`` file say of an open file's pixels; None where there is none.

    Returns:
        (H, W), or (H, W, C) where each band has its own mask: True where something was measured.
    """
    indexes, flags = spectral_indexes(file), geo_package("rasterio.enums").MaskFlags
    # GDAL derives masks from values for missing data as well; those are searched for in the numbers.
    derived = [{flags.all_valid}, {flags.nodata}]
    flags_of_bands = file.mask_flag_enums  # rasterio asks GDAL about every band each time
    has_mask = [set(flags_of_bands[index - 1]) not in derived for index in indexes]
    masks = [file.read(index) > 0 for index in _alpha_indexes(file)]
    if all(has_mask) and all(flags.per_dataset in flags_of_bands[index - 1] for index in indexes):
        masks.append(file.read_masks(indexes[0]) > 0)
    elif any(has_mask):
        of_bands = np.ones((file.height, file.width, len(indexes)), dtype=bool)
        for place, index in enumerate(indexes):
            if has_mask[place]:
                of_bands[..., place] = file.read_masks(index) > 0
        return of_bands & np.all(masks, axis=0)[..., None] if masks else of_bands
    return np.all(masks, axis=0) if masks else None


def _alpha_indexes(file: Any) -> list[int]:  # noqa: ANN401 - rasterio has no types
    alpha = geo_package("rasterio.enums").ColorInterp.alpha
    found = [index for index, meaning in zip(file.indexes, file.colorinterp, strict=True) if meaning == alpha]
    return found if len(found) < file.count else []


def read_georeference(file: Any) -> Georeference | None:  # noqa: ANN401 - rasterio has no types
    """Georeference of an open file's image; None if the file has none."""
    a, b, c, d, e, f = (float(value) for value in tuple(file.transform)[:6])
    crs = file.crs.to_string() if file.crs else None
    if crs is not None and crs.startswith(_NO_CRS):
        crs = None
    if (a, b, c, d, e, f) in _PIXELS and crs is None:
        return None
    return Georeference(transform=(a, b, c, d, e, f), crs=crs)


def crs_from_text(text: str) -> Any:  # noqa: ANN401 - rasterio has no types
    """A coordinate reference system from ``EPSG:…`` or well-known text.

    Raises:
        InvalidInputError: GDAL doesn't know it.
    """
    try:
        return geo_package("rasterio.crs").CRS.from_user_input(text)
    except MissingPackageError:
        raise
    except Exception as error:
        raise InvalidInputError(
            f"coordinate reference system {text!r} is unknown ({first_line(error)}); expected EPSG:number or "
            "well-known text."
        ) from error
