"""How many epochs fit a search's time budget on this machine: decided by timed steps, before the first trial.

A profile that says ``least_epochs`` leaves the number open: machines differ by a factor of four and more in the time of
a step, and a search that is cut by its budget after two trials has chosen nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from sceneshift.methods.registry import find_method
from sceneshift.search.profile import Profile
from sceneshift.splits.source import SourceDomain
from sceneshift.training.loop import PairRun, TrainingPlan, run_epoch

#: Batches that are timed, after as many that warm up.
_TIMED_BATCHES = 2

#: The share of the reference trial's time that another trial is expected to take: ASHA stops most early, and few are as
#: large as the reference.
_EXPECTED_SHARE = 0.4


@dataclass(frozen=True, kw_only=True)
class Pace:
    """A profile whose number of epochs was decided, and what it was decided by.

    Args:
        profile: With ``epochs`` and, in proportion, ``grace_epochs``.
        seconds_per_epoch: One epoch of the reference configuration on all pairs, validation included.
    """

    profile: Profile
    seconds_per_epoch: float

    def announcement(self) -> str:
        """The choice in a line."""
        return (
            f"epochs               {self.profile.epochs} per trial, first stop after {self.profile.grace_epochs}: "
            f"timed steps say {self.seconds_per_epoch:.1f} s per epoch of the defaults; --epochs sets another number"
        )


def find_pace(
    profile: Profile,
    *,
    method: str,
    config: dict[str, Any],
    sources: Sequence[SourceDomain],
    trials_at_once: int,
    threads: int,
) -> Pace:
    """Time some steps of the reference configuration and fit the number of epochs to the time budget.

    Args:
        profile: With ``least_epochs`` and ``time_budget_s``.
        method: The method's name.
        config: The reference configuration, which is the largest that the profile allows as a rule.
        sources: One per pair.
        trials_at_once: Trials that run at once.
        threads: Threads of a trial.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seconds = sum(_seconds_per_epoch(method, config, source) for source in sources)
    finally:
        torch.set_num_threads(before)
    return Pace(profile=fit_epochs(profile, seconds, trials_at_once=trials_at_once), seconds_per_epoch=seconds)


def fit_epochs(profile: Profile, seconds_per_epoch: float, *, trials_at_once: int) -> Profile:
    """The profile with as many epochs as its time budget has room for, within its bounds.

    Args:
        profile: With ``least_epochs`` and ``time_budget_s``; ``epochs`` is the most.
        seconds_per_epoch: One epoch of a trial.
        trials_at_once: Trials that run at once.
    """
    assert profile.least_epochs is not None
    assert profile.time_budget_s is not None
    # The reference trial is never stopped.
    whole_trials = 1 + _EXPECTED_SHARE * (profile.num_samples - 1)
    room = profile.time_budget_s * trials_at_once / (whole_trials * seconds_per_epoch)
    return profile.with_epochs(min(max(math.floor(room), profile.least_epochs), profile.epochs))


def _seconds_per_epoch(method: str, config: dict[str, Any], source: SourceDomain) -> float:
    """A few steps are timed and scaled to an epoch's; validation is timed whole."""
    made = find_method(method).config_type.from_mapping(config)
    num_pixels = len(source.split.train)
    per_class = math.ceil(_TIMED_BATCHES * made.batch_size / source.scene.num_classes)
    few = replace(source, split=source.split.thinned(source.scene, pixels_per_class=per_class))
    run = PairRun(TrainingPlan(method=method, config=made, epochs=2, seed=0), few, torch.device("cpu"))
    for epoch in (1, 2):  # the first compiles and warms up
        timed = run_epoch([run], epoch)
    steps, timed_steps = (math.ceil(n / made.batch_size) for n in (num_pixels, len(few.split.train)))
    return timed["time/steps_s"] * steps / timed_steps + timed["time/calibration_s"] + timed["time/validation_s"]
