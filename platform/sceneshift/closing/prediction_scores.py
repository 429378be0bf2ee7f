"""Labels that a finished class map is scored with. Nothing is trained or chosen with them.

Shape letters: H rows, W columns, K classes of the model.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.scores import Scores
from sceneshift.tracking.model_description import ModelDescription


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """Labels in the model's numbers.

    Args:
        labels: (H, W) class ids 1..K, 0 = unlabelled or a class the model doesn't know.
        num_classes: K.
        notes: What a reader should know, one line each.
    """

    labels: NDArray[np.int64]
    num_classes: int
    notes: tuple[str, ...]

    def score(self, class_map: NDArray[np.integer]) -> Scores:
        """Score a class map on the labelled pixels to which it assigns a class (pixels without data have none)."""
        known = (self.labels > 0) & (class_map > 0)
        predicted = class_map[known].astype(np.int64)
        return Scores.from_labels(self.labels[known] - 1, predicted - 1, num_classes=self.num_classes)


def truth_for(
    labels: NDArray[np.int64],
    names: tuple[str, ...] | None,
    scene: UnlabelledScene,
    description: ModelDescription,
    *,
    what: str,
) -> Truth:
    """Convert a label map's classes to the model's, by name if names are known, otherwise by number.

    Args:
        labels: (H, W) class numbers, 0 = unlabelled.
        names: The class names of the numbers 1, 2, …; None if they are not known.
        scene: The mapped scene.
        description: The model's description.
        what: What the error messages call the map, such as the flag that named it.

    Raises:
        InvalidInputError: The map doesn't fit the scene, or shares no class with the model.
    """
    if labels.shape != scene.shape:
        raise InvalidInputError(
            f"{what}: a map of {labels.shape} pixels; scene {scene.name!r} has {scene.shape}. Are both of the same "
            "scene?"
        )
    renumber, notes = _renumbering(labels, names, description, what=what)
    own = np.where(scene.measured, renumber[labels], 0)
    if lost := int(((renumber[labels] > 0) & ~scene.measured).sum()):
        notes.append(f"labels: {lost} pixels are unmeasured, and not scored")
    if not own.any():
        raise InvalidInputError(
            f"{what}: no labelled pixel has one of the model's classes ({', '.join(description.class_names)})."
        )
    if description.shares_pixels_with(scene):
        notes.append(
            f"the model was trained on labelled pixels of this image ({description.source_scene}): the scores "
            "say little about pixels it has not seen"
        )
    return Truth(labels=own, num_classes=len(description.class_names), notes=tuple(notes))


def _renumbering(
    labels: NDArray[np.int64], names: tuple[str, ...] | None, description: ModelDescription, *, what: str
) -> tuple[NDArray[np.int64], list[str]]:
    """The model's class for each number of a label map, 0 for none, and notes for the user."""
    found = [int(number) for number in np.unique(labels) if number > 0]
    if not found:
        raise InvalidInputError(f"{what}: no pixel of the map has a class; expected some above 0.")
    renumber = np.zeros(max(found) + 1, dtype=np.int64)
    if names is None:
        if max(found) > len(description.class_names):
            raise InvalidInputError(
                f"{what}: class numbers up to {max(found)}, and the model has {len(description.class_names)} classes "
                f"({', '.join(description.class_names)}). Name the classes of the numbers with --class-names."
            )
        renumber[found] = found
        return renumber, ["labels: no class names are known; their numbers are taken as the model's classes"]
    if max(found) > len(names):
        raise InvalidInputError(f"{what}: class numbers up to {max(found)} for {len(names)} names; give all of them.")
    unknown, left = [], [name for name in description.class_names if name not in names]
    for number in found:
        name = names[number - 1]
        if name in description.class_names:
            renumber[number] = 1 + description.class_names.index(name)
        else:
            unknown.append(f"{name} ({int((labels == number).sum())} pixels){nearest_name(name, left)}")
    if unknown:
        return renumber, [f"labels: not scored, no classes of the model: {', '.join(unknown)}"]
    return renumber, []
