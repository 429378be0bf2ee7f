"""What a search prints while it runs."""

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sceneshift.commands.announcements import announce_duration, announce_pace, announce_search, announce_trials
from sceneshift.commands.live_search import LiveSearch, score_text
from sceneshift.commands.progress import ProgressBars, say
from sceneshift.engine.listener import Listener
from sceneshift.execution.executor import Placement
from sceneshift.search.pace import Pace
from sceneshift.search.prepared import PreparedSearch
from sceneshift.search.trial_record import TrialRecord


class SearchScreen(Listener):
    """Prints what a search is about to do, and a line for each trial that has ended.

    Args:
        begun: Receives the search's name when there is something to resume.
        command: The command line that resumes it.
    """

    def __init__(self, begun: list[str], command: Callable[[], str]) -> None:
        self._begun = begun
        self._bars = ProgressBars()
        self._command = command
        self._search: PreparedSearch | None = None
        self._live: LiveSearch | None = None
        self._floor_is_wanted = False
        self._finished = 0

    def search_prepared(self, search: PreparedSearch) -> None:
        """Print what the search is about to do."""
        print("\n".join(announce_search(search)), flush=True)

    def epochs_decided(self, pace: Pace) -> None:
        """Print the number of epochs and how it was chosen."""
        print(announce_pace(pace), flush=True)

    def duration_expected(self, seconds: float) -> None:
        """Print what the search is expected to take, before it begins."""
        print(announce_duration(seconds), flush=True)

    def interrupted(self, done: int, total: int) -> None:
        """Say how to resume."""
        self.close()
        print(f"\nInterrupted with {done} of {total} trials done. To resume:\n  {self._command()}", flush=True)

    def progress(self, what: str, done: int, total: int) -> None:
        """Show progress as a bar or as lines."""
        self.close()
        self._bars.show(what, done, total)

    def code_or_data_changed(self, what: str, changes: Sequence[str]) -> None:
        """Print a warning with the changes."""
        print(f"\n{change_note(what, changes)}", flush=True)

    def search_begins(self, search: PreparedSearch, placement: Placement, finished: int) -> None:
        """Print how trials run, and how to resume."""
        self._begun.append(search.spec.name)
        self._search, self._finished = search, finished
        print(f"{announce_trials(search, placement)}\nto resume            {self._command()}\n", flush=True)
        profile = search.profile
        self._live = LiveSearch(
            num_samples=profile.num_samples,
            epochs=profile.epochs,
            metric=search.strategy.metric,
            time_budget_s=profile.time_budget_s,
            finished=finished,
        )
        self._live.start()
        self._floor_is_wanted = search.strategy.metric == "val/aa"

    def changed(self, record: TrialRecord) -> None:
        """Show a trial's newest epoch."""
        if self._live is None:
            return
        self._live.changed(record)
        if self._floor_is_wanted and record.epochs:  # not sooner: trials that begin want the cores
            self._floor_is_wanted = False
            assert self._search is not None
            threading.Thread(target=self._find_floor, args=(self._search, self._live), daemon=True).start()

    def close(self) -> None:
        """End the live region; called before anything else is drawn, and when the search has ended."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @staticmethod
    def _find_floor(search: PreparedSearch, live: LiveSearch) -> None:
        """What logistic regression reaches where the trials are scored; without it, nothing is lost."""
        from sceneshift.closing.floor_scores import floor_on_validation

        with contextlib.suppress(Exception):
            live.floor("logistic regression", floor_on_validation(search.data, seed=search.spec.seed))

    def finished(self, record: TrialRecord) -> None:
        """Print a line for a trial that has ended."""
        assert self._search is not None
        self._finished += 1
        profile = self._search.profile
        line = progress_line(
            record,
            finished=self._finished,
            num_samples=profile.num_samples,
            epochs=profile.epochs,
            metric=self._search.strategy.metric,
        )
        say(line)


def change_note(what: str, changes: Sequence[str]) -> str:
    """The warning printed if code or data have changed since the last run."""
    return (
        f"NOTE: {what} continues with other code or data than before; that is recorded. Results from before and after "
        "need not be comparable:\n  " + "\n  ".join(changes)
    )


def progress_line(record: TrialRecord, *, finished: int, num_samples: int, epochs: int, metric: str = "val/aa") -> str:
    """Format the line for a trial that has ended.

    Args:
        record: The trial.
        finished: Number of ended trials, including this one; trials need not end in the order in which they began.
        num_samples: Total number of trials.
        epochs: Epochs of a trial that is not stopped early.
        metric: The name of the score that steers the search.
    """
    seconds = "" if record.seconds is None else f"{record.seconds:5.0f} s"
    name = "defaults" if record.is_reference else short_params(record.params)
    line = (
        f"trial {record.number:>3} ({finished}/{num_samples} done)  {record.state:<8}  "
        f"epoch {record.last_epoch:>3}/{epochs}  {score_text(record.value, metric):<11}  {seconds}  {name}"
    )
    return f"{line}  [{record.reason}]" if record.state == "fail" else line


def short_params(params: Mapping[str, Any]) -> str:
    """Suggested values in one line: numbers with three digits, switches only if they are on."""
    parts = []
    for name, value in params.items():
        if isinstance(value, bool):
            if value and not name.endswith("_on"):
                parts.append(name)
        elif isinstance(value, float):
            parts.append(f"{name}={value:.3g}")
        else:
            parts.append(f"{name}={value}")
    return " ".join(parts)
