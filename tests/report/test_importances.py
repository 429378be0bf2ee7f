import numpy as np
import optuna
import pytest

from sceneshift.report.importances import compared_at_epoch, estimate_importances, shared_parameters


def study_of(num, value, *, noise=0.0):
    rng = np.random.default_rng(0)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1))
    for number in range(num):
        trial = study.ask()
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        if number % 2:
            trial.suggest_float("sometimes", 0, 1)
        trial.suggest_categorical("fixed", [1])
        trial.report(value(x, y) + noise * rng.normal(), step=1)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return study


def test_what_moves_the_objective_is_out_and_the_rest_does_not():
    compared = compared_at_epoch(study_of(60, lambda x, y: -((x - 0.3) ** 2)), epoch=1)
    first, second = estimate_importances(compared, num_draws=40)
    assert (first.name, first.stands_out) == ("x", True)
    assert (second.name, second.stands_out) == ("y", False)
    assert first.value + second.value == pytest.approx(1)
    assert first.low <= first.value
    assert first.chance < first.value


def test_of_noise_nothing_is_out_although_importances_add_up_to_one():
    found = estimate_importances(compared_at_epoch(study_of(12, lambda x, y: 0.0, noise=1.0), epoch=1), num_draws=40)
    assert sum(i.value for i in found) == pytest.approx(1)
    assert [i.stands_out for i in found] == [False, False]


def test_three_trials_have_no_importances():
    assert estimate_importances(compared_at_epoch(study_of(3, lambda x, y: x), epoch=1)) == []


def test_trials_are_compared_by_what_they_had_at_the_epoch():
    study = study_of(5, lambda x, y: x)
    trial = study.ask()
    trial.report(float("nan"), step=1)
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    compared = compared_at_epoch(study, epoch=1)
    assert [t.value for t in compared.trials] == [t.params["x"] for t in study.trials[:5]]
    assert compared_at_epoch(study, epoch=2).trials == []
    assert shared_parameters(compared) == ["x", "y"]
    assert shared_parameters(compared_at_epoch(study, epoch=2)) == []
