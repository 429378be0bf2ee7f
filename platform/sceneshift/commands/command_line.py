"""Reading the command line of every script. Imports nothing heavy, so that ``--help`` answers immediately."""

import sys
from collections.abc import Collection, Sequence
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Arguments = TypeVar("Arguments")


def read_arguments(kind: type[Arguments], description: str) -> Arguments:
    """Read this process's command line; tyro prints help or errors and exits if necessary.

    A flag that takes several values may be given several times: ``--set a=1 --set b=2`` is ``--set a=1 b=2``. By itself
    tyro keeps only the last of them; its ``UseAppendAction`` takes one value per flag, and adds them to the default.

    Args:
        kind: A dataclass of arguments, or a union of those of a script's commands.
        description: The first lines of ``--help``.
    """
    import tyro

    refuse_old_flags(sys.argv[1:])
    words = gather_repeated(sys.argv[1:], flags_of_several_values(kind))
    # tyro joins the lines of a paragraph unless they are indented.
    description = description.replace("\n\npython ", "\n  python ").replace("\npython ", "\n  python ")
    return tyro.cli(kind, args=words, description=description)


def refuse_old_flags(words: Sequence[str]) -> None:
    """If a flag of an earlier version is given, print its current name and exit."""
    for word in words:
        name, _, value = word.partition("=")
        if name == "--trainer":
            now = {"actor": "ray", "plain": "local", "train": "ray-train", "auto": "auto"}.get(value, "ray-train")
            print(
                f"error: --trainer is now --executor, with other names: actor is ray, plain is local, train is "
                f"ray-train; such as --executor {now}.",
                file=sys.stderr,
            )
            raise SystemExit(2)


def flags_of_several_values(kind: Any) -> set[str]:  # noqa: ANN401  # a union of classes is not a type
    """The flags that take any number of values, such as ``--class-names``."""
    commands = [get_args(command)[0] for command in get_args(kind)] or [kind]
    return {
        f"--{name.replace('_', '-')}"
        for command in commands
        for name, hint in get_type_hints(command).items()
        if any(get_origin(option) is tuple and get_args(option)[-1] is ... for option in (hint, *get_args(hint)))
    }


def gather_repeated(words: Sequence[str], flags: Collection[str]) -> list[str]:
    """Bring all values of a flag that is given several times to its first place.

    Args:
        words: The command line without the script's name.
        flags: Flags whose values are collected. Of any other flag that is given twice, the last one counts, as usual.
    """
    gathered: list[list[str]] = [[]]
    places: dict[str, int] = {}
    at = 0
    for word in words:
        if not word.startswith("--"):
            gathered[at].append(word)
            continue
        name, equals, value = word.partition("=")
        flag = name.replace("_", "-")
        if flag in places:
            at = places[flag]
            gathered[at] += [value] if equals else []
            continue
        at = len(gathered)
        gathered.append([word])
        if flag in flags:
            places[flag] = at
            gathered[at] = [flag, value] if equals else [flag]
    return [word for group in gathered for word in group]
