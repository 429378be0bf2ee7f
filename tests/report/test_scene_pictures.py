"""Pictures of scenes: each class can be told apart, however many there are and whatever the scene's shape."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from sceneshift.report.scene_pictures import MOST_IN_ONE, draw_scene
from sceneshift.scenes.scene import Scene, UnlabelledScene


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw, and give back the titles of all axes with a spectrum; the picture is written as well."""

    def draw(scene):
        found = []
        save = Figure.savefig

        def keep(figure, path, **how):
            found.extend(figure.get_axes())
            save(figure, path, **how)

        monkeypatch.setattr(Figure, "savefig", keep)
        draw_scene(tmp_path / "scene.png", scene)
        assert (tmp_path / "scene.png").read_bytes().startswith(b"\x89PNG")
        return [axes for axes in found if axes.lines]

    return draw


def scene_of(num_classes, shape=(24, 30), *, wavelengths=None):
    rng = np.random.default_rng(0)
    labels = np.arange(shape[0] * shape[1]).reshape(shape) % (num_classes + 1)
    return Scene(
        name="drawn",
        cube=rng.random((*shape, 6)).astype(np.float32),
        labels=labels,
        class_names=tuple(f"kind {k}" for k in range(num_classes)),
        wavelengths_nm=wavelengths,
    )


@pytest.mark.parametrize("shape", [(24, 30), (60, 12), (12, 60)])
def test_few_classes_share_their_axes(drawn, shape):
    (axes,) = drawn(scene_of(MOST_IN_ONE, shape))
    assert len(axes.lines) == MOST_IN_ONE


@pytest.mark.parametrize("num_classes", [MOST_IN_ONE + 1, 16, 17])
def test_many_classes_have_axes_of_their_own_in_front_of_the_others(drawn, num_classes):
    found = drawn(scene_of(num_classes, wavelengths=np.linspace(400.0, 900.0, 6)))
    assert [axes.get_title(loc="left").rpartition(" ")[0] for axes in found] == [
        f"kind {k}" for k in range(num_classes)
    ]
    assert {len(axes.lines) for axes in found} == {num_classes + 1}


def test_a_scene_without_labels_has_one_spectrum(drawn):
    cube = np.random.default_rng(0).random((9, 8, 5)).astype(np.float32)
    (axes,) = drawn(UnlabelledScene(name="bare", cube=cube))
    assert len(axes.lines) == 1
