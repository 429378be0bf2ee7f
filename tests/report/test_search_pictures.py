"""The pictures of a search: the labels of their axes."""

import optuna
import pytest
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
