"""A source scene and a target scene never seen in training, and the door the target's labels stand behind.

Shape letters: H rows, W columns, C bands, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Footprint, Scene, UnlabelledScene


@dataclass(frozen=True, kw_only=True, eq=False)
class ScenePair:
    """One labelled source and one target without labels, with the same bands.

    The target's labels are not here and can't be reached from here: see
    :class:`sceneshift.scenes.target.TargetScorer`.

    Args:
        name: The pair's name, such as ``west-east``.
        source: The labelled scene; its classes are the shared classes.
        target: The scene to be mapped.

    Raises:
        InvalidInputError: The target carries labels, the band counts or the normalizations differ, or the two
            scenes share a pixel.
    """

    name: str
    source: Scene
    target: UnlabelledScene

    def __post_init__(self) -> None:
        if isinstance(self.target, Scene):
            raise InvalidInputError(
                f"pair {self.name!r}: the target must come without labels; pass scene.without_labels()."
            )
        if self.source.num_bands != self.target.num_bands:
            raise InvalidInputError(
                f"pair {self.name!r}: source has {self.source.num_bands} bands, target "
                f"{self.target.num_bands}; align them first."
            )
        if self.source.normalization != self.target.normalization:
            raise InvalidInputError(
                f"pair {self.name!r}: source was normalized by {self.source.normalization}, target by "
                f"{self.target.normalization}; use the same steps on both."
            )
        refuse_shared_pixels([self])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K shared classes."""
        return self.source.class_names


def refuse_shared_pixels(pairs: Sequence[ScenePair]) -> None:
    """Refuse a set of pairs in which a pixel belongs to one pair's source and to one pair's target.

    With east -> west beside west -> east, every target pixel of the one is trained on by the other, and a
    choice made over both has seen all target labels.

    Raises:
        InvalidInputError: Naming the two pairs.
    """
    for one in pairs:
        for other in pairs:
            source: Footprint = one.source.footprint
            if source.overlaps(other.target.footprint):
                raise InvalidInputError(
                    f"the source of pair {one.name!r} and the target of pair {other.name!r} share pixels of "
                    f"{source.parent!r}: labels trained on in one would be scored as unseen in the other. "
                    "Search these pairs in separate studies."
                )
