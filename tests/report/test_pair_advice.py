"""Advice on a pair: classes with few pixels, or that look like another."""

import numpy as np
import pytest

from sceneshift.methods.floors import FittedFloor
from sceneshift.report.pair_advice import advise
from sceneshift.report.scene_gap import measure_gap
from sceneshift.scenes.normalization import NORMALIZATIONS, Normalization
from sceneshift.scenes.scene import Scene
from sceneshift.scores import Scores


@pytest.fixture
def gap():
    """Three classes, of which the third looks like the source's first in the target and has few source pixels."""
    rng = np.random.default_rng(0)
    spectra = np.array([[1.0, 0.0, 0.2, 0.1], [0.0, 1.0, 0.3, 0.1], [0.1, 0.1, 1.0, 0.9]])

    def scene(name, of_class, counts):
        labels = np.repeat(np.arange(1, 4), counts).reshape(20, -1)
        cube = spectra[np.array(of_class)][labels - 1] + 0.01 * rng.random((*labels.shape, 4))
        return Scene(name=name, cube=cube.astype(np.float32), labels=labels, class_names=("a", "b", "c"))

    return measure_gap(scene("here", (0, 1, 2), (200, 160, 40)), scene("there", (0, 1, 0), (200, 100, 100)))


@pytest.fixture
def floor():
    step = Normalization.fit("standardize-per-band", np.random.default_rng(0).random((4, 4, 4)).astype(np.float32))
    return FittedFloor(
        name="logistic_regression",
        step=step,
        classifier=None,
        settings={},
        validation_aa=0.625,
        num_pixels=440,
        seconds=1.0,
    )


def lines(gap, floor, *, allowed=tuple(NORMALIZATIONS)):
    reached = Scores.from_labels(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0]), num_classes=3)
    return advise("here-there", {"here": gap}, floor, reached, allowed=allowed)


def test_a_class_that_looks_like_another_is_named(gap, floor):
    (line,) = [line for line in lines(gap, floor) if "looks like" in line]
    assert "c (looks like a)" in line
    assert gap.nearest == ("a", "b", "a")


def test_a_class_of_few_pixels_is_named(gap, floor):
    (line,) = [line for line in lines(gap, floor) if "few labelled" in line]
    assert "c 40" in line
    assert "b 160" not in line


def test_normalizations_that_units_leave_out_are_named(gap, floor):
    assert "62.5" in lines(gap, floor)[1]
    assert "minmax-per-band" in lines(gap, floor, allowed=("l2-per-pixel", "standardize-per-band"))[1]


def test_what_a_network_has_to_pass_is_said(gap, floor):
    (line,) = [line for line in lines(gap, floor) if line.startswith("- To expect")]
    assert "OA 75.0" in line
    assert "AA 83.3" in line
