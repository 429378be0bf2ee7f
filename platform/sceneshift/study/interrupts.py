"""Ctrl-C: once ends cleanly, twice ends at once; both say how to go on. Imports nothing heavy."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

#: The exit status of a process that Ctrl-C ended.
INTERRUPTED_STATUS = 130


class Interrupts:
    """Takes SIGINT while it is entered; in another thread than the main one it does nothing.

    Args:
        how_to_go_on: What to print at the end, or an empty text where nothing had begun; asked when it is needed.
    """

    def __init__(self, how_to_go_on: Callable[[], str]) -> None:
        self._how_to_go_on = how_to_go_on
        self._instead: Callable[[], None] | None = None
        self._count = 0

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)

    @contextlib.contextmanager
    def diverted(self, instead: Callable[[], None]) -> Iterator[None]:
        """For a while, call a function at the first Ctrl-C, where KeyboardInterrupt would be raised otherwise."""
        self._instead = instead
        try:
            yield
        finally:
            self._instead = None

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            end_process("Stopped at once.", self._how_to_go_on(), INTERRUPTED_STATUS)
        # Not print: what was interrupted may be printing.
        os.write(2, b"\nStopping. Interrupt once more to stop at once.\n")
        if self._instead is None:
            raise KeyboardInterrupt
        self._instead()


def end_process(what: str, how_to_go_on: str, status: int) -> None:
    """End this process now, whatever hangs in it; Ray's processes of its own end with it."""
    os.write(2, f"\n{what}{how_to_go_on}\n".encode())
    os._exit(status)


def go_on_with(command: str) -> str:
    """The last lines of something that can be gone on with."""
    return f" Go on with:\n  {command}" if command else ""
