"""What a pair's numbers are, below every table that scores it."""

from collections.abc import Mapping, Sequence

from sceneshift.catalogue.units import describe_units
from sceneshift.splits.pair import ScenePair


def stated_units(pairs: Sequence[ScenePair]) -> dict[str, str]:
    """The units that scenes state, by pair, as plain values; a pair whose scenes state none is left out."""
    return {pair.name: units for pair in pairs if (units := describe_units(pair)) is not None}


def unit_lines(units: Mapping[str, str]) -> list[str]:
    """A line per pair, for a screen or below a table.

    Args:
        units: What :func:`stated_units` gave.
    """
    return [f"Unit of {pair}: {told}." for pair, told in units.items()]
