"""The errors a user can meet, under one root.

A message says what was got, what was expected, and what to do next.
"""

import difflib
from collections.abc import Iterable


class SceneshiftError(Exception):
    """Root of every error this package raises on purpose.

    ``resumable`` tells whether what it ended can be resumed.
    """

    resumable: bool = False


class InvalidInputError(SceneshiftError, ValueError):
    """The user's input is at fault: an argument, a file's content, a configuration."""


class MissingDataError(SceneshiftError, FileNotFoundError):
    """A file or package that holds data is not where it was looked for."""


class MissingPackageError(SceneshiftError, ImportError):
    """An optional package that this needs is not installed."""


class ResourceError(SceneshiftError):
    """What was asked for does not fit the machine or the cluster."""


class StudyError(SceneshiftError):
    """A study can't be opened, resumed or closed in the state it is in."""


class StorageError(StudyError):
    """What a study keeps can't be written: a disk that is full, gone or read-only. Mended, the study can be resumed."""


def first_line(error: BaseException) -> str:
    """What an error says in its first line, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known name closest to ``name``, or an empty string.

    In parentheses it can stand behind the name in the middle of a sentence as well as at its end.
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
