"""Epochs that fit a time budget."""

from dataclasses import replace

import pytest
import torch

from sceneshift.errors import InvalidInputError
from sceneshift.search.pace import EpochTime, find_pace, fit_epochs
from sceneshift.search.profile import Profile

PROFILE = Profile(
    name="p", description="", epochs=40, least_epochs=8, num_samples=11, time_budget_s=300, grace_epochs=10
)


@pytest.mark.parametrize(
    ("seconds", "at_once", "epochs", "grace"),
    [
        (5.0, 2, 24, 6),  # 600 s for 5 whole trials: 120 s each
        (5.0, 1, 12, 3),
        (60.0, 2, 8, 2),
        (0.1, 2, 40, 10),
    ],
)
def test_as_many_epochs_as_the_budget_has_room_for(seconds, at_once, epochs, grace):
    fitted = fit_epochs(PROFILE, seconds, trials_at_once=at_once)
    assert (fitted.epochs, fitted.grace_epochs, fitted.least_epochs) == (epochs, grace, None)
    assert replace(fitted, epochs=40, grace_epochs=10, least_epochs=8) == PROFILE


def test_steps_are_timed_on_every_pair_and_threads_are_given_back(make_source, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "sceneshift.search.pace.time_epoch",
        lambda method, config, sources, **_: (
            seen.append(([source.pair_name for source in sources], torch.get_num_threads()))
            or EpochTime(steps_s=2.0, evaluation_s=1.0)
        ),
    )
    before = torch.get_num_threads()
    pace = find_pace(
        PROFILE,
        method="cross_entropy",
        config={},
        sources=[make_source("one", 0), make_source("two", 1)],
        trials_at_once=2,
        threads=before + 1,
        evaluate_every=2,
    )
    assert seen == [(["one"], before + 1), (["two"], before + 1)]
    assert torch.get_num_threads() == before
    assert pace.seconds_per_epoch == 5.0
    assert pace.profile == fit_epochs(PROFILE, 5.0, trials_at_once=2)


def test_an_epoch_s_steps_are_reckoned_from_a_few(tiny_source, monkeypatch):
    from sceneshift.search import pace

    def run_epoch(runs, epoch):
        (run,) = runs
        # 90 training pixels; 2 batches of 16 are 11 pixels per class, rounded up to 33 pixels: 3 steps.
        assert len(run.sources[0].split.train) == 33
        return {"time/steps_s": 3.0, "time/calibration_s": 0.5, "time/validation_s": 0.25}

    monkeypatch.setattr(pace, "run_epoch", run_epoch)
    config = {"patch_size": 5, "batch_size": 16, "width": 8}
    found = pace.find_pace(
        PROFILE, method="cross_entropy", config=config, sources=[tiny_source], trials_at_once=1, threads=1
    )
    assert found.seconds_per_epoch == pytest.approx(6 * 1.0 + 0.75)


def test_a_record_is_reckoned_twice_and_an_evaluation_is_shared_by_its_epochs(tiny_source, monkeypatch):
    from sceneshift.search import pace

    def run_epoch(runs, epoch):
        assert runs[0].recorder is not None
        return {"time/steps_s": 3.0, "time/calibration_s": 0.5, "time/validation_s": 0.25, "time/recording_s": 1.0}

    monkeypatch.setattr(pace, "run_epoch", run_epoch)
    found = pace.find_pace(
        PROFILE,
        method="cross_entropy",
        config={"patch_size": 5, "batch_size": 16, "width": 8},
        sources=[tiny_source],
        trials_at_once=1,
        threads=1,
        record=True,
        evaluate_every=5,
    )
    assert found.seconds_per_epoch == pytest.approx(6 * 1.0 + (0.75 + 2.0) / 5)


def test_bounds_and_a_budget_are_needed():
    with pytest.raises(InvalidInputError, match="least_epochs = 41; expected 1 to epochs = 40"):
        replace(PROFILE, least_epochs=41)
    with pytest.raises(InvalidInputError, match=r"least_epochs.*time_budget_s"):
        replace(PROFILE, time_budget_s=None)


def test_a_search_without_a_budget_keeps_its_epochs_and_is_timed_by_small_batches(tiny_source, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "sceneshift.search.pace.time_epoch",
        lambda method, config, sources, **_: (
            seen.append(config.batch_size) or EpochTime(steps_s=10.0, evaluation_s=0.0)
        ),
    )
    profile = replace(PROFILE, least_epochs=None, time_budget_s=None)
    pace = find_pace(
        profile, method="cross_entropy", config={"batch_size": 256}, sources=[tiny_source], trials_at_once=2, threads=1
    )
    assert pace.profile == profile
    assert seen == [32]
    # 5 whole trials of 40 epochs of 10 s, two at a time.
    assert pace.expected_s(trials_at_once=2) == 1000.0
