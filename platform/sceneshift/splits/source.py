"""What a training run is handed of a scene pair: the source, its split, and nothing of the target."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.splits.split import Split


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceDomain:
    """The labelled source scene of one pair with its split.

    Args:
        pair_name: The pair the scene is the source of.
        scene: The source.
        split: Which of its pixels train and which validate.

    Raises:
        InvalidInputError: The split belongs to another scene: another shape, pixels without a label, or
            validation pixels of other classes than it scores; or a class has no pixel that trains.
    """

    pair_name: str
    scene: Scene
    split: Split

    def __post_init__(self) -> None:
        if self.split.shape != self.scene.shape:
            raise InvalidInputError(
                f"pair {self.pair_name!r}: split made for {self.split.shape} pixels, scene has {self.scene.shape}."
            )
        labels = self.scene.labels.ravel()
        if (labels[self.split.train] == 0).any() or (labels[self.split.validation] == 0).any():
            raise InvalidInputError(f"pair {self.pair_name!r}: the split holds pixels without a label.")
        counts = np.bincount(labels[self.split.train], minlength=self.scene.num_classes + 1)[1:]
        if untrained := [name for name, count in zip(self.scene.class_names, counts, strict=True) if count == 0]:
            raise InvalidInputError(
                f"pair {self.pair_name!r}: no pixel of {', '.join(untrained)} is left to train on, and a class that "
                "was never seen can't be found. Leave it out, or choose a split that trains more."
            )
        validated = {int(k) for k in np.unique(labels[self.split.validation]) - 1}
        if validated != set(self.split.scored_classes):
            raise InvalidInputError(
                f"pair {self.pair_name!r}: validation pixels are of classes {sorted(validated)}, the split scores "
                f"{sorted(self.split.scored_classes)}."
            )

    def labels_of(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Class indices 0..K-1 of labelled pixels, given as flat indices."""
        labels: NDArray[np.int64] = self.scene.labels.ravel()[pixels] - 1
        return labels
