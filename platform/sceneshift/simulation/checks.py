"""What every setting of a simulation is checked by."""

import math

from sceneshift.errors import InvalidInputError


def check_within(owner: str, name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse a number that is not finite or not within ``[low, high]``.

    Raises:
        InvalidInputError: Naming the value and the range.
    """
    if not (_is_number(value) and low <= value <= high):
        expected = f"a number >= {low:g}" if math.isinf(high) else f"a number from {low:g} to {high:g}"
        raise InvalidInputError(f"{owner}: {name} = {value!r}; expected {expected}.")


def check_positive(owner: str, name: str, value: float) -> None:
    """Refuse a number that is not finite or not above zero.

    Raises:
        InvalidInputError: Naming the value.
    """
    if not (_is_number(value) and value > 0):
        raise InvalidInputError(f"{owner}: {name} = {value!r}; expected a number > 0.")


def check_count(owner: str, name: str, value: int, low: int) -> None:
    """Reject what is not a whole number of at least ``low``.

    Raises:
        InvalidInputError: Naming the value.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise InvalidInputError(f"{owner}: {name} = {value!r}; expected a whole number >= {low}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
