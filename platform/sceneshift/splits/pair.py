"""One or several source scenes and a target scene never seen in training, without the target's labels.

Shape letters: H rows, W columns, C bands, K classes.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene, UnlabelledScene
from sceneshift.splits.split import Split


@dataclass(frozen=True, kw_only=True, eq=False)
class ScenePair:
    """Labelled sources and one target without labels, with the same bands; in most pairs there is one source.

    The target's labels are not here and can't be reached from here: see
    :class:`sceneshift.catalogue.target.TargetScorer`.

    Args:
        name: The pair's name, such as ``west-east``, or ``nw+sw-se`` of two sources.
        sources: The labelled scenes; their classes are the shared classes.
        target: The scene to be mapped.
        test_split: If source and target are one scene, which of its pixels train (all that are labelled in the
            source) and which test. Positions only, no label of a test pixel.
        notes: How the pair was prepared, one line each.

    Raises:
        InvalidInputError: There is no source, the target carries labels, the band counts, normalizations or the
            sources' classes differ, two sources have one name, two scenes share a pixel without a test split, or the
            source has labels on other pixels than the training side's.
    """

    name: str
    sources: tuple[Scene, ...]
    target: UnlabelledScene
    test_split: Split | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.target, Scene):
            raise InvalidInputError(
                f"pair {self.name!r}: the target must come without labels; pass scene.without_labels()."
            )
        if not self.sources:
            raise InvalidInputError(f"pair {self.name!r}: got no source; expected at least one labelled scene.")
        for source in self.sources:
            if source.num_bands != self.target.num_bands:
                raise InvalidInputError(
                    f"pair {self.name!r}: source has {source.num_bands} bands, target "
                    f"{self.target.num_bands}; align them first."
                )
            if source.normalization != self.target.normalization:
                raise InvalidInputError(
                    f"pair {self.name!r}: source was normalized by {source.normalization}, target by "
                    f"{self.target.normalization}; use the same steps on both."
                )
            if source.class_names != self.class_names:
                raise InvalidInputError(
                    f"pair {self.name!r}: source {self.sources[0].name!r} has the classes "
                    f"{', '.join(self.class_names)}, source {source.name!r} {', '.join(source.class_names)}; align "
                    "them first."
                )
        for one, other in itertools.combinations(self.sources, 2):
            if short_name(one) == short_name(other):
                raise InvalidInputError(
                    f"pair {self.name!r}: two sources are called {short_name(one)!r}; expected different scenes."
                )
            if one.footprint.overlaps(other.footprint):
                raise InvalidInputError(
                    f"pair {self.name!r}: the sources {short_name(one)} and {short_name(other)} share pixels of "
                    f"{one.footprint.parent!r}, which would train in the one and validate in the other; expected "
                    "sources that don't overlap. Name the larger one alone."
                )
        if self.test_split is not None:
            self._check_test_split(self.test_split)
        refuse_shared_pixels([self])

    @property
    def source(self) -> Scene:
        """The source of a pair with a single source.

        Raises:
            InvalidInputError: It has several.
        """
        if len(self.sources) != 1:
            raise InvalidInputError(f"pair {self.name!r} has {len(self.sources)} sources; expected one. See `sources`.")
        return self.sources[0]

    def _check_test_split(self, split: Split) -> None:
        if split.shape != self.source.shape or self.source.footprint != self.target.footprint:
            raise InvalidInputError(
                f"pair {self.name!r}: a test split of {split.shape} pixels for a source of {self.source.shape} and a "
                f"target of {self.target.shape}; expected source and target to be the one scene it divides."
            )
        labels = self.source.labels.ravel()
        if tested := int((labels[split.validation] > 0).sum()):
            raise InvalidInputError(
                f"pair {self.name!r}: {tested} test pixels are labelled in the source; keep the training side's labels "
                "only."
            )
        if not np.array_equal(np.flatnonzero(labels), split.train):
            raise InvalidInputError(
                f"pair {self.name!r}: the source has {int((labels > 0).sum())} labelled pixels, the training side "
                f"{len(split.train)}; they must be the same pixels."
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K shared classes."""
        return self.sources[0].class_names


def short_name(scene: UnlabelledScene) -> str:
    """The name of a source within its pair; for a part of a scene the part's name, such as ``nw``."""
    return scene.name.rpartition("/")[2]


def refuse_shared_pixels(pairs: Sequence[ScenePair]) -> None:
    """Reject a set of pairs in which a pixel belongs to one pair's source and another's target.

    With both east -> west and west -> east, every target pixel of one pair trains in the other, and a choice made over
    both has seen all target labels. A pair within one scene may overlap itself: its test split keeps the two sides
    apart. It can't be combined with another pair of that scene.

    Raises:
        InvalidInputError: Naming the two pairs.
    """
    for i, one in enumerate(pairs):
        for j, other in enumerate(pairs):
            if i == j and one.test_split is not None:
                continue
            for source in (scene.footprint for scene in one.sources):
                if source.overlaps(other.target.footprint):
                    raise InvalidInputError(
                        f"the source of pair {one.name!r} and the target of pair {other.name!r} share pixels of "
                        f"{source.parent!r}: training labels of one would be scored as unseen in the other. "
                        + ("Name other scenes." if i == j else "Search these pairs in separate studies.")
                    )
