"""Names of arrays within files, written behind the file: ``flight.mat:scene.cube``."""

import os
import re
from pathlib import Path

#: Files that hold several arrays; a name follows behind a colon.
_INSIDE = re.compile(r"(?P<file>.+\.(?:mat|npz)):(?P<name>[^/\\]+)", re.IGNORECASE | re.DOTALL)


def split_inside(path: str | Path) -> tuple[Path, str | None]:
    """Split ``FILE:NAME`` into the file and the name of an array in it.

    Args:
        path: A path. Only ``.mat`` and ``.npz`` files hold several arrays; a file whose name has such a colon in it
            and exists is taken as it is.

    Returns:
        The file, and the array's name or None.
    """
    text = os.fspath(path)
    found = _INSIDE.fullmatch(text)
    if found is None or os.path.exists(text):
        return Path(text), None
    return Path(found["file"]), found["name"]


def is_file(path: str | Path) -> bool:
    """Whether the file of a path, which may have the name of an array behind it, is there."""
    return os.path.isfile(os.path.expanduser(split_inside(path)[0]))


def with_inside(file: Path, name: str | None) -> Path:
    """The path that :func:`split_inside` splits so."""
    return file if name is None else Path(f"{file}:{name}")
