"""Label maps that finished class maps are compared with. Nothing is trained or chosen with them.

Shape letters: H rows, W columns, K classes of the model.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue.user_entries import NO_CATALOGUE, OwnCatalogue
from sceneshift.commands.predict_arguments import OWN_LABELS, PredictArgs
from sceneshift.commands.scenes import find_scene
from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.files.arrays import read_classes
from sceneshift.files.places import georeference_of, place_labels
from sceneshift.safe_files import expanded
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


def read_truth(
    arguments: PredictArgs,
    scene: UnlabelledScene,
    description: ModelDescription,
    catalogue: OwnCatalogue = NO_CATALOGUE,
) -> Truth:
    """Read ``--labels`` and convert its classes to the model's numbers, by name if names are known.

    Args:
        arguments: The command line.
        scene: The mapped scene.
        description: The model's description.
        catalogue: The user's own scenes.

    Raises:
        MissingDataError: A file isn't there.
        InvalidInputError: The map doesn't fit the scene, or shares no class with the model.
    """
    assert arguments.labels is not None
    names: tuple[str, ...] | None
    if arguments.labels == OWN_LABELS:
        labelled = find_scene(arguments.scene, arguments.data_dir, catalogue)
        labels, names = labelled.labels, labelled.class_names
    else:
        path = expanded(arguments.labels)
        read = read_classes(
            path,
            class_names=arguments.class_names,
            label_values=arguments.label_values,
            unlabelled_values=arguments.unlabelled_values or (),
        )
        names = read.class_names
        labels = place_labels(
            read.numbers,
            georeference_of(path, read.described),
            what=f"--labels {arguments.labels}",
            on=scene,
            cut_to_overlap=arguments.cut_to_overlap,
        )
    if labels.shape != scene.shape:
        raise InvalidInputError(
            f"--labels {arguments.labels}: a map of {labels.shape} pixels; scene {scene.name!r} has {scene.shape}. Are "
            "both of the same scene?"
        )
    renumber, notes = _renumbering(labels, names, description)
    own = np.where(scene.measured, renumber[labels], 0)
    if lost := int(((renumber[labels] > 0) & ~scene.measured).sum()):
        notes.append(f"labels: {lost} pixels are unmeasured, and not scored")
    if not own.any():
        raise InvalidInputError(
            f"--labels {arguments.labels}: no pixel of it has one of the model's classes "
            f"({', '.join(description.class_names)})."
        )
    if description.shares_pixels_with(scene):
        notes.append(
            f"the model was trained on labelled pixels of this image ({description.source_scene}): the scores "
            "say little "
            "about pixels it has not seen"
        )
    return Truth(labels=own, num_classes=len(description.class_names), notes=tuple(notes))


def _renumbering(
    labels: NDArray[np.int64], names: tuple[str, ...] | None, description: ModelDescription
) -> tuple[NDArray[np.int64], list[str]]:
    """The model's class for each number of a label map, 0 for none, and notes for the user."""
    found = [int(number) for number in np.unique(labels) if number > 0]
    if not found:
        raise InvalidInputError("--labels: no pixel of the map has a class; expected some above 0.")
    renumber = np.zeros(max(found) + 1, dtype=np.int64)
    if names is None:
        if max(found) > len(description.class_names):
            raise InvalidInputError(
                f"--labels: class numbers up to {max(found)}, and the model has {len(description.class_names)} classes "
                f"({', '.join(description.class_names)}). Say what the numbers mean by --class-names."
            )
        renumber[found] = found
        return renumber, ["labels: no class names are known; their numbers are taken as the model's classes"]
    if max(found) > len(names):
        raise InvalidInputError(f"--labels: class numbers up to {max(found)} for {len(names)} names; give all of them.")
    unknown, untold = [], [name for name in description.class_names if name not in names]
    for number in found:
        name = names[number - 1]
        if name in description.class_names:
            renumber[number] = 1 + description.class_names.index(name)
        else:
            unknown.append(f"{name} ({int((labels == number).sum())} pixels){nearest_name(name, untold)}")
    if unknown:
        return renumber, [f"labels: not scored, no classes of the model: {', '.join(unknown)}"]
    return renumber, []
