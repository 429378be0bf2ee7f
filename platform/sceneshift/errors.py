"""The errors that users may see, under one root.

A message says what was given, what was expected, and what to do next.
"""

import difflib
from collections.abc import Iterable

from sceneshift.addresses import without_secrets


class SceneshiftError(Exception):
    """Root of every error this package raises on purpose.

    ``resumable`` says whether the search or training that it ended can be resumed. The message shows no password of an
    address, whatever its origin.
    """

    resumable: bool = False

    def __init__(self, *args: object) -> None:
        super().__init__(*(without_secrets(value) if isinstance(value, str) else value for value in args))


class InvalidInputError(SceneshiftError, ValueError):
    """The user's input is at fault: an argument, a file's content, a configuration."""


class NoClassNamesError(InvalidInputError):
    """A label map's classes have no names, neither in a file nor given.

    Args:
        what: The message.
        num_classes: K.
    """

    def __init__(self, what: str, num_classes: int) -> None:
        super().__init__(what)
        self.num_classes = num_classes

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        """Pickled by its arguments, so that it crosses a process."""
        return type(self), (str(self), self.num_classes)


class MissingDataError(SceneshiftError, FileNotFoundError):
    """A file or package with data was not found."""


class MissingPackageError(SceneshiftError, ImportError):
    """A required optional package is not installed."""


class ResourceError(SceneshiftError):
    """The requested resources do not fit the machine or the cluster."""


class StudyError(SceneshiftError):
    """A study can't be opened, resumed or closed in the state it is in."""


class StorageError(StudyError):
    """A study's files can't be written: the disk is full, missing or read-only. The study can be resumed afterwards."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without passwords of addresses, or its type if there is none."""
    lines = without_secrets(str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known name closest to ``name``, or an empty string.

    In parentheses it can follow the name in the middle or at the end of a sentence.
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
