"""Band centres and widths in nanometres, whatever the unit in the file.

They are optional everywhere: what can't be understood is reported and ignored.
"""

import logging
import math
import re
from collections.abc import Sequence

_log = logging.getLogger(__name__)

#: How many nanometres the units of files are, by their names in lower case.
_NANOMETERS = {
    **dict.fromkeys(("nanometers", "nanometres", "nanometer", "nanometre", "nm"), 1.0),
    **dict.fromkeys(("micrometers", "micrometres", "micrometer", "micrometre", "microns", "micron"), 1000.0),
    **dict.fromkeys(("um", "µm", "μm"), 1000.0),
    **dict.fromkeys(("angstroms", "angstrom", "\u00e5"), 0.1),
    **dict.fromkeys(("millimeters", "millimetres", "mm"), 1e6),
}

#: Units that mean "unknown".
_UNKNOWN = ("", "unknown", "none", "undefined")

#: Upper limit of a band centre in micrometres, and lower limit of a sensor's last band centre in nanometres.
_LARGEST_IN_MICROMETERS = 100.0

#: A wavelength with its unit, in a band's name such as ``band 3 (462.5 Nanometers)``.
_IN_A_NAME = re.compile(
    r"(?<![\d.])(\d+(?:\.\d+)?)\s*(" + "|".join(sorted(map(re.escape, _NANOMETERS), key=len, reverse=True)) + r")\b",
    re.IGNORECASE,
)


def in_nanometers(
    texts: Sequence[str], *, unit: str | None, bands: int, where: str, centres: Sequence[str] | None = None
) -> tuple[float, ...] | None:
    """Convert to nanometres; a missing unit is inferred from the size of the values, which is reported.

    Args:
        texts: Centres or widths as the file has them.
        unit: The unit's name in the file.
        bands: How many there should be.
        where: The file, and its key, for messages.
        centres: Where these are widths, the band centres, in the same unit: they show what a missing unit is.

    Returns:
        (C,) nanometres; None, with a warning, where the values are not positive numbers, one for each band, or the unit
        is no length.
    """
    try:
        values = [float(text) for text in texts]
        largest = max(float(text) for text in centres or texts)
    except ValueError:
        _passed_over(where, f"got {_short(texts)}", "numbers")
        return None
    if len(values) != bands:
        _passed_over(where, f"got {len(values)} values for {bands} bands", "one for each")
        return None
    if not all(math.isfinite(value) and value > 0 for value in values):
        _passed_over(where, f"got {_short(texts)}", "positive numbers")
        return None
    factor = _factor(unit, largest, where)
    if factor is not None and not 100 <= factor * largest <= 1000 * _LARGEST_IN_MICROMETERS:
        _passed_over(where, f"got wavelengths up to {largest:g} in {unit!r}", "those of light")
        return None
    return None if factor is None else tuple(value * factor for value in values)


def in_names(names: Sequence[str | None], *, where: str) -> tuple[float, ...] | None:
    """Band centres in nanometres out of the names of the bands, where every name has one; else None.

    Args:
        names: The C names.
        where: The file, for messages.
    """
    found = [None if name is None else _IN_A_NAME.search(name) for name in names]
    matches = [match for match in found if match is not None]
    if not matches or len(matches) != len(names) or len({match[2].lower() for match in matches}) != 1:
        return None
    return in_nanometers([match[1] for match in matches], unit=matches[0][2], bands=len(names), where=where)


def _factor(unit: str | None, largest: float, where: str) -> float | None:
    # "{Nanometers}", "Micrometer (um)" and "nanometers." are as clear as the bare name.
    name = re.sub(r"\(.*\)", "", (unit or "").strip(" {}\"'")).strip(" .").lower()
    if name in _NANOMETERS:
        return _NANOMETERS[name]
    if name in _UNKNOWN:
        factor = 1000.0 if largest < _LARGEST_IN_MICROMETERS else 1.0
        _log.warning(
            "%s has wavelengths up to %g without a unit: taken as %s",
            where,
            largest,
            "micrometres" if factor == 1000 else "nanometres",
        )
        return factor
    _passed_over(where, f"got wavelengths in {unit!r}", "nanometers or micrometers")
    return None


def _passed_over(where: str, got: str, expected: str) -> None:
    _log.warning("%s: %s; expected %s. It is ignored.", where, got, expected)


def _short(texts: Sequence[str]) -> str:
    text = ", ".join(texts)
    return repr(text if len(text) <= 60 else text[:57] + "…")
