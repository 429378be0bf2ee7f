"""Folders that libraries write their own files to: looked at before they are needed, and replaced by one of our own.

In many containers a process has a user id without a name, a home that is missing or can't be written, and code that
is read-only. Numba, Ray, MLflow and Matplotlib each fail on some of that, with a traceback.
"""

import functools
import getpass
import os
import shutil
import stat
import tempfile
from pathlib import Path

from sceneshift.errors import ResourceError

#: Bytes that must be free where a cache is to be kept.
_ROOM = 16 * 2**20

#: Where caches go if the home can't be written, by the variable that says so; the user's own values are kept.
_IN_HOME = {
    "MPLCONFIGDIR": "matplotlib",
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
}


def is_usable(folder: Path, *, room: int = _ROOM) -> bool:
    """Whether files can be written in a folder; it is made if it isn't there.

    Args:
        folder: The folder.
        room: Bytes that must be free.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            probe.write(bytes(4096))  # a full disk may still take an empty file
            probe.flush()
        return shutil.disk_usage(folder).free >= room
    except OSError:
        return False


def temporary_folder() -> Path:
    """The folder for temporary files: ``TMPDIR``, or the system's if that can't be written.

    Raises:
        ResourceError: None can be written.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        given = os.environ.get("TMPDIR")
        raise ResourceError(
            f"no folder for temporary files can be written ({'TMPDIR is not set' if not given else f'TMPDIR={given}'}, "
            "/tmp, /var/tmp): set TMPDIR to a folder that can be, with room for some hundred megabytes."
        ) from error


@functools.cache
def private_folder() -> Path:
    """A folder for temporary files that is this user's alone; the processes of a user share it.

    What another user could have put there would be run: a folder that is not this user's alone is not taken.

    Raises:
        ResourceError: None can be made.
    """
    base = temporary_folder()
    folder = base / f"sceneshift-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077:
            return folder
        return Path(tempfile.mkdtemp(prefix="sceneshift-"))
    except OSError as error:
        raise ResourceError(f"{base} can't be written: set TMPDIR to a folder that can be.") from error


@functools.cache
def ensure_home() -> None:
    """Give this process and its children a home and a user's name where they have none, and caches that can be written.

    To be called before Ray, MLflow or Matplotlib is imported: they read the environment then.

    Raises:
        ResourceError: A folder of our own is needed, and none can be made.
    """
    temporary_folder()
    home = Path(os.path.expanduser("~"))
    if not home.is_absolute() or not home.is_dir():
        home = private_folder() / "home"
        home.mkdir(mode=0o700, exist_ok=True)
    os.environ["HOME"] = str(home)
    try:
        getpass.getuser()
    except (KeyError, OSError):  # a user id without a name; the latter from Python 3.13 on
        os.environ["USER"] = f"user-{os.getuid()}"
    if not is_usable(home, room=0):
        for variable, name in _IN_HOME.items():
            os.environ.setdefault(variable, str(private_folder() / name))
