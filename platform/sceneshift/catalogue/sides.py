"""The scenes on both sides of a pair, from its name: that of a known pair, or sources and a target, ``a+b-c``.

Both sides may be the user's own scenes, published ones, and the parts of Indian Pines that the embedded pairs are
made of (:data:`EMBEDDED_SIDES`); a name that is known twice is the user's.
"""

from dataclasses import dataclass

from sceneshift.catalogue.builtin import EMBEDDED_PAIRS, PAIRS, SCENES
from sceneshift.catalogue.user_entries import OwnCatalogue, OwnPair
from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.scenes.alignment import AlignmentRule

#: Parts of Indian Pines, and the classes of each.
EMBEDDED_SIDES = {
    region: entry.class_names
    for entry in EMBEDDED_PAIRS.values()
    for region in (entry.source_region, entry.target_region)
}

#: What joins the names of several sources. No name of a scene or a pair may hold it.
_PLUS = "+"


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The scenes of a pair, by name.

    Args:
        sources: One, or several.
        target: The target.
    """

    sources: tuple[str, ...]
    target: str


def find_sides(pair: str, catalogue: OwnCatalogue) -> Sides:
    """Find the scenes of a pair.

    Args:
        pair: Its name.
        catalogue: The user's own scenes and pairs.

    Raises:
        InvalidInputError: No pair has that name; or, of ``a+b-c``, no scene has one of the names, a scene is there
            twice, or the name can be read in more than one way.
    """
    if (known := catalogue.pairs.get(pair) or PAIRS.get(pair)) is not None:
        return Sides(sources=(known.source,), target=known.target)
    if pair in EMBEDDED_PAIRS:
        entry = EMBEDDED_PAIRS[pair]
        return Sides(sources=(entry.source_region,), target=entry.target_region)
    if _PLUS not in pair:
        names = (*EMBEDDED_PAIRS, *PAIRS, *catalogue.pairs)
        raise InvalidInputError(
            f"no scene pair is called {pair!r}{nearest_name(pair, names)}. Known: {', '.join(names)}; several sources "
            "are joined by +, as in nw+sw-se." + catalogue.advice()
        )
    return _split(pair, catalogue)


def is_embedded(side: str, catalogue: OwnCatalogue) -> bool:
    """Whether a side of a pair is a part of Indian Pines, which comes with a package.

    Args:
        side: The scene's name.
        catalogue: The user's own scenes and pairs.
    """
    return side in EMBEDDED_SIDES and side not in catalogue.scenes


def alignment_rule(source: str, target: str, catalogue: OwnCatalogue) -> AlignmentRule:
    """How a source corresponds with a target: as in the pair of the two, if one is known, else by the classes' names.

    Raises:
        InvalidInputError: The user describes several pairs of the two that say different things.
    """
    own = [pair for pair in catalogue.pairs.values() if (pair.source, pair.target) == (source, target)]
    if len({pair.rule for pair in own}) > 1:
        raise InvalidInputError(
            f"{source} and {target} are the pairs {', '.join(pair.name for pair in own)}, whose class_map or fwhm_nm "
            "differ; expected one rule for a pair of several sources. Keep one of them in a separate catalogue."
        )
    if own:
        return own_rule(own[0])
    published = next((pair for pair in PAIRS.values() if pair.scenes == (source, target)), None)
    class_matches = None if published is None or published.class_matches is None else dict(published.class_matches)
    return AlignmentRule(class_matches=class_matches)


def own_rule(pair: OwnPair) -> AlignmentRule:
    """The rule of a pair that the user describes."""
    class_matches = None if pair.class_matches is None else dict(pair.class_matches)
    return AlignmentRule(class_matches=class_matches, merged=dict(pair.merged), fwhm_nm=pair.fwhm_nm)


def _split(pair: str, catalogue: OwnCatalogue) -> Sides:
    with_labels = (name for name, entry in SCENES.items() if not entry.has_own_masks)
    known = tuple(dict.fromkeys((*catalogue.scenes, *with_labels, *EMBEDDED_SIDES)))
    # A name may hold a minus itself.
    places = [place for place, letter in enumerate(pair) if letter == "-"]
    readings = [(pair[:place].split(_PLUS), pair[place + 1 :]) for place in places]
    unknown = {i: [n for n in (*names, target) if n not in known] for i, (names, target) in enumerate(readings)}
    found = [readings[i] for i, missing in unknown.items() if not missing]
    if not found:
        best = min(unknown.values(), key=len, default=[])
        wrong = f"; no scene is called {best[0]!r}{nearest_name(best[0], known)}" if best else ""
        raise InvalidInputError(
            f"got the pair {pair!r}{wrong}; expected sources joined by +, a minus and the target, as in nw+sw-se. "
            f"Known: {', '.join(known)}." + catalogue.advice()
        )
    if len(found) > 1:
        ways = " or ".join(f"{' and '.join(names)} -> {target}" for names, target in found)
        raise InvalidInputError(f"the pair {pair!r} is {ways}; expected one way to read it. Rename one of the scenes.")
    names, target = found[0]
    for name in (*names, target):
        if (*names, target).count(name) > 1:
            raise InvalidInputError(f"the pair {pair!r} names {name} twice; expected each scene once.")
    return Sides(sources=tuple(names), target=target)
