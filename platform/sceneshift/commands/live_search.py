"""A search while it runs: on a terminal a region that is redrawn, in a log a line every half minute."""

import math
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from sceneshift.search.trial_record import TrialRecord

#: Seconds between two drawings on a terminal, between two lines of a log, and before a log's first line.
_REDRAW_S, _LINE_S, _FIRST_LINE_S = 0.5, 30.0, 5.0

#: Running trials that are shown.
_MOST_RUNNING = 8


def score_text(value: float | None, metric: str) -> str:
    """A trial's score: accuracies in percent, as in every table; other strategies' scores as they are.

    Args:
        value: The score; None of a trial without one.
        metric: Its name.
    """
    if value is None:
        return f"{metric} —"
    return f"{metric} " + (f"{100 * value:.1f}" if metric.startswith("val/") else f"{value:.4g}")


class LiveSearch:
    """Shows elapsed and remaining time, trials done and running, and the best so far.

    Args:
        num_samples: Number of trials.
        epochs: Epochs of a trial that is not stopped early.
        metric: The score that steers the search.
        time_budget_s: Seconds of the search; None for no limit.
        finished: Trials that had ended before.
        on_terminal: Whether to redraw; otherwise lines are printed. By default whether standard error is a terminal.
        clock: Seconds.
    """

    def __init__(
        self,
        *,
        num_samples: int,
        epochs: int,
        metric: str,
        time_budget_s: float | None,
        finished: int = 0,
        on_terminal: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._num_samples, self._epochs, self._metric = num_samples, epochs, metric
        self._time_budget_s, self._finished, self._clock = time_budget_s, finished, clock
        self._on_terminal = sys.stderr.isatty() if on_terminal is None else on_terminal
        self._began = clock()
        self._records: dict[int, TrialRecord] = {}
        self._floor: tuple[str, float] | None = None
        self._bars: list[Any] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to draw, in a thread."""
        self._thread = threading.Thread(target=self._work, name="live-search", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End drawing and remove the region; may be called twice."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._draw([])

    def changed(self, record: TrialRecord) -> None:
        """Take a trial's newest record."""
        with self._lock:
            self._records[record.number] = record

    def floor(self, name: str, aa: float) -> None:
        """Take what a spectral floor reaches on the validation pixels.

        Args:
            name: Its name.
            aa: Average accuracy, a fraction; mean over pairs.
        """
        with self._lock:
            self._floor = name, aa

    def lines(self) -> list[str]:
        """What is shown: a line about the search, one about scores if there are any, and one per running trial."""
        with self._lock:
            records, floor = list(self._records.values()), self._floor
        done = self._finished + sum(record.is_finished for record in records)
        elapsed = self._clock() - self._began
        scores: list[str] = []
        scored = [record for record in records if record.value is not None and math.isfinite(record.value)]
        if scored:
            best = max(scored, key=lambda record: (record.is_complete, record.value))
            scores.append(f"best {score_text(best.value, self._metric)} (trial {best.number}, epoch {best.last_epoch})")
        if floor is not None:
            scores.append(f"{floor[0]} {100 * floor[1]:.1f}")
        running = [record for record in records if record.state == "running"]
        return [
            f"{self._times(elapsed, done)} · {done} of {self._num_samples} trials done",
            *([" · ".join(scores)] if scores else []),
            *(
                f"  trial {record.number:>3}  epoch {record.last_epoch:>3}/{self._epochs}  "
                f"{score_text(record.value, self._metric)}"
                for record in running[:_MOST_RUNNING]
            ),
        ]

    def _times(self, elapsed: float, done: int) -> str:
        left = None
        if self._time_budget_s is not None:
            left = max(0.0, self._time_budget_s - elapsed)
        new = done - self._finished
        if new > 0:
            by_trials = elapsed / new * (self._num_samples - done)
            left = by_trials if left is None else min(left, by_trials)
        return f"{_clock_text(elapsed)} elapsed" + ("" if left is None else f", at most {_clock_text(left)} left")

    def _work(self) -> None:
        if self._on_terminal:
            while not self._ending.wait(_REDRAW_S):
                self._draw(self.lines())
            return
        while not self._records_an_epoch():
            if self._ending.wait(_REDRAW_S):
                return
        wait = _FIRST_LINE_S
        while not self._ending.wait(wait):
            first, *running = self.lines()
            print("; ".join([first, *(" ".join(line.split()) for line in running)]), flush=True)
            wait = _LINE_S

    def _records_an_epoch(self) -> bool:
        with self._lock:
            return any(record.epochs for record in self._records.values())

    def _draw(self, lines: list[str]) -> None:
        if not self._on_terminal:
            return
        from tqdm import tqdm

        while len(self._bars) < len(lines):
            size = shutil.get_terminal_size()  # tqdm draws nothing on a terminal that tells no size
            self._bars.append(
                tqdm(
                    total=0,
                    position=len(self._bars),
                    bar_format="{desc}",
                    leave=False,
                    file=sys.stderr,
                    ncols=size.columns,
                    nrows=size.lines,
                )
            )
        while len(self._bars) > len(lines):
            self._bars.pop().close()
        for bar, line in zip(self._bars, lines, strict=True):
            bar.set_description_str(line)


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
