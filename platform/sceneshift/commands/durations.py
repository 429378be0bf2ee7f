"""Durations as they are printed. Imports nothing heavy."""

import math


def duration_text(seconds: float) -> str:
    """Days or hours with one digit, or whole minutes, rounded up."""
    if seconds >= 2 * 24 * 3600:
        return f"{seconds / 24 / 3600:.1f} days"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{math.ceil(seconds / 60)} min"
