"""Choosing how many epochs fit a search's time budget on this machine, by timing steps before the first trial.

A profile with ``least_epochs`` leaves the number open: machines differ by a factor of four and more in the time of a
step, and a search that runs out of time after two trials has chosen nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from sceneshift.methods.method import MethodConfig
from sceneshift.methods.registry import find_method
from sceneshift.search.profile import Profile
from sceneshift.splits.source import SourceDomain, by_pair
from sceneshift.training.batches import steps_of_epoch
from sceneshift.training.loop import run_epoch
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.target_pixels import TargetPixels

#: Number of timed batches, after as many for warming up.
_TIMED_BATCHES = 2

#: Patches per step where steps are timed only to say how long a search takes.
_SMALL_BATCH = 32

#: The expected time of another trial, as a share of the reference trial's: ASHA stops most trials early, and few are as
#: large as the reference.
_EXPECTED_SHARE = 0.4


@dataclass(frozen=True, kw_only=True)
class Pace:
    """A profile with its chosen number of epochs, and the measurement it was chosen by.

    Args:
        profile: With ``epochs`` and, in proportion, ``grace_epochs``.
        seconds_per_epoch: One epoch of the reference configuration on all pairs, validation included.
    """

    profile: Profile
    seconds_per_epoch: float

    def expected_s(self, *, trials_at_once: int) -> float:
        """What the whole search is expected to take, as ASHA stops most trials early.

        Args:
            trials_at_once: Number of concurrent trials.
        """
        return _whole_trials(self.profile) * self.profile.epochs * self.seconds_per_epoch / trials_at_once


def find_pace(
    profile: Profile,
    *,
    method: str,
    config: dict[str, Any],
    sources: Sequence[SourceDomain],
    trials_at_once: int,
    threads: int,
    record: bool = False,
    targets: Sequence[TargetPixels] = (),
    evaluate_every: int = 1,
) -> Pace:
    """Time a few steps of the reference configuration and choose the number of epochs that fits the time budget.

    Args:
        profile: With ``least_epochs`` and ``time_budget_s``, or neither: its epochs are kept then.
        method: The method's name.
        config: The reference configuration, usually the largest that the profile allows.
        sources: The sources of all pairs.
        trials_at_once: Number of concurrent trials.
        threads: Threads per trial.
        record: Whether evaluated epochs are recorded.
        targets: Target pixels by pair that are recorded too.
        evaluate_every: Epochs between two evaluations.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        target_of = {target.pair_name: target for target in targets}
        made = find_method(method).config_type.from_mapping(config)
        if profile.least_epochs is None:  # nothing is chosen by it: small batches say enough, and take less time
            made = replace(made, batch_size=min(made.batch_size, _SMALL_BATCH))
        timed = [
            time_epoch(
                method,
                made,
                of_pair,
                record=record,
                target=target_of.get(pair),
                target_access="unlabelled" if pair in target_of else "none",
            )
            for pair, of_pair in by_pair(sources).items()
        ]
        seconds = sum(each.steps_s + each.evaluation_s / evaluate_every for each in timed)
    finally:
        torch.set_num_threads(before)
    if profile.least_epochs is not None:
        profile = fit_epochs(profile, seconds, trials_at_once=trials_at_once)
    return Pace(profile=profile, seconds_per_epoch=seconds)


def fit_epochs(profile: Profile, seconds_per_epoch: float, *, trials_at_once: int) -> Profile:
    """The profile with as many epochs as fit its time budget, within its bounds.

    Args:
        profile: With ``least_epochs`` and ``time_budget_s``; ``epochs`` is the maximum.
        seconds_per_epoch: Seconds for one epoch of a trial.
        trials_at_once: Number of concurrent trials.
    """
    assert profile.least_epochs is not None
    assert profile.time_budget_s is not None
    room = profile.time_budget_s * trials_at_once / (_whole_trials(profile) * seconds_per_epoch)
    return profile.with_epochs(min(max(math.floor(room), profile.least_epochs), profile.epochs))


def _whole_trials(profile: Profile) -> float:
    """How many trials of the reference's time all trials together take; the reference is never stopped."""
    return 1 + _EXPECTED_SHARE * (profile.num_samples - 1)


@dataclass(frozen=True, kw_only=True)
class EpochTime:
    """What one epoch of a training takes, from a few timed steps.

    Args:
        steps_s: Seconds of its training steps.
        evaluation_s: Seconds of one evaluation after it, with all that is recorded of it.
    """

    steps_s: float
    evaluation_s: float


def time_epoch(
    method: str,
    config: MethodConfig,
    sources: Sequence[SourceDomain],
    *,
    record: bool,
    target: TargetPixels | None = None,
    target_access: str = "none",
    maps_target: bool = False,
) -> EpochTime:
    """Time a few steps of a training and scale them to an epoch; an evaluation is timed in full.

    Of a method that is fitted at once, the whole fit is timed.

    Args:
        method: The method's name.
        config: What is trained.
        sources: The sources of one pair.
        record: Whether evaluated epochs are recorded.
        target: The pair's target, where it is recorded or mapped.
        target_access: Whether outputs on the target are recorded.
        maps_target: Whether the target is mapped.
    """
    found = find_method(method)
    few = list(sources)
    if not found.fitted_at_once:
        per_class = math.ceil(_TIMED_BATCHES * config.batch_size / sources[0].scene.num_classes / len(sources))
        few = [replace(s, split=s.split.thinned(s.scene, pixels_per_class=per_class)) for s in sources]
    plan = TrainingPlan(
        method=method,
        config=config,
        epochs=1 if found.fitted_at_once else 2,
        seed=0,
        record=record,
        target_access=target_access,
        maps_target=maps_target,
    )
    run = PairRun(plan, few, torch.device("cpu"), target=target)
    for epoch in range(1, plan.epochs + 1):  # the first compiles and warms up
        timed = run_epoch([run], epoch)
    steps, timed_steps = (
        steps_of_epoch([len(s.split.train) for s in some], config, apart=found.takes_domains) for some in (sources, few)
    )
    evaluation = timed["time/calibration_s"] + timed["time/validation_s"]
    # The average of weights, once it has begun, is recorded as well.
    evaluation += (1 if found.fitted_at_once else 2) * timed.get("time/recording_s", 0.0)
    return EpochTime(steps_s=timed["time/steps_s"] * steps / timed_steps, evaluation_s=evaluation)
