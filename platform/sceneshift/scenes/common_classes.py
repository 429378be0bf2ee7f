"""The classes that scenes share, with the same numbers in all.

Shape letters: K classes.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.scenes.scene import Scene


def share_classes(
    sources: Sequence[Scene],
    target: Scene,
    class_matches: Sequence[Mapping[str, str] | None],
    merged: Sequence[Mapping[str, str]],
) -> tuple[list[Scene], Scene, list[str]]:
    """Keep the classes that all scenes have, by the first source's names and in its order.

    Args:
        sources: The sources.
        target: The target.
        class_matches: For each source, which of its classes each class of the target is; None goes by name.
        merged: For each source, new names of its classes; those of one name become one class.

    Returns:
        Sources and target with the shared classes only, and what was done, one line each.

    Raises:
        InvalidInputError: Fewer than two classes are shared, a match names an unknown class, or two sources take the
            target's classes together in different ways.
    """
    ours = [_merged(source, names) for source, names in zip(sources, merged, strict=True)]
    theirs = [_of_target(target, own, matches) for own, matches in zip(ours, class_matches, strict=True)]
    first = theirs[0]
    kept = {name: first[name] for name in first if all(name in other for other in theirs)}
    for source, other in zip(sources[1:], theirs[1:], strict=True):
        _refuse_other_grouping(sources[0], source, {name: other[name] for name in kept}, kept)
    shared = tuple(dict.fromkeys(name for name in ours[0].values() if name in kept.values()))
    if len(shared) < 2:
        offered = [f"source {scene.name!r} ({', '.join(scene.class_names)})" for scene in sources]
        raise InvalidInputError(
            f"{', '.join(offered)} and target {target.name!r} ({', '.join(target.class_names)}) share {len(shared)} of "
            "their classes; expected at least two shared classes. Match names that differ with "
            "class_matches={'name in the target': 'name in the source'}, or with class_map in a TOML file."
        )
    # What each class of a source becomes.
    meanings = []
    for own, other in zip(ours, theirs, strict=True):
        known_as = {other[name]: kept[name] for name in kept}
        meanings.append({name: known_as[new] for name, new in own.items() if new in known_as})
    notes = [
        line
        for source, own, names, meaning in zip(sources, ours, merged, meanings, strict=True)
        for line in _taken(source, own, [new for new in dict.fromkeys(names.values()) if _is_kept(new, own, meaning)])
    ]
    notes += [
        f"class {other} of {target.name} is taken as {name}"
        + ("" if name in merged[0].values() else f" of {sources[0].name}")
        for other, name in kept.items()
        if other != name
    ]
    notes += [
        f"class {own[name]} of {source.name} is taken as {new} of {sources[0].name}"
        for source, own, meaning in zip(sources[1:], ours[1:], meanings[1:], strict=True)
        for name, new in meaning.items()
        if own[name] != new
    ]
    # With matches, a class that they don't name may well be on the other side, by this name or another.
    by_match = [matches is not None or bool(names) for matches, names in zip(class_matches, merged, strict=True)]
    sides = [*zip(sources, meanings, by_match, strict=True), (target, kept, any(by_match))]
    for scene, taken, is_matched in sides:
        if left_out := [name for name in scene.class_names if name not in taken]:
            why = f"of {scene.name}, not matched to a class" if is_matched else f"only in {scene.name}"
            if len(sources) > 1 and not is_matched:
                why = f"of {scene.name}, which not every scene has"
            notes.append(f"left out, {why}: {', '.join(left_out)}")
    return (
        [_renumbered(source, meaning, shared) for source, meaning in zip(sources, meanings, strict=True)],
        _renumbered(target, kept, shared),
        notes,
    )


def _merged(source: Scene, names: Mapping[str, str]) -> dict[str, str]:
    """What each class of a source is called after merging."""
    _refuse_unknown("source", names, source.class_names)
    ours = {name: names.get(name, name) for name in source.class_names}
    if clash := [name for name in names.values() if name in source.class_names and names.get(name) != name]:
        raise InvalidInputError(
            f"matching classes: classes of the source are merged into {clash[0]!r}, which is another class of the "
            "source; expected a new name. Choose another, or merge that class as well."
        )
    return ours


def _of_target(target: Scene, ours: Mapping[str, str], matches: Mapping[str, str] | None) -> Mapping[str, str]:
    """Which class of a source each class of the target is."""
    if matches is None:
        return {name: name for name in target.class_names if name in ours.values()}
    _refuse_unknown("target", matches, target.class_names)
    _refuse_unknown("source", matches.values(), tuple(dict.fromkeys(ours.values())))
    return matches


def _refuse_other_grouping(one: Scene, other: Scene, in_other: Mapping[str, str], in_one: Mapping[str, str]) -> None:
    """Two classes of the target that are one class of one source must be one class of the other."""
    for a, b in itertools.combinations(in_one, 2):
        if (in_one[a] == in_one[b]) != (in_other[a] == in_other[b]):
            joins, parts = (one, other) if in_one[a] == in_one[b] else (other, one)
            raise InvalidInputError(
                f"matching classes: the target's classes {a} and {b} are one class of source {joins.name!r} and two "
                f"of source {parts.name!r}; expected the same classes in all sources. Merge the two in the "
                f"class_map of {parts.name}'s pair with the target as well."
            )


def _is_kept(name: str, ours: Mapping[str, str], meaning: Mapping[str, str]) -> bool:
    return any(ours[of_source] == name for of_source in meaning)


def _taken(source: Scene, ours: Mapping[str, str], names: Iterable[str]) -> list[str]:
    return [
        f"{_classes(of_source)} of {source.name} {'is' if len(of_source) == 1 else 'are'} taken as {name}"
        for name in names
        if (of_source := [other for other in source.class_names if ours[other] == name]) != [name]
    ]


def _refuse_unknown(side: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise InvalidInputError(
                f"matching classes: the {side} has no class {name!r}{nearest_name(name, known)}; "
                f"it has {', '.join(known)}."
            )


def _classes(names: Sequence[str]) -> str:
    return f"class {names[0]}" if len(names) == 1 else f"classes {', '.join(names[:-1])} and {names[-1]}"


def _renumbered(scene: Scene, meaning: Mapping[str, str], shared: tuple[str, ...]) -> Scene:
    """The scene with only the shared classes, in their order."""
    if scene.class_names == shared and all(name == meaning.get(name) for name in shared):
        return scene
    renumber = np.zeros(scene.num_classes + 1, dtype=np.int64)
    for k, name in enumerate(scene.class_names, start=1):
        if name in meaning:
            renumber[k] = 1 + shared.index(meaning[name])
    return replace(scene, labels=renumber[scene.labels], class_names=shared)
