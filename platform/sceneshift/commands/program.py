"""How this process was started: as a script of ``experiments/``, or by the console command ``sceneshift``.

Messages that say what to type next follow it. Imports nothing heavy.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: The words after ``sceneshift`` that name the command, such as ``["train"]``; empty in a script.
_command: list[str] = []


@contextmanager
def console_command(name: str) -> Iterator[None]:
    """A context in which the command line is that of ``sceneshift NAME``."""
    _command.append(name)
    try:
        yield
    finally:
        _command.pop()


def arguments() -> list[str]:
    """The words of the command line after the script, or after ``sceneshift NAME``."""
    return sys.argv[1 + len(_command) :]


def shown() -> str:
    """What a user types before the arguments."""
    return " ".join(["sceneshift", *_command] if _command else ["python", _relative(sys.argv[0])])


def start() -> list[str]:
    """The words that start this program again, from any folder and without an activated environment."""
    return [sys.argv[0], *_command] if _command else [sys.executable, sys.argv[0]]


def other(name: str) -> list[str]:
    """The words that start another command, such as ``promote``, in the way this one was started."""
    return ["sceneshift", name] if _command else ["python", f"experiments/{name}.py"]


def _relative(path: str) -> str:
    absolute, here = Path(path).absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else path
