"""Groups of pairs that share flights: what is learned on one pair of a group is not independent of another's."""

from collections.abc import Sequence

from sceneshift.splits.pair import ScenePair


def scene_groups(pairs: Sequence[ScenePair]) -> dict[str, str]:
    """Group pairs by the flights of their scenes, as the catalogue knows them (``scene.footprint.parent``).

    Two pairs are of one group if they share a flight, or are linked through others that do: Samson → Jasper Ridge and
    MUUFL → Jasper Ridge are, through Jasper Ridge.

    Args:
        pairs: All pairs to be distinguished, in one call, since one pair may link two others.

    Returns:
        The group's name by the pair's name: its flights, sorted, joined by ``+``.
    """
    groups: list[set[str]] = []
    for pair in pairs:
        flights = {scene.footprint.parent for scene in (*pair.sources, pair.target)}
        linked = [group for group in groups if group & flights]
        groups = [group for group in groups if not group & flights] + [flights.union(*linked)]
    names = {flight: "+".join(sorted(group)) for group in groups for flight in group}
    return {pair.name: names[pair.target.footprint.parent] for pair in pairs}
