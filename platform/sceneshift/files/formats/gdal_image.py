"""What ENVI and GeoTIFF share: images opened by GDAL (rasterio), their numbers, and where they lie on the ground.

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

#: Transforms that count pixels, and tell nothing of the ground: GDAL's default, and what ENVI writes for any image.
_PIXELS = ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (1.0, 0.0, 0.0, 0.0, -1.0, 0.0))

#: What GDAL calls a reference system of which nothing is known.
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
    """The one image of an open file, as :meth:`FileFormat.variables` tells it."""
    shape = (file.height, file.width, file.count)
    kinds = {np.dtype(dtype).kind for dtype in file.dtypes if not dtype.startswith("complex")}
    numeric = len(kinds) == 1 and kinds <= set("iuf")
    return {"the image": Variable(shape=shape[:2] if shape[2] == 1 else shape, numeric=numeric)}


def read_image(file: Any) -> NDArray[Any]:  # noqa: ANN401 - rasterio has no types
    """(H, W, C) numbers of an open file, or (H, W) where it has one band; in memory once."""
    values = np.empty((file.height, file.width, file.count), dtype=file.dtypes[0])
    file.read(out=values.transpose(2, 0, 1))
    return values[..., 0] if values.shape[2] == 1 else values


def read_georeference(file: Any) -> Georeference | None:  # noqa: ANN401 - rasterio has no types
    """Where the image of an open file lies, or None where the file doesn't tell."""
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
