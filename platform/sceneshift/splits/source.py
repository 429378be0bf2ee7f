"""The part of a scene pair that a training run is given: sources and splits, nothing of the target.

Shape letters: N pixels.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.splits.split import Split


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceDomain:
    """A labelled source scene of one pair with its split; one per source of the pair.

    Args:
        pair_name: The pair the scene is a source of.
        scene: The source.
        split: Which of its pixels train and which validate.
        part: The source's name if the pair has several; None for a single source.

    Raises:
        InvalidInputError: The split belongs to another scene: another shape, pixels without a label, or
            validation pixels of other classes than it scores; or a class has no pixel that trains.
    """

    pair_name: str
    scene: Scene
    split: Split
    part: str | None = None

    @property
    def key(self) -> str:
        """The source's name among all sources: the pair's name, followed by its own if the pair has several."""
        return self.pair_name if self.part is None else f"{self.pair_name}/{self.part}"

    def __post_init__(self) -> None:
        if self.split.shape != self.scene.shape:
            raise InvalidInputError(
                f"pair {self.key!r}: split made for {self.split.shape} pixels, scene has {self.scene.shape}."
            )
        labels = self.scene.labels.ravel()
        if (labels[self.split.train] == 0).any() or (labels[self.split.validation] == 0).any():
            raise InvalidInputError(f"pair {self.key!r}: the split holds pixels without a label.")
        counts = np.bincount(labels[self.split.train], minlength=self.scene.num_classes + 1)[1:]
        if untrained := [name for name, count in zip(self.scene.class_names, counts, strict=True) if count == 0]:
            raise InvalidInputError(
                f"pair {self.key!r}: no pixel of {', '.join(untrained)} is left to train on, and a class "
                "without training pixels can't be found. Leave it out, or choose a split that trains more."
            )
        validated = {int(k) for k in np.unique(labels[self.split.validation]) - 1}
        if validated != set(self.split.scored_classes):
            raise InvalidInputError(
                f"pair {self.key!r}: validation pixels are of classes {sorted(validated)}, the split scores "
                f"{sorted(self.split.scored_classes)}."
            )

    def labels_of(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Class indices 0..K-1 of labelled pixels, given as flat indices."""
        labels: NDArray[np.int64] = self.scene.labels.ravel()[pixels] - 1
        return labels


def by_pair(sources: Sequence[SourceDomain]) -> dict[str, tuple[SourceDomain, ...]]:
    """The sources of each pair, in their order."""
    names = dict.fromkeys(source.pair_name for source in sources)
    return {name: tuple(source for source in sources if source.pair_name == name) for name in names}


def joined_pixels(
    sources: Sequence[SourceDomain], pixels_of: Callable[[SourceDomain], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Number the pixels of all sources of a pair consecutively; for a single source these are its flat indices.

    The numbers of the second source continue after those of the first, and so on.

    Args:
        sources: The sources of one pair.
        pixels_of: (N,) flat indices of a source, such as those of its split that validate.
    """
    starts = np.cumsum([0, *(source.scene.labels.size for source in sources)])
    return np.concatenate([start + pixels_of(source) for start, source in zip(starts, sources, strict=False)])


def joined_hash(hashes: Sequence[str]) -> str:
    """One hash for the splits of all sources of a pair, 16 hexadecimal digits; a single source's is its own."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()[:16]
