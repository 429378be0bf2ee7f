"""Labels in a model's classes: by name, by number, and what is rejected."""

import numpy as np
import pytest

from sceneshift.closing.prediction_scores import truth_for
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.tracking.model_description import FORMAT, ModelDescription

MODEL = ModelDescription(
    method="s2amsnet",
    config={"patch_size": 5},
    bands=4,
    class_names=("soil", "tree", "water"),
    class_colours=("#e69f00", "#56b4e9", "#009e73"),
    source_scene="park",
    normalization={"name": "none", "offset": None, "scale": None},
    format=FORMAT,
)


def scene():
    cube = np.ones((2, 3, 4), dtype=np.float32)
    cube[0, 0] = 0  # unmeasured
    return UnlabelledScene(name="field", cube=cube)


def truth(labels, names):
    return truth_for(np.array(labels), names, scene(), MODEL, what="--labels gt.tif")


def test_classes_are_matched_by_name_and_others_are_not_scored():
    found = truth([[1, 1, 2], [3, 0, 2]], ("water", "road", "soil"))
    np.testing.assert_array_equal(found.labels, [[0, 3, 0], [1, 0, 0]])
    assert found.num_classes == 3
    unscored, unmeasured = sorted(found.notes, key=lambda note: "unmeasured" in note)
    assert "road (2 pixels)" in unscored
    assert "1 pixel" in unmeasured


def test_without_names_numbers_are_the_model_s_classes():
    found = truth([[0, 1, 2], [3, 0, 2]], None)
    np.testing.assert_array_equal(found.labels, [[0, 1, 2], [3, 0, 2]])


def test_scores_are_of_labelled_pixels_that_have_a_class():
    found = truth([[1, 1, 2], [3, 0, 2]], None)
    scores = found.score(np.array([[1, 1, 1], [3, 2, 0]], dtype=np.uint8))
    np.testing.assert_array_equal(scores.confusion, [[1, 0, 0], [1, 0, 0], [0, 0, 1]])
    assert scores.oa == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([[1, 2]], None, r"\(1, 2\).*'field'.*\(2, 3\)"),
        ([[0, 0, 0], [0, 0, 0]], None, "above 0"),
        ([[1, 2, 3], [4, 0, 0]], None, "up to 4.*3 classes"),
        ([[1, 2, 3], [0, 0, 0]], ("soil", "tree"), "up to 3 for 2 names"),
        ([[0, 1, 1], [1, 0, 0]], ("road", "roof"), "soil, tree, water"),
    ],
)
def test_a_map_that_does_not_fit_is_rejected_by_its_name(labels, names, message):
    with pytest.raises(InvalidInputError, match=message) as error:
        truth(labels, names)
    assert str(error.value).startswith("--labels gt.tif")
