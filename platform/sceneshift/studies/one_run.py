"""One run at a time in a folder."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from sceneshift.errors import ResourceError, StorageError, first_line


@contextlib.contextmanager
def only_one(folder: Path, *, flag: str) -> Iterator[None]:
    """Refuse a second run in the same folder: the two would train the same.

    Args:
        folder: The folder; it is made.
        flag: The flag that names another folder, for messages.

    Raises:
        ResourceError: Another run is at work there.
        StorageError: It can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise StorageError(f"{folder} can't be written ({first_line(error)}); give another {flag}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ResourceError(
                f"another command is training in {folder}; wait for it, or give another {flag}."
            ) from error
        yield
