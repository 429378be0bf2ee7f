"""What a command prints while it works: log messages, progress, how to resume. Imports nothing heavy."""

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sceneshift.addresses import without_secrets
from sceneshift.commands.progress import say
from sceneshift.errors import SceneshiftError

if TYPE_CHECKING:
    from sceneshift.execution.executor import StopRequest

#: Seconds between two lines of progress.
SECONDS_BETWEEN_LINES = 5.0


class _Console(logging.Handler):
    """Prints the package's log messages as plain lines: information on standard output, warnings on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        say(without_secrets(record.getMessage()), file=stream)


def show_log() -> None:
    """Print what the package logs; takes effect once per process."""
    log = logging.getLogger("sceneshift")
    if not any(isinstance(handler, _Console) for handler in log.handlers):
        log.addHandler(_Console())
        log.setLevel(logging.INFO)
        log.propagate = False


def error_text(error: SceneshiftError, resume: Callable[[], str]) -> str:
    """Format an error for the last lines of a command.

    Args:
        error: The error that ended the command.
        resume: Returns the command to resume; called only if there is something to resume.
    """
    return f"error: {error}" + (how_to_resume(resume()) if error.resumable else "")


def how_to_resume(command: str) -> str:
    """The last lines, with the command to resume; empty without a command."""
    return f" To resume:\n  {command}" if command else ""


def interrupting(stop: "StopRequest") -> Callable[[], bool]:
    """Ctrl-C's handler while an executor checks a stop request: sets it; returns False if nothing checks it."""
    from sceneshift.execution.executor import StopReason

    def ask() -> bool:
        if stop.is_heard:
            stop.request(StopReason.INTERRUPTED)
        return stop.is_heard

    return ask


class ProgressLine:
    """Prints one line every few seconds: epoch, loss terms, validation, and an estimate of the remaining time.

    Args:
        epochs: Total number of epochs.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._first: tuple[int, float] | None = None
        self._shown_at = -SECONDS_BETWEEN_LINES

    def show(self, epoch: int, metrics: dict[str, float]) -> None:
        """Print an epoch if enough time has passed since the last line."""
        now = time.monotonic()
        if self._first is None:
            self._first = (epoch, now)
        if now - self._shown_at < SECONDS_BETWEEN_LINES and epoch < self._epochs:
            return
        self._shown_at = now
        terms = {key.rsplit("/", 1)[1]: v for key, v in metrics.items() if key.startswith("train/")}
        words = [f"{name} {value:.4f}" for name, value in terms.items()]
        if "val/aa" in metrics:
            words.append(f"val AA {100 * metrics['val/aa']:.1f}")
        first, begun = self._first
        left = ""
        if first < epoch < self._epochs:
            seconds = (now - begun) / (epoch - first) * (self._epochs - epoch)
            left = f", {seconds:.0f} s left" if seconds < 90 else f", {seconds / 60:.0f} min left"
        print(f"epoch {epoch:>4}/{self._epochs}  {'  '.join(words)}{left}", flush=True)
