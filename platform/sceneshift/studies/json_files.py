"""Small files of plain values that a study keeps while it runs: written whole or not at all."""

import json
from pathlib import Path
from typing import Any

from sceneshift.errors import StorageError, StudyError, first_line
from sceneshift.safe_files import replacing


def read_json(path: Path, *, advice: str) -> Any:  # noqa: ANN401
    """Read a file of plain values; None if it doesn't exist.

    Args:
        path: The file.
        advice: What to do about a damaged file, such as "delete it to train again".

    Raises:
        StudyError: It is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} is damaged ({first_line(error)}); {advice}.") from error


def write_json(path: Path, values: Any, *, indent: int | None = None) -> None:  # noqa: ANN401
    """Write a file of plain values in place of one that is there; its folder is made.

    Args:
        path: The file.
        values: What JSON can hold.
        indent: Spaces of indentation, for files that people read; None writes one line.

    Raises:
        StorageError: It can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(values, indent=indent) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{path} can't be written ({first_line(error)}). Make room, then start the command again."
        ) from error
