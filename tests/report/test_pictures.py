import numpy as np
import optuna
import pytest
from matplotlib import image

from sceneshift.report.pictures import (
    RIGHT,
    WRONG,
    class_colours,
    draw_class_map,
    draw_confusion,
    draw_optimization_history,
    draw_parameter_importances,
)
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.scores import Scores

NAMES = ["soil", "tree", "water"]


def colours_in(path):
    pixels = (image.imread(path)[..., :3] * 255).round().astype(int).reshape(-1, 3)
    return {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.unique(pixels, axis=0)}


def share_of(path, colour):
    pixels = (image.imread(path)[..., :3] * 255).round().astype(int)
    return (pixels == [int(colour[at : at + 2], 16) for at in (1, 3, 5)]).all(-1).mean()


def test_a_class_has_one_colour_and_no_two_share_one():
    assert class_colours(3) == class_colours(16)[:3]
    assert len(set(class_colours(16))) == 16


def test_a_class_map_shows_classes_and_where_they_are_right_or_wrong(tmp_path):
    scene = UnlabelledScene(name="s", cube=np.random.default_rng(0).uniform(1, 2, (20, 30, 6)).astype(np.float32))
    truth = np.zeros((20, 30), dtype=int)
    truth[:, :10] = 1
    soil, tree = class_colours(2)

    shares = {}
    for number in (1, 2):
        path = tmp_path / f"{number}.png"
        draw_class_map(path, scene, np.full((20, 30), number), truth, class_names=NAMES[:2], title="t")
        assert {soil, tree, "#ffffff"} <= colours_in(path)
        shares[number] = [share_of(path, colour) for colour in (RIGHT, WRONG)]

    # Some pixels of the text's edges have either colour.
    assert shares[1][0] > 0.02 > 0.001 > shares[1][1]
    assert shares[2][1] > 0.02 > 0.001 > shares[2][0]


def test_a_confusion_matrix_is_dark_where_the_counts_are(tmp_path):
    draw_confusion(tmp_path / "c.png", Scores(np.diag([5, 5, 5])), class_names=NAMES, title="t")
    draw_confusion(tmp_path / "d.png", Scores(np.diag([5, 5, 5])[::-1].copy()), class_names=NAMES, title="t")
    right, wrong = (image.imread(tmp_path / name)[..., 0] for name in ("c.png", "d.png"))
    assert right.shape == wrong.shape
    assert (right != wrong).mean() > 0.05


@pytest.fixture
def study():
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    for number in range(6):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        if number % 2:
            trial.suggest_float("only_sometimes", 0, 1)
        trial.report(x, step=2)
        if number < 2:
            study.tell(trial, x)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return study


def test_histories_and_importances_are_drawn_where_there_are_trials(study, tmp_path, monkeypatch):
    asked = {}
    real = optuna.visualization.matplotlib.plot_param_importances

    def plot(compared, *, params):
        asked.update(params=params, trials=len(compared.trials), values=[t.value for t in compared.trials])
        return real(compared, params=params)

    monkeypatch.setattr(optuna.visualization.matplotlib, "plot_param_importances", plot)
    assert draw_optimization_history(tmp_path / "h.png", study)
    assert draw_parameter_importances(tmp_path / "i.png", study, epoch=2)
    assert asked["params"] == ["x"]
    assert asked["trials"] == 6
    assert asked["values"] == [t.params["x"] for t in study.trials]
    for name in ("h.png", "i.png"):
        assert image.imread(tmp_path / name).std() > 0.02


def test_nothing_is_drawn_of_nothing(study, tmp_path):
    empty = optuna.create_study()
    assert not draw_optimization_history(tmp_path / "h.png", empty)
    assert not draw_parameter_importances(tmp_path / "i.png", study, epoch=9)
    assert list(tmp_path.iterdir()) == []


def test_importances_that_all_would_be_equal_are_not_drawn(tmp_path, recwarn):
    study = optuna.create_study(direction="maximize")
    for x in (0.1, 0.4, 0.6, 0.9):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        trial.report(0.5, step=1)  # none is better than another
        study.tell(trial, x)
    assert not draw_parameter_importances(tmp_path / "i.png", study, epoch=1)
    assert [*recwarn] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("plot", ["plot_optimization_history", "plot_param_importances"])
def test_a_picture_of_optuna_has_one_title_and_it_is_ours(study, tmp_path, monkeypatch, plot):
    drawn = []
    real = getattr(optuna.visualization.matplotlib, plot)

    def remember(*args, **kwargs):
        drawn.append(real(*args, **kwargs))
        return drawn[-1]

    monkeypatch.setattr(optuna.visualization.matplotlib, plot, remember)
    draw_optimization_history(tmp_path / "h.png", study)
    draw_parameter_importances(tmp_path / "i.png", study, epoch=2)
    (axes,) = drawn
    titles = [axes.get_title(loc=side) for side in ("left", "center", "right")]
    assert titles[0].startswith(("Optimization history (", "Parameter importances at epoch 2 ("))
    assert titles[1:] == ["", ""]
