"""Ctrl-C: once ends cleanly, twice ends immediately; both print how to resume. Imports nothing heavy."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

#: The exit status of a process that Ctrl-C ended.
INTERRUPTED_STATUS = 130


class Interrupts:
    """Handles SIGINT within a ``with`` block; outside the main thread it does nothing.

    Args:
        how_to_resume: Returns what to print at the end, or an empty text if nothing had begun; called when needed.
    """

    def __init__(self, how_to_resume: Callable[[], str]) -> None:
        self._how_to_resume = how_to_resume
        self._instead: Callable[[], bool] | None = None
        self._count = 0

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)

    @contextlib.contextmanager
    def diverted(self, instead: Callable[[], bool]) -> Iterator[None]:
        """Within the block, call a function at the first Ctrl-C; if it returns False, KeyboardInterrupt is raised."""
        self._instead = instead
        try:
            yield
        finally:
            self._instead = None

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            end_process("Stopped at once.", self._how_to_resume(), INTERRUPTED_STATUS)
        # Not print(): the interrupted code may be inside a print.
        os.write(2, b"\nStopping. Interrupt once more to stop at once.\n")
        if self._instead is None or not self._instead():
            raise KeyboardInterrupt


def end_process(what: str, how_to_resume: str, status: int) -> None:
    """End this process immediately, even if it hangs; the Ray processes it started end with it."""
    os.write(2, f"\n{what}{how_to_resume}\n".encode())
    os._exit(status)
