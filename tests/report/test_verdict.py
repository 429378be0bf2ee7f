"""The registered network against the best spectral floor."""

import json

import numpy as np
import pytest

from sceneshift.report.uncertainty import FieldCounts
from sceneshift.report.verdict import Outcome, Verdict

CLASSES = np.repeat([0, 1], 20)


def map_of(recall, classes=CLASSES):
    """Two classes of fields of 10 pixels each; the share that is right varies a little from field to field."""
    right = 10 * recall + np.resize([-1, 0, 1], len(classes))
    predicted = np.zeros((len(classes), 2), dtype=np.int64)
    predicted[np.arange(len(classes)), classes] = right
    predicted[np.arange(len(classes)), 1 - classes] = 10 - right
    return FieldCounts(classes=classes, predicted=predicted)


@pytest.mark.parametrize(
    ("network", "outcome", "words"),
    [
        (0.9, Outcome.BETTER, "is better than the best spectral floor (SVM)"),
        (0.3, Outcome.WORSE, "is worse than the best spectral floor (SVM)"),
        (0.6, Outcome.SAME, "cannot be distinguished from the best spectral floor (SVM)"),
    ],
)
def test_the_best_floor_is_what_is_compared_with(network, outcome, words):
    """Golden: the wording is asserted here alone."""
    verdict = Verdict.of("a-b", map_of(network), {"forest": map_of(0.2), "SVM": map_of(0.6)})
    assert verdict.outcome is outcome
    assert verdict.floor == "SVM"
    assert verdict.difference.value == pytest.approx(verdict.network_aa - verdict.floor_aa)
    assert verdict.difference.value == pytest.approx(network - 0.6, abs=0.02)
    assert words in verdict.sentence
    assert verdict.sentence.startswith("On a-b ")
    assert json.loads(json.dumps(verdict.as_dict(), allow_nan=False))["outcome"] == outcome.value


def test_a_difference_within_the_fields_variation_is_no_verdict():
    ahead = map_of(0.6)
    shuffled = FieldCounts(classes=CLASSES, predicted=np.roll(ahead.predicted[::-1], 1, axis=0)[:, ::-1])
    verdict = Verdict.of("a-b", ahead, {"SVM": shuffled})
    assert verdict.outcome is Outcome.SAME
    assert verdict.difference.low < 0 < verdict.difference.high


def test_single_fields_leave_no_interval_and_no_verdict():
    classes = np.array([0, 1])
    verdict = Verdict.of("a-b", map_of(0.9, classes), {"SVM": map_of(0.2, classes)})
    assert verdict.outcome is Outcome.SAME
    assert verdict.as_dict()["interval of the difference"] is None
    assert "no interval" in verdict.sentence
