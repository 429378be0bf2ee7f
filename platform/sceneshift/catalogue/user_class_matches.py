"""The table ``class_map`` of a pair in a user's TOML file: which classes of source and target are the same.

A key is the name of a class that the pair has. Its value says what goes into it: a class of the target, or a list of
them, where the key is a class of the source; or ``{ source = [...], target = [...] }``, which merges classes of either
side. Where one of these two keys is missing, that side's class has the pair's name. Classes of either side that are
named nowhere are left out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sceneshift.errors import InvalidInputError, nearest_name

_ADVICE = 'Write { "class of the source" = "class of the target" }, or { name = { source = [...], target = [...] } }.'

#: Pairs of names: a class of one side, and its name in the pair.
Names = tuple[tuple[str, str], ...]


def read_class_matches(
    written: Mapping[str, Any],
    ours: Sequence[str] | None,
    theirs: Sequence[str] | None,
    *,
    wrong: Callable[..., InvalidInputError],
) -> tuple[Names, Names]:
    """Read and check the table ``class_map``.

    Args:
        written: The table.
        ours: The source's classes; None where only its file knows them.
        theirs: The target's, likewise.
        wrong: Makes an error of what was expected and of advice.

    Returns:
        (class of the target, its name in the pair) for each that is named, and (class of the source, its new name) for
        those that a ``{ source = … }`` names.

    Raises:
        InvalidInputError: A class is unknown or named twice, a name is taken, or fewer than two classes are left.
    """
    of_target: dict[str, str] = {}
    of_source: dict[str, str] = {}
    merged: dict[str, str] = {}
    for name, value in written.items():
        sides = value if isinstance(value, dict) else {"source": name, "target": value}
        if unknown := [key for key in sides if key not in ("source", "target")]:
            raise wrong(expected=f"source and target for {name!r}, and {unknown[0]!r} is neither", advice=_ADVICE)
        for side, known, found in (("source", ours, of_source), ("target", theirs, of_target)):
            for one in _listed(sides.get(side, name), name, side, wrong):
                if known is not None and one not in known:
                    raise wrong(
                        expected=f"classes of the {side} ({', '.join(known)}), and {one!r} is none"
                        + nearest_name(one, known),
                        advice=_ADVICE,
                    )
                if one in found:
                    raise wrong(
                        expected=f"each class of the {side} once, and {one!r} is named twice", advice="Leave one out."
                    )
                found[one] = name
                if side == "source" and isinstance(value, dict):
                    merged[one] = name
    for name in set(merged.values()):
        if ours is not None and name in ours and merged.get(name) != name:
            raise wrong(
                expected=f"a new name for merged classes, and {name!r} is another class of the source",
                advice="Choose another name, or merge that class as well.",
            )
    if len(written) < 2:
        raise wrong(expected="at least two classes", advice="Name another.")
    return tuple(of_target.items()), tuple(merged.items())


def _listed(value: object, name: str, side: str, wrong: Callable[..., InvalidInputError]) -> list[str]:
    names: list[Any] = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(one, str) and one for one in names):
        raise wrong(expected=f"a class of the {side}, or a list of them, for {name!r}", advice="Write names in quotes.")
    return names
