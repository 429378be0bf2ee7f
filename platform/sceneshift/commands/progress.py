"""Progress of long work: a bar on a terminal, and elsewhere a line every few seconds."""

import shutil
import sys
from typing import Any, TextIO

#: Seconds after which long work begins to report its progress.
SECONDS_BETWEEN_LINES = 5.0


def progress_bar(*, total: int, unit: str, initial: int = 0) -> Any:  # noqa: ANN401 - tqdm has no types
    """A tqdm bar, to be used as a context manager.

    On a terminal it is drawn on standard error. Elsewhere, as in a log file, lines without carriage returns go to
    standard output; work that is done before the first is due leaves none.

    Args:
        total: Of what is counted.
        unit: What is counted, in the plural.
        initial: How much was done before, which says nothing of what is left.
    """
    from tqdm import tqdm

    words = "{percentage:3.0f} % of {total_fmt} {unit}, {remaining} left{postfix}"
    on_terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=initial,
        unit=unit,
        file=sys.stderr if on_terminal else _Lines(sys.stdout),
        bar_format=f"{words} [{{bar:30}}]" if on_terminal else f"  {words}",
        mininterval=0.1 if on_terminal else SECONDS_BETWEEN_LINES,
        delay=0 if on_terminal else SECONDS_BETWEEN_LINES,
        miniters=1,  # by the clock alone
        # tqdm draws nothing on a terminal that reports no size, as some in containers do.
        ncols=shutil.get_terminal_size().columns if on_terminal else None,
        nrows=shutil.get_terminal_size().lines,
    )


def say(text: str, *, file: TextIO | None = None) -> None:
    """Print a line; above bars and live regions, where some are drawn.

    Args:
        text: The line.
        file: Standard output by default.
    """
    stream = file or sys.stdout
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(text, file=stream)
        stream.flush()
    else:
        print(text, file=stream, flush=True)


class ProgressBars:
    """A bar for each long thing whose progress it hears, closed when that is done."""

    def __init__(self) -> None:
        self._bars: dict[str, Any] = {}

    def show(self, what: str, done: int, total: int) -> None:
        """Draw how far something is.

        Args:
            what: It, and its unit in the plural, such as "mapping sw-se, pixels".
            done: How many.
            total: Of how many.
        """
        bar = self._bars.get(what)
        if bar is None:
            bar = self._bars[what] = progress_bar(total=total, unit=what)
        bar.update(done - bar.n)
        if done >= total:
            bar.close()
            del self._bars[what]


class _Lines:
    """A stream on which each redrawing of a bar is a new line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if words := text.strip("\r\n").rstrip():
            self._stream.write(f"{words}\n")

    def flush(self) -> None:
        self._stream.flush()
