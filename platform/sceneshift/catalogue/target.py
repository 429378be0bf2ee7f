"""The one door to the target's labels.

It is opened when a study or a training closes, after the last epoch, and by ``promote.py --on target``, which compares
finished models by what is behind it and says so. ``tests/test_layout.py`` lists the modules that may import this one:
none of them trains a network, and only ``--selection oracle`` chooses between the trials of a search by labels. Beside
the door, ``scenes.py pair`` describes scenes with all their labels, and ``predict.py`` scores a map with the labels it
is given.

Shape letters: H rows, W columns, K classes.
"""

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue.load import load_both_labelled
from sceneshift.catalogue.pair_spec import Recipe
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.scores import Scores


class TargetScorer:
    """Compares class maps with the labels of one target scene.

    Args:
        scene: The target with its labels; kept inside.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K classes, in the order of the ids 1..K."""
        return self._scene.class_names

    def score(self, class_map: NDArray[np.integer]) -> Scores:
        """Score a class map on the labelled pixels.

        Args:
            class_map: (H, W) class ids 1..K; 0 at unmeasured pixels, which have no label.

        Raises:
            InvalidInputError: The map has another shape, ids outside 0..K, or 0 at a measured pixel.
        """
        labels = self._scene.labels
        if class_map.shape != labels.shape:
            raise InvalidInputError(f"class map of shape {class_map.shape}; the target has {labels.shape}.")
        lowest = class_map.min(where=self._scene.measured, initial=self._scene.num_classes)
        if lowest < 1 or class_map.min() < 0 or class_map.max() > self._scene.num_classes:
            raise InvalidInputError(
                f"class ids from {class_map.min()} to {class_map.max()}; expected 1 to {self._scene.num_classes}, and "
                "0 at unmeasured pixels alone."
            )
        known = labels > 0
        return Scores.from_labels(labels[known] - 1, class_map[known] - 1, num_classes=self._scene.num_classes)

    def largest_class_share(self) -> float:
        """The best OA that answering one class throughout could reach, 0..1: what a figure has to beat."""
        counts = self._scene.class_counts
        return float(counts.max() / counts.sum())

    def ground_truth(self) -> NDArray[np.int64]:
        """(H, W) labels, 0 = unlabelled, for the picture drawn next to a class map."""
        return self._scene.labels


def open_target(recipe: Recipe) -> TargetScorer:
    """Open the door to the labels of a pair's target; within one scene, to those of the test side only."""
    _, target = load_both_labelled(recipe)
    return TargetScorer(target)
