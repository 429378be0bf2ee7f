"""Band centres and widths in nanometres, whatever unit a file has them in."""

import logging
from collections.abc import Sequence

from sceneshift.errors import InvalidInputError

_log = logging.getLogger(__name__)

#: How many nanometres the units of files are, by their names in lower case.
_NANOMETERS = {
    "nanometers": 1.0,
    "nanometres": 1.0,
    "nanometer": 1.0,
    "nm": 1.0,
    "micrometers": 1000.0,
    "micrometres": 1000.0,
    "micrometer": 1000.0,
    "microns": 1000.0,
    "um": 1000.0,
    "µm": 1000.0,
    "μm": 1000.0,
}

#: No band of a hyperspectral sensor lies beyond so many micrometres, or below so many nanometres.
_LARGEST_IN_MICROMETERS = 100.0


def in_nanometers(values: Sequence[float], *, unit: str | None, largest: float, where: str) -> tuple[float, ...]:
    """Convert to nanometres; a missing unit is inferred from the size of the values, which is reported.

    Args:
        values: Centres or widths.
        unit: The unit's name in the file.
        largest: The largest band centre, in the same unit.
        where: The file, for messages.

    Raises:
        InvalidInputError: The unit is no length this package knows.
    """
    name = (unit or "unknown").strip().lower()
    if name in _NANOMETERS:
        factor = _NANOMETERS[name]
    elif name in ("unknown", "none", ""):
        factor = 1000.0 if largest < _LARGEST_IN_MICROMETERS else 1.0
        _log.warning(
            "%s has wavelengths up to %g without a unit: taken as %s",
            where,
            largest,
            "micrometres" if factor == 1000 else "nanometres",
        )
    else:
        raise InvalidInputError(
            f"{where}: wavelengths in {unit!r}; expected nanometers or micrometers. Write them so in the file's header."
        )
    return tuple(value * factor for value in values)
