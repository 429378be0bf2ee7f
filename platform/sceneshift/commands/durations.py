"""Durations as they are printed. Imports nothing heavy."""

import math


def duration_text(seconds: float) -> str:
    """Hours with one digit, or whole minutes, rounded up."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{math.ceil(seconds / 60)} min"
