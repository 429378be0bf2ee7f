"""The scene pairs known by name."""

from dataclasses import dataclass

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.scenes import indian_pines
from sceneshift.scenes.pair import ScenePair
from sceneshift.scenes.scene import Scene

_FIVE_CLASSES = ("Corn-notill", "Grass-pasture", "Grass-trees", "Soybean-notill", "Soybean-mintill")
_THREE_CLASSES = ("Corn-notill", "Soybean-notill", "Soybean-mintill")


@dataclass(frozen=True, kw_only=True)
class PairEntry:
    """An embedded pair: two regions of Indian Pines and the classes they share."""

    source_region: str
    target_region: str
    class_names: tuple[str, ...]


#: Buildings-Grass-Trees-Drives is left out of all of them: its field crosses the cut at column 72.
EMBEDDED_PAIRS = {
    "west-east": PairEntry(source_region="west", target_region="east", class_names=_FIVE_CLASSES),
    "east-west": PairEntry(source_region="east", target_region="west", class_names=_FIVE_CLASSES),
    "sw-se": PairEntry(source_region="sw", target_region="se", class_names=_FIVE_CLASSES),
    "se-sw": PairEntry(source_region="se", target_region="sw", class_names=_FIVE_CLASSES),
    "nw-ne": PairEntry(source_region="nw", target_region="ne", class_names=_THREE_CLASSES),
}


def load_pair(name: str) -> ScenePair:
    """Load a pair by name; the target comes without its labels.

    Raises:
        InvalidInputError: No pair has that name.
        MissingDataError: The pair's data isn't installed.
    """
    source, target = load_both_labelled(name)
    return ScenePair(name=name, source=source, target=target.without_labels())


def load_both_labelled(name: str) -> tuple[Scene, Scene]:
    """Load source and target with labels: for :func:`load_pair` and ``scenes.target`` alone (a test holds it)."""
    if name not in EMBEDDED_PAIRS:
        raise InvalidInputError(
            f"no scene pair is called {name!r}{nearest_name(name, EMBEDDED_PAIRS)}. Known: {', '.join(EMBEDDED_PAIRS)}."
        )
    entry = EMBEDDED_PAIRS[name]
    whole = indian_pines.load_indian_pines()
    return (
        indian_pines.cut_region(whole, entry.source_region, entry.class_names),
        indian_pines.cut_region(whole, entry.target_region, entry.class_names),
    )
