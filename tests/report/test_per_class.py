import numpy as np
import pytest

from sceneshift.report.per_class import render_per_class
from sceneshift.scores import Scores

#: Class 0: 3 of 4 right. Class 1: 2 of 2, but one answer of 3 was wrong. Class 2: never seen, never answered.
TRUTH = np.array([0, 0, 0, 0, 1, 1])
ANSWER = np.array([0, 0, 0, 1, 1, 1])


def table(truth=TRUTH, answer=ANSWER, names=("soil", "tall tree", "water")):
    scores = Scores.from_labels(truth, answer, num_classes=len(names))
    return scores, render_per_class(scores, class_names=names, num_train=[7, 12345, 0][: len(names)])


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_by_hand():
    scores, text = table()
    lines = text.splitlines()
    assert cells(lines[0]) == ["class", "train", "test", "accuracy", "precision"]
    assert [cells(line) for line in lines[2:5]] == [
        ["soil", "7", "4", "75.0", "100.0"],
        ["tall tree", "12345", "2", "100.0", "66.7"],
        ["water", "0", "0", "-", "-"],
    ]
    assert scores.oa == pytest.approx(5 / 6)
    assert lines[-1] == f"OA 83.33, AA 87.50, kappa {scores.kappa:.4f} over 6 pixels"
    assert text.endswith("pixels\n")


def test_a_class_that_is_never_right_has_zeros_and_one_only_answered_has_no_accuracy():
    _, text = table(truth=np.array([0, 0, 1]), answer=np.array([2, 2, 1]))
    rows = [cells(line) for line in text.splitlines()[2:5]]
    assert rows[0][2:] == ["2", "0.0", "-"]
    assert rows[2][2:] == ["0", "-", "0.0"]


def test_the_columns_are_below_each_other():
    _, text = table()
    lines = text.splitlines()[:5]
    assert len({tuple(i for i, c in enumerate(line) if c == "|") for line in lines}) == 1
    _, short = table(truth=np.array([0]), answer=np.array([0]), names=("a", "b"))
    assert len({len(line) for line in short.splitlines()[:4]}) == 1


def test_too_few_names_or_counts_are_no_silent_table():
    scores = Scores.from_labels(TRUTH, ANSWER, num_classes=3)
    with pytest.raises(IndexError):
        render_per_class(scores, class_names=["a", "b", "c"], num_train=[1, 2])
