"""What trainings are expected to take, from timed steps, and the epochs that a budget in seconds allows.

Steps are timed once, with one thread, and kept beside the comparison's results: the epochs that follow from them must
be the same when the comparison is resumed, wherever that is.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sceneshift.comparison.preparing import PreparedComparison
from sceneshift.comparison.spec import Budget
from sceneshift.methods.method import MethodConfig
from sceneshift.methods.registry import find_method
from sceneshift.search.pace import EpochTime, time_epoch
from sceneshift.studies.json_files import read_json, write_json
from sceneshift.training.target_pixels import TargetPixels

#: The file of timed steps.
TIMINGS = "timings.json"

#: Configurations of each method and pair that are timed for the expected hours, where a budget needs none.
_TIMED_CONFIGURATIONS = 2

#: Seconds that a training takes beside its epochs: starting, reading scenes.
_START_S = 0.5


class Timings:
    """Timed steps of the configurations of a comparison.

    Args:
        prepared: The comparison.
        folder: Where they are kept.

    Raises:
        StudyError: The file is damaged.
    """

    def __init__(self, prepared: PreparedComparison, folder: Path) -> None:
        self._prepared, self._path = prepared, folder / TIMINGS
        stored = read_json(self._path, advice="delete it to time steps again; epochs of budgets in seconds may change")
        self._found: dict[str, dict[str, Any]] = stored or {}
        self._targets: dict[str, TargetPixels] = {}

    def epoch_time(self, pair: str, label: str, config: MethodConfig) -> EpochTime:
        """What an epoch of a configuration takes; it is timed if it wasn't before.

        Args:
            pair: The pair.
            label: The method's label.
            config: The configuration.

        Raises:
            StorageError: The file can't be written.
        """
        method = self._prepared.entry(label).method
        key = self._key(pair, method, config)
        if key not in self._found:
            timed = self._time(pair, method, config)
            self._found[key] = {"pair": pair, "method": method, "config": asdict(config), **asdict(timed)}
            write_json(self._path, self._found, indent=1)
        values = self._found[key]
        return EpochTime(steps_s=values["steps_s"], evaluation_s=values["evaluation_s"])

    def epochs(self, pair: str, label: str, budget: Budget, config: MethodConfig) -> int:
        """The epochs of a training: the budget's, or as many as its seconds allow, at least one.

        Args:
            pair: The pair.
            label: The method's label.
            budget: The budget.
            config: The configuration.
        """
        if find_method(self._prepared.entry(label).method).fitted_at_once:
            return 1
        if budget.epochs is not None:
            return budget.epochs
        assert budget.seconds is not None
        return max(1, int(budget.seconds / self.epoch_time(pair, label, config).steps_s))

    def time_all(self, progress: Callable[[str, int, int], None]) -> None:
        """Time what epochs and expected hours follow from.

        Args:
            progress: Called with what is timed, how many are and how many there are.
        """
        needed = list(self._needed())
        for number, (pair, label, config) in enumerate(needed):
            self.epoch_time(pair, label, config)
            progress("timing steps, configurations", number + 1, len(needed))

    def training_seconds(self, pair: str, label: str, budget: Budget, repeat: int, configuration: int) -> float:
        """Seconds that a training is expected to take, from timed steps of it or of another configuration.

        Args:
            pair: The pair.
            label: The method's label.
            budget: The budget.
            repeat: The repeat.
            configuration: Number of the configuration, 0-based.
        """
        configs = self._prepared.configurations[pair, label, repeat]
        config = configs[configuration]
        epochs = self.epochs(pair, label, budget, config)
        if self._key(pair, self._prepared.entry(label).method, config) not in self._found:
            first = self._prepared.configurations[pair, label, self._prepared.spec.repeats[0]]
            times = [self.epoch_time(pair, label, other) for other in first[:_TIMED_CONFIGURATIONS]]
        else:
            times = [self.epoch_time(pair, label, config)]
        interval = budget.evaluate_every(epochs, least=self._prepared.spec.evaluate_every)
        each = [epochs * t.steps_s + -(-epochs // interval) * t.evaluation_s for t in times]
        return _START_S + sum(each) / len(each)

    def _needed(self) -> Iterable[tuple[str, str, MethodConfig]]:
        spec = self._prepared.spec
        in_seconds = any(budget.seconds is not None for budget in spec.budgets)
        for (pair, label, repeat), configs in self._prepared.configurations.items():
            if not in_seconds and repeat != spec.repeats[0]:
                continue
            if in_seconds and not find_method(self._prepared.entry(label).method).fitted_at_once:
                timed: Sequence[MethodConfig] = configs
            else:
                timed = configs[:_TIMED_CONFIGURATIONS]
            for config in timed:
                yield pair, label, config

    def _key(self, pair: str, method: str, config: MethodConfig) -> str:
        data = self._prepared.blocks[pair].sources
        values = [
            pair,
            method,
            self._prepared.sources[method],
            asdict(config),
            [source.split.content_hash for source in data],
        ]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def _time(self, pair: str, method: str, config: MethodConfig) -> EpochTime:
        data = self._prepared.blocks[pair]
        if pair not in self._targets:
            self._targets[pair] = TargetPixels.draw(data.pairs[0])
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return time_epoch(
                method,
                config,
                data.sources,
                record=True,
                target=self._targets[pair],
                target_access=self._prepared.spec.target_access,
                maps_target=True,
            )
        finally:
            torch.set_num_threads(threads)
