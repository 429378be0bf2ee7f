import optuna
import pytest

from sceneshift.search.sampler import NameSeededTPESampler


def search(space, *, seed=0, trials=12, startup=4):
    study = optuna.create_study(direction="maximize", sampler=NameSeededTPESampler(seed=seed, startup_trials=startup))
    for _ in range(trials):
        trial = study.ask()
        space(trial)
        study.tell(trial, -((trial.params["x"] - 0.3) ** 2))
    return [t.params for t in study.trials]


def one(trial):
    trial.suggest_float("x", 0, 1)


def another_first(trial):
    trial.suggest_categorical("kind", ["a", "b"])
    trial.suggest_int("n", 1, 9)
    trial.suggest_float("x", 0, 1)


def test_a_parameters_draws_do_not_change_when_others_are_added():
    assert [p["x"] for p in search(one)] == [p["x"] for p in search(another_first)]


def test_another_seed_draws_otherwise():
    assert [p["x"] for p in search(one, seed=0)] != [p["x"] for p in search(one, seed=1)]


def test_two_parameters_of_one_range_are_drawn_apart():
    def twins(trial):
        trial.suggest_float("x", 0, 1)
        trial.suggest_float("y", 0, 1)

    assert all(p["x"] != p["y"] for p in search(twins))


def test_the_model_is_used_after_the_startup_trials():
    drawn = [p["x"] for p in search(one, trials=60, startup=10)]
    miss = [abs(x - 0.3) for x in drawn]
    assert sum(miss[-20:]) / 20 < 0.6 * sum(miss[:10]) / 10
    random_only = [p["x"] for p in search(one, trials=60, startup=1000)]
    assert drawn[:10] == random_only[:10]
    assert drawn[10:] != random_only[10:]


def test_reopened_searches_continue_with_the_suggestions_they_would_have_made(tmp_path):
    uncut = search(one, trials=9)
    url = f"sqlite:///{tmp_path / 'o.db'}"
    for wanted in (5, 9):
        study = optuna.create_study(
            study_name="s",
            storage=url,
            direction="maximize",
            load_if_exists=True,
            sampler=NameSeededTPESampler(seed=0, startup_trials=4),
        )
        while len(study.trials) < wanted:
            trial = study.ask()
            one(trial)
            study.tell(trial, -((trial.params["x"] - 0.3) ** 2))
    assert [t.params["x"] for t in study.trials] == pytest.approx([p["x"] for p in uncut], abs=0)
