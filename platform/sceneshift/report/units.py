"""What a pair's numbers are, below every table that scores it."""

from collections.abc import Mapping


def unit_lines(units: Mapping[str, str]) -> list[str]:
    """A line per pair, for a screen or below a table.

    Args:
        units: What :func:`sceneshift.catalogue.units.stated_units` gave.
    """
    return [f"Unit of {pair}: {told}." for pair, told in units.items()]
