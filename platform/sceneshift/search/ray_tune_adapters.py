"""Ray Tune's two extension points, both resting on the study's trial store: who suggests and who stops.

Neither keeps a state of its own, so nothing of theirs has to be saved or restored.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sceneshift.errors import StorageError
from sceneshift.search.stopping import SearchStop
from sceneshift.search.trial import DIVERGED_KEY, WEIGHTS_KEY, TrialOrder
from sceneshift.search.trial_store import RestsOnStore, TrialRecord, TrialStore
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.loop import OBJECTIVE
from sceneshift.training.ray_train import MAX_WORKER_FAILURES

_STOP: str = TrialScheduler.STOP
_CONTINUE: str = TrialScheduler.CONTINUE


class StoreSearcher(RestsOnStore, Searcher):  # type: ignore[misc]  # Ray's classes are untyped here
    """An ask/tell searcher over the trial store.

    Args:
        store: The study's trial store.
        unfinished: Trials of a search that was cut, to go on with before any new one.
        num_samples: Trials of the study in all.
        make_config: Draws a trial's configuration from the space.
        order: What a worker is told for a trial.
    """

    def __init__(
        self,
        store: TrialStore,
        *,
        unfinished: list[TrialRecord],
        num_samples: int,
        make_config: Callable[[optuna.Trial], Mapping[str, Any]],
        order: Callable[[TrialRecord], TrialOrder],
    ) -> None:
        super().__init__(metric=OBJECTIVE, mode="max")
        self._store = store
        self._unfinished = list(unfinished)
        self._num_samples = num_samples
        self._make_config = make_config
        self._order = order
        self._taken_back: Counter[int] = Counter()

    def take_back(self, number: int) -> bool:
        """Suggest a trial once more that Tune has given up; False where that was done often enough."""
        self._taken_back[number] += 1
        if self._taken_back[number] > MAX_WORKER_FAILURES:
            return False
        self._unfinished.append(self._store.record(number))
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's order, or that there is none left."""
        if self._unfinished:
            record = self._unfinished.pop(0)
            # A search that was killed while it drew a configuration draws the same one again.
            record = record if record.config else self._store.draw(record.number, self._make_config)
        elif len(self._store.records()) < self._num_samples:
            record = self._store.ask(self._make_config)
        else:
            return str(Searcher.FINISHED)
        return self._order(record).as_config()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to do: :class:`StoreScheduler` has closed the trial, or it goes on in a resumed search."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the trial store is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: the trial store is the state."""


class StoreScheduler(RestsOnStore, FIFOScheduler):  # type: ignore[misc]
    """Records every epoch in the trial store and stops a trial when the trial store's ASHA says so.

    The rungs are computed from the trial store (Optuna's SuccessiveHalvingPruner), so they survive a restart.

    Args:
        store: The study's trial store.
        epochs: Epochs of a whole trial.
        stop: Ends the search when trials can't keep their checkpoints.
        take_back: Has a trial suggested once more; False where it won't be.
    """

    def __init__(self, store: TrialStore, *, epochs: int, stop: SearchStop, take_back: Callable[[int], bool]) -> None:
        super().__init__()
        self._store = store
        self._epochs = epochs
        self._stop = stop
        self._take_back = take_back

    def on_trial_error(self, tune_controller: object, trial: Trial) -> None:
        """Close a trial whose process failed more often than it is retried, with the last line of its error.

        Tune calls this as well for a trial it is about to put on another worker; that one goes on, and is left open.
        So is one that could not write its checkpoint: that is no fault of its own, and every trial after it would
        fail alike. It ends the search, to be resumed when there is room.

        A trial that is still pending was about to begin in another's process, which died. Tune does not retry that.
        """
        if trial.status == Trial.ERROR:
            return
        if trial.status == Trial.PENDING and self._take_back(trial.config["number"]):
            return
        lines = Path(trial.error_file).read_text().split("\n") if trial.error_file else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        kind, _, told = last.partition(": ")
        if kind.rpartition(".")[2].startswith(StorageError.__name__):
            self._stop.request(told)
            return
        if trial.error_file and not last:
            # On a full disk there was no room for the error either.
            try:
                CheckpointFolder.check(trial.config["checkpoint_location"])
            except StorageError as error:
                self._stop.request(str(error))
                return
        if "OutOfMemoryError" in "".join(lines):
            last = "the machine ran short of memory, and Ray ended its process; run fewer trials at once"
        self._store.fail(trial.config["number"], last or "its process failed")

    def on_trial_result(self, tune_controller: object, trial: Trial, result: dict[str, Any]) -> str:
        """Record the epoch and decide."""
        number, epoch = trial.config["number"], result["epoch"]
        if DIVERGED_KEY in result:
            self._store.fail(number, result[DIVERGED_KEY])
            return _STOP
        metrics = {
            key: value
            for key, value in result.items()
            if key.startswith(("val/", "train/", "time/")) and isinstance(value, int | float)
        }
        prefix = f"{WEIGHTS_KEY}/"
        weights = {key.removeprefix(prefix): str(v) for key, v in result.items() if key.startswith(prefix)}
        self._store.report(number, epoch, metrics, weights)
        if epoch >= self._epochs:
            self._store.complete(number)
            return _STOP
        if self._store.should_stop(number, epoch):
            self._store.prune(number, f"stopped by ASHA after epoch {epoch}")
            return _STOP
        return _CONTINUE
