"""Accuracy figures, with scikit-learn as the oracle."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, recall_score

from sceneshift.errors import InvalidInputError
from sceneshift.scores import Scores


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_classes", [2, 5])
def test_figures_are_scikit_learns(seed: int, num_classes: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(num_classes), rng.integers(0, num_classes, 200)])
    predicted = np.where(rng.random(len(truth)) < 0.6, truth, rng.integers(0, num_classes, len(truth)))
    scores = Scores.from_labels(truth, predicted, num_classes=num_classes)
    np.testing.assert_array_equal(scores.confusion, confusion_matrix(truth, predicted))
    np.testing.assert_allclose(scores.recall, recall_score(truth, predicted, average=None))
    assert scores.oa == pytest.approx(accuracy_score(truth, predicted))
    assert scores.aa == pytest.approx(recall_score(truth, predicted, average="macro"))
    assert scores.kappa == pytest.approx(cohen_kappa_score(truth, predicted))
    assert scores.as_dict() == {"oa": scores.oa, "aa": scores.aa, "kappa": scores.kappa}


def test_rows_are_the_truth() -> None:
    scores = Scores.from_labels(np.array([0, 0, 0, 1]), np.array([1, 1, 0, 1]), num_classes=3)
    assert scores.confusion.tolist() == [[1, 2, 0], [0, 1, 0], [0, 0, 0]]
    assert scores.confusion.dtype == np.int64


def test_a_class_without_samples_has_no_recall_and_leaves_the_average() -> None:
    scores = Scores(np.array([[3, 1, 0], [0, 0, 0], [1, 0, 1]]))
    np.testing.assert_array_equal(scores.recall, [0.75, np.nan, 0.5])
    assert scores.aa == 0.625


def test_narrow_label_types_do_not_overflow() -> None:
    truth = np.array([16, 16, 3], dtype=np.uint8)
    scores = Scores.from_labels(truth, truth, num_classes=17)
    assert scores.confusion[16, 16] == 2
    assert scores.oa == 1.0


def test_kappa_of_perfect_of_chance_and_of_opposite_answers() -> None:
    assert Scores(np.array([[5, 0], [0, 7]])).kappa == pytest.approx(1.0)
    assert Scores(np.array([[4, 4], [3, 3]])).kappa == pytest.approx(0.0)
    assert Scores(np.array([[0, 6], [6, 0]])).kappa == pytest.approx(-1.0)


def test_kappa_is_zero_where_both_are_one_class_throughout() -> None:
    assert Scores(np.array([[0, 0], [0, 9]])).kappa == 0.0


@pytest.mark.parametrize(
    ("matrix", "got"),
    [
        (np.zeros((2, 3), dtype=int), r"got shape \(2, 3\) of int64 with 0 samples"),
        (np.zeros((0, 0), dtype=int), r"got shape \(0, 0\) of int64 with 0 samples"),
        (np.arange(4), r"got shape \(4,\) of int64 with 6 samples"),
        (np.zeros((3, 3), dtype=int), r"got shape \(3, 3\) of int64 with 0 samples"),
        (np.array([[2, -1], [0, 1]]), r"got shape \(2, 2\) of int64 with 2 samples"),
        (np.full((2, 2), 0.5), r"got shape \(2, 2\) of float64"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(matrix: np.ndarray, got: str) -> None:
    with pytest.raises(InvalidInputError, match=f"{got}"):
        Scores(matrix)


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([], [], r"\(0,\)"),
        ([0, 1], [0], r"\(2,\).*\(1,\)"),
        ([0, 1], [2, 0], "predicted: class indices 0..2; expected 0..1"),
        ([0, -1], [0, 0], "truth: class indices -1..0; expected 0..1"),
    ],
)
def test_labels_that_cannot_be_counted_are_refused(truth: list[int], predicted: list[int], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Scores.from_labels(np.array(truth, dtype=int), np.array(predicted, dtype=int), num_classes=2)
