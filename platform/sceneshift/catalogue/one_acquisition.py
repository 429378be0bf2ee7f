"""Rejects a source and a target that hold the same pixels, whatever their files are called.

Scenes that declare where in one acquisition they are, such as two cuts of one file, are judged by that: whether their
footprints overlap (:func:`sceneshift.splits.pair.refuse_shared_pixels`). All others are compared by their content.
"""

from collections.abc import Sequence

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.scenes.shared_pixels import find_shared_pixels
from sceneshift.splits.pair import ScenePair


def refuse_one_acquisition(
    pair: str, source: UnlabelledScene, target: UnlabelledScene, *, is_source: bool = False
) -> None:
    """Reject a source and a target, or two sources, of different names that hold the same pixels.

    Args:
        pair: The pair's name, for the message.
        source: The source.
        target: The target, with the source's bands; or another source.
        is_source: Whether ``target`` is another source.

    Raises:
        InvalidInputError: Pixels of one are in the other, at any offset, with any factor or offset on their values.
    """
    if source.footprint.parent == target.footprint.parent:
        return
    if (found := find_shared_pixels(source.cube, target.cube)) is not None:
        other, so = ("source", "validated on") if is_source else ("target", "scored as unseen")
        raise InvalidInputError(
            f"pair {pair!r}: source {source.name!r} and {other} {target.name!r} are of one acquisition: of "
            f"{found.num_drawn} pixels drawn from the smaller scene, {found.num_shared} are in the other as well, so "
            f"labels trained on would be {so}. Pair two acquisitions, or describe two cuts of one file "
            "that don't overlap (`rows`, `columns` or `mask` in the TOML catalogue: docs/scenes.md)."
        )


def refuse_shared_content(pairs: Sequence[ScenePair]) -> None:
    """Reject pairs of one study if the source of one holds pixels of another's target; see the module.

    Args:
        pairs: The pairs; each has passed :func:`refuse_one_acquisition`.

    Raises:
        InvalidInputError: Naming the two pairs.
    """
    for one in pairs:
        for other in pairs:
            if one is not other and one.sources[0].num_bands == other.target.num_bands:
                for source in one.sources:
                    refuse_one_acquisition(f"{one.name} with {other.name}", source, other.target)
