"""The files a local Ray needs before it starts: a folder for its sessions, with sockets in it, and its token."""

import os
import secrets
from pathlib import Path

from sceneshift.errors import ResourceError
from sceneshift.own_folders import is_usable, private_folder, temporary_folder

#: Ray's longest socket below the folder of its sessions. The system takes paths of 107 bytes.
_SOCKET, _LONGEST = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1", 107

#: Bytes that must be free for logs, and for objects that memory has no room for.
_ROOM = 64 * 2**20

#: Folders of most systems that a short path leads to; the last is in memory.
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")


def session_folder() -> Path:
    """The folder for Ray's sessions: below ``RAY_TMPDIR`` or the temporary folder, or a short one.

    Schedulers give jobs temporary folders whose paths are too long for a socket.

    Raises:
        ResourceError: None is short, can be written and has room; the message names the variable to set.
    """
    if given := os.environ.get("RAY_TMPDIR"):
        if (folder := _below(Path(given).absolute())) is None:
            raise ResourceError(f"RAY_TMPDIR={given}: {_wrong(Path(given).absolute())}. Set it to {_WANTED}.")
        return folder
    tried = [temporary_folder(), *map(Path, _SHORT)]
    if (folder := next(filter(None, map(_below, tried)), None)) is None:
        reasons = ", ".join(f"{place} {_wrong(place)}" for place in dict.fromkeys(tried))
        raise ResourceError(f"there is no folder for Ray's sockets ({reasons}). Set RAY_TMPDIR to {_WANTED}.")
    return folder


_WANTED = f"a folder with a short path (at most {_LONGEST - len(_SOCKET) - len('//ray/')} bytes) that can be written"


def _below(base: Path) -> Path | None:
    """Ray's folder in a temporary folder; one of this user's own if another user's Ray has that name."""
    for folder in (base / "ray", base / f"ray-{os.getuid()}"):
        if _is_short(folder) and is_usable(folder, room=_ROOM):
            return folder
    return None


def _is_short(folder: Path) -> bool:
    return len(os.fsencode(folder / _SOCKET)) <= _LONGEST


def _wrong(base: Path) -> str:
    if not _is_short(base / "ray"):
        return "has too long a path for a socket"
    return f"can't be written, or has less than {_ROOM // 2**20} MiB free"


def ensure_token() -> None:
    """Have a token for a local Ray where it could not keep its own in ``~/.ray``.

    Raises:
        ResourceError: No folder can be written.
    """
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return
    kept = Path(os.path.expanduser("~")) / ".ray" / "auth_token"
    try:
        if kept.read_text().strip():
            return
    except OSError:
        pass
    if not kept.exists() and is_usable(kept.parent, room=0):
        return
    own = private_folder() / "ray_auth_token"
    if not own.exists():
        own.touch(mode=0o600)
        own.write_text(secrets.token_hex(32))
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(own)
