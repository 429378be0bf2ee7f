"""The pictures of a search: the labels of their axes."""

import numpy as np
import optuna
import pytest
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from sceneshift.report import search_pictures
from sceneshift.report.study_record import StudyRecord


@pytest.fixture
def record(make_study) -> StudyRecord:
    return StudyRecord.read(make_study())


def drawn(monkeypatch: pytest.MonkeyPatch, draw, *arguments) -> Figure:
    figures: list[Figure] = []
    monkeypatch.setattr(search_pictures, "paint", lambda figure, *, alt: figures.append(figure))
    draw(*arguments)
    (figure,) = figures
    return figure


@pytest.mark.parametrize(("draw", "axis"), [("draw_history", "xaxis"), ("draw_timeline", "yaxis")])
def test_trials_have_their_own_numbers_at_the_axis(monkeypatch, record, draw: str, axis: str) -> None:
    figure = drawn(monkeypatch, getattr(search_pictures, draw), record.study)
    ticks = getattr(figure.axes[0], axis)
    places = ticks.get_majorticklocs()
    values = dict(zip(places, ticks.get_major_formatter().format_ticks(places), strict=True))
    assert values[0] == "0"
    assert values[1] == "1"
    assert all(float(text) == place for place, text in values.items() if place >= 0)


@pytest.mark.parametrize(("ys", "is_drawn"), [((0.6, 0.6, 0.6, 0.6), False), ((0.6, 0.6, 0.6, 1.2), True)])
def test_contours_need_two_values_of_both_parameters(ys: tuple[float, ...], is_drawn: bool) -> None:
    allowed = optuna.distributions.FloatDistribution(0, 2)
    study = optuna.create_study(direction="maximize")
    for number, y in enumerate(ys):
        drawn = {"x": 0.1 * number, "y": y}
        study.add_trial(
            optuna.create_trial(params=drawn, distributions={"x": allowed, "y": allowed}, value=0.1 * number)
        )
    picture = search_pictures.draw_contour(study, "x", "y", epoch=6)
    assert (picture is not None) is is_drawn


def test_contours_end_where_trials_do():
    study = optuna.create_study()
    distributions = {
        "lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
        "noise": optuna.distributions.FloatDistribution(0.0, 1.0),
    }
    for lr, noise, value in [(2e-4, 0.1, 1.0), (5e-3, 0.2, 2.0), (1e-3, 0.9, 3.0), (1e-3, 0.3, 2.5)]:
        params = {"lr": lr, "noise": noise}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    clipped = []
    clip = ContourSet.set_clip_path

    def hear(self, path, transform=None):
        clipped.append(np.asarray(getattr(path, "vertices", [])))
        clip(self, path, transform)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ContourSet, "set_clip_path", hear)
        assert search_pictures.draw_contour(study, "lr", "noise", epoch=3) is not None
    corners = {(2e-4, 0.1), (5e-3, 0.2), (1e-3, 0.9)}  # the fourth trial is among them
    ours = [found for found in clipped if {tuple(np.round(corner, 6)) for corner in found} == corners]
    assert ours
