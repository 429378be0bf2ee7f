"""Where the files of published scenes are: a folder the user names, with or without one subfolder per scene."""

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from sceneshift.catalogue.entries import Files
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.safe_files import expanded

#: The environment variable that names the folder where no argument does.
DATA_VARIABLE = "SCENESHIFT_DATA"


def find_form(
    scene: str, forms: Sequence[Files], data_dir: str | None, *, with_masks: bool = False
) -> tuple[Files, dict[str, Path]]:
    """Find the first form of a scene whose files are all there.

    Looked in are ``<data_dir>/<scene>`` (upper or lower case) and then ``data_dir`` itself.

    Args:
        scene: The scene's name.
        forms: The forms in which its files are distributed.
        data_dir: The folder; None takes what :data:`DATA_VARIABLE` says.
        with_masks: Whether the masks the scene was published with are needed too.

    Returns:
        The form, and where each of its needed files is.

    Raises:
        MissingDataError: Naming every missing file, the folders looked in and what to do.
    """
    folders = data_folders(scene, data_dir)
    lacking = []
    for form in forms:
        found = _locate(form.needed(with_masks=with_masks), folders)
        missing = [file for file, path in found.items() if path is None]
        if not missing:
            return form, {file: path for file, path in found.items() if path is not None}
        lacking.append(" and ".join(missing))
    raise MissingDataError(
        f"scene {scene!r} lacks {', or '.join(lacking)}; looked in {' and '.join(map(str, folders))}. Put the files in "
        f"one of these folders, or name another by --data-dir or {DATA_VARIABLE}."
    )


def _locate(files: Iterable[str], folders: Sequence[Path]) -> dict[str, Path | None]:
    return {file: next((folder / file for folder in folders if os.path.isfile(folder / file)), None) for file in files}


def data_folder(data_dir: str | None) -> Path | None:
    """The data folder an argument names, else :data:`DATA_VARIABLE`; None where neither does. It may not be there."""
    named = data_dir if data_dir is not None else os.environ.get(DATA_VARIABLE)
    return expanded(named) if named else None


def data_folders(scene: str, data_dir: str | None) -> list[Path]:
    """The folders that are searched for a scene's files, the more likely first.

    Args:
        scene: The scene's name; a folder of that name, upper or lower case, is its own.
        data_dir: The data folder; None takes what :data:`DATA_VARIABLE` says.

    Raises:
        MissingDataError: Neither names a folder, or it is not there.
    """
    root = data_folder(data_dir)
    if root is None:
        raise MissingDataError(
            f"the files of scene {scene!r} don't come with this package: put them in a folder and name it by "
            f"--data-dir, or by the environment variable {DATA_VARIABLE}."
        )
    if not os.path.isdir(root):
        raise MissingDataError(
            f"the data folder {root} (from {'--data-dir' if data_dir is not None else DATA_VARIABLE}) is not there; "
            f"make it and put the files of scene {scene!r} in it, or name another."
        )
    if not os.access(root, os.R_OK | os.X_OK):
        raise InvalidInputError(
            f"the data folder {root}: no permission to look into it; try `chmod u+rx {shlex.quote(str(root))}`."
        )
    own = sorted(path for path in root.iterdir() if path.name.lower() == scene.lower() and path.is_dir())
    return [*(own or [root / scene]), root]
