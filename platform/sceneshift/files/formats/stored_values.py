"""How a file's stored numbers become values: a gain and an offset per band, as the file declares them.

GeoTIFF and ENVI images often hold integers and say how to convert them: GDAL's scale and offset per band (ENVI: ``data
gain values`` and ``data offset values``), or ENVI's ``reflectance scale factor``, which is divided by. What a file
declares is applied once, when a scene is read from it.

Shape letters: H rows, W columns, C bands.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError

_log = logging.getLogger(__name__)

#: What a reflectance scale factor gives.
REFLECTANCE = "reflectance"

#: Numbers that are this small, and are to be divided by at least that, were divided before: no sensor's reflectance
#: runs to 0.02 only. Programs that convert to floating point often leave the header as it was.
_LARGEST_REFLECTANCE, _LEAST_FACTOR = 2.0, 100.0

#: Numbers checked for that.
_SAMPLE = 2**20

#: Two declarations of one scale differ by rounding only.
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class StoredValues:
    """The conversion ``value = stored * gain + offset``.

    Args:
        gains: (C,) finite, not 0.
        offsets: (C,) finite.
        unit: What the values are; None where the file doesn't say.

    Raises:
        InvalidInputError: A gain is 0, or a number is not finite.
    """

    gains: tuple[float, ...]
    offsets: tuple[float, ...]
    unit: str | None = None

    def __post_init__(self) -> None:
        for band, (gain, offset) in enumerate(zip(self.gains, self.offsets, strict=True)):
            if not (math.isfinite(gain) and math.isfinite(offset)) or gain == 0:
                raise InvalidInputError(
                    f"band {band} has the scale {gain:g} and the offset {offset:g}; expected finite numbers, and a "
                    "scale other than 0. Correct them in the file."
                )

    @classmethod
    def by_bands(cls, scales: Sequence[float], offsets: Sequence[float]) -> Self | None:
        """GDAL's scale and offset per band; None if they change nothing."""
        if all(scale == 1 for scale in scales) and not any(offsets):
            return None
        return cls(gains=tuple(map(float, scales)), offsets=tuple(map(float, offsets)))

    @classmethod
    def by_factor(cls, factor: float, bands: int) -> Self:
        """What ENVI's ``reflectance scale factor`` declares for an image of C bands."""
        return cls(gains=(1 / factor,) * bands, offsets=(0.0,) * bands, unit=REFLECTANCE)

    def of_bands(self, bands: Sequence[int] | NDArray[np.intp]) -> Self:
        """The conversion of some of the bands, given by their places."""
        return replace(
            self, gains=tuple(self.gains[band] for band in bands), offsets=tuple(self.offsets[band] for band in bands)
        )

    def is_division_by(self, scale: float) -> bool:
        """Whether this is what a division by a scale is, up to rounding."""
        return not any(self.offsets) and all(math.isclose(gain * scale, 1, rel_tol=_ROUNDING) for gain in self.gains)

    def is_applied(self, values: NDArray[np.generic], ignored: float | None) -> bool:
        """Whether numbers seem to have been converted to reflectance before.

        Args:
            values: (H, W, C) as they are stored.
            ignored: The file's value for missing data.
        """
        if self.unit != REFLECTANCE or max(self.gains) * _LEAST_FACTOR > 1 or values.dtype.kind != "f":
            return False
        sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
        sample = sample[np.isfinite(sample) & (sample != (np.nan if ignored is None else ignored))]
        return sample.size > 0 and float(np.quantile(np.abs(sample), 0.99)) <= _LARGEST_REFLECTANCE

    def apply(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        """Convert (H, W, C) stored numbers to float32 values, row by row."""
        converted = np.empty(values.shape, dtype=np.float32)
        gains, offsets = np.array(self.gains), np.array(self.offsets)
        for row, stored in enumerate(values):
            converted[row] = stored.astype(np.float64) * gains + offsets
        return converted

    def __str__(self) -> str:
        """The conversion in a few words."""
        if self.is_division_by(1 / self.gains[0]):
            words = f"numbers / {1 / self.gains[0]:g}"
        elif len(set(self.gains)) == len(set(self.offsets)) == 1:
            words = f"numbers x {self.gains[0]:g} + {self.offsets[0]:g}"
        else:
            words = f"numbers x {min(self.gains):g} to {max(self.gains):g} + {min(self.offsets):g} to "
            words += f"{max(self.offsets):g}, by band"
        return words + ("" if self.unit is None else f" = {self.unit}")


def stored_in_envi(
    factor_text: str | None, scales: Sequence[float], offsets: Sequence[float], *, where: str
) -> StoredValues | None:
    """What an ENVI header declares: a reflectance scale factor goes before gains, which are those of the raw numbers.

    Args:
        factor_text: The header's ``reflectance scale factor``, or None.
        scales: (C,) gains as GDAL reads them.
        offsets: (C,) offsets as GDAL reads them.
        where: The header, for messages. A factor that is not a positive number is reported and ignored.

    Raises:
        InvalidInputError: A gain is 0, or a number is not finite.
    """
    by_bands = StoredValues.by_bands(scales, offsets)
    if factor_text is None:
        return by_bands
    try:
        factor = float(factor_text.strip("{} "))
    except ValueError:
        factor = math.nan
    if not (math.isfinite(factor) and 1e-30 <= factor <= 1e30):
        _log.warning(
            "%s, reflectance scale factor: got %r; expected a positive number. It is ignored.", where, factor_text
        )
        return by_bands
    by_factor = StoredValues.by_factor(factor, len(scales))
    if by_bands is not None and not by_bands.is_division_by(factor):
        _log.warning(
            "%s has a reflectance scale factor (%s) and other gains or offsets (%s): the factor is taken",
            where,
            by_factor,
            by_bands,
        )
    return by_factor
