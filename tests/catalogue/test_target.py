"""The door to target labels: figures against scikit-learn, and maps that don't fit are refused."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, confusion_matrix

from sceneshift.catalogue.load import load_both_labelled
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.catalogue.target import TargetScorer, open_target
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene


def random_map(scene: Scene, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    guesses = rng.integers(1, scene.num_classes + 1, size=scene.shape)
    return np.where((rng.random(scene.shape) < 0.6) & (scene.labels > 0), scene.labels, guesses)


def test_scores_are_scikit_learns_over_the_labelled_pixels(tiny_scene: Scene) -> None:
    class_map = random_map(tiny_scene)
    scores = TargetScorer(tiny_scene).score(class_map)
    known = tiny_scene.labels > 0
    truth, predicted = tiny_scene.labels[known], class_map[known]
    np.testing.assert_array_equal(scores.confusion, confusion_matrix(truth, predicted))
    assert scores.oa == pytest.approx(accuracy_score(truth, predicted))
    assert scores.aa == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert scores.kappa == pytest.approx(cohen_kappa_score(truth, predicted))
    assert 0.5 < scores.oa < 0.9


def test_what_is_reported_of_unlabelled_pixels_does_not_count(tiny_scene: Scene) -> None:
    class_map = random_map(tiny_scene)
    other = np.where(tiny_scene.labels > 0, class_map, 1)
    assert (other != class_map).any()
    scorer = TargetScorer(tiny_scene)
    np.testing.assert_array_equal(scorer.score(other).confusion, scorer.score(class_map).confusion)


def test_a_perfect_map_scores_one_and_a_class_never_named_keeps_its_column(tiny_scene: Scene) -> None:
    scorer = TargetScorer(tiny_scene)
    assert scorer.score(np.maximum(tiny_scene.labels, 1)).oa == 1.0
    assert scorer.score(np.full(tiny_scene.shape, 3)).confusion.tolist() == [[0, 0, 256]] * 3


def test_a_map_of_another_shape_is_refused(tiny_scene: Scene) -> None:
    with pytest.raises(InvalidInputError, match=r"\(30, 40\).*\(40, 30\)"):
        TargetScorer(tiny_scene).score(np.ones((30, 40), dtype=int))


@pytest.mark.parametrize(("wrong", "range_"), [(0, "0 to 2"), (4, "2 to 4"), (-1, "-1 to 2")])
def test_ids_outside_the_classes_are_refused_even_on_unlabelled_pixels(
    tiny_scene: Scene, wrong: int, range_: str
) -> None:
    class_map = np.full(tiny_scene.shape, 2)
    class_map[0, 0] = wrong
    assert tiny_scene.labels[0, 0] == 0
    with pytest.raises(InvalidInputError, match=rf"{range_}.*1.*3"):
        TargetScorer(tiny_scene).score(class_map)


# Shares of the largest target class, counted from the label map.
@pytest.mark.parametrize(
    ("name", "share"), [("west-east", 36.7), ("east-west", 48.9), ("sw-se", 39.0), ("se-sw", 64.8), ("nw-ne", 45.2)]
)
def test_the_door_opens_on_the_target_of_the_pair(name: str, share: float) -> None:
    (source,), target = load_both_labelled(NamedPair(name=name))
    scorer = open_target(NamedPair(name=name))
    np.testing.assert_array_equal(scorer.ground_truth(), target.labels)
    assert scorer.class_names == source.class_names
    assert round(100 * scorer.largest_class_share(), 1) == share
    largest = 1 + int(target.class_counts.argmax())
    assert scorer.score(np.full(target.shape, largest)).oa == pytest.approx(scorer.largest_class_share())


def test_the_ground_truth_cannot_be_written_through(tiny_scene: Scene) -> None:
    with pytest.raises(ValueError, match="read-only"):
        TargetScorer(replace(tiny_scene)).ground_truth()[0, 0] = 1


def test_an_unknown_pair_has_no_door() -> None:
    with pytest.raises(InvalidInputError, match="'south-north'"):
        open_target(NamedPair(name="south-north"))


def test_an_unmeasured_pixel_is_zero_in_a_map_and_not_scored(tiny_scene: Scene) -> None:
    cube = tiny_scene.cube.copy()
    cube[:9] = 0
    scene = replace(tiny_scene, cube=cube)
    class_map = random_map(tiny_scene)
    class_map[:9] = 0
    scores = TargetScorer(scene).score(class_map)
    known = (tiny_scene.labels > 0) & (np.arange(40) >= 9)[:, None]
    np.testing.assert_array_equal(scores.confusion, confusion_matrix(tiny_scene.labels[known], class_map[known]))
    with pytest.raises(InvalidInputError, match="unmeasured"):
        TargetScorer(tiny_scene).score(class_map)
