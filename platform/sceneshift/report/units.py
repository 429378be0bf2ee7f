"""Lines with the units of a pair's values, shown below every table that scores it."""

from collections.abc import Mapping


def unit_lines(units: Mapping[str, str]) -> list[str]:
    """One line per pair, for a screen or below a table.

    Args:
        units: The result of :func:`sceneshift.catalogue.units.stated_units`.
    """
    return [f"Unit of {pair}: {unit}." for pair, unit in units.items()]
