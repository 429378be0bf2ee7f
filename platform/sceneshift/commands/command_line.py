"""Reading the command line of every command. Imports nothing heavy, so that ``--help`` answers immediately."""

import ast
import functools
import inspect
import operator
import sys
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import MISSING, Field, field, fields, make_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from sceneshift.commands import program
from sceneshift.errors import InvalidInputError

Arguments = TypeVar("Arguments")


def read_arguments(kind: type[Arguments], description: str) -> Arguments:
    """Read this process's command line; prints help or errors and exits if necessary.

    A flag that takes several values may be given several times: ``--set a=1 --set b=2`` is ``--set a=1 b=2``. By itself
    tyro keeps only the last of them; its ``UseAppendAction`` takes one value per flag, and adds them to the default.

    Args:
        kind: A dataclass of arguments, or a union of those of a script's commands. A dataclass may have ``GROUPS``, the
            names of its fields by the group in which ``--help`` shows them; the group ``""`` comes first. ``--help``
            has the default of each flag once.
        description: The first lines of ``--help``.
    """
    import tyro

    refuse_old_flags(program.arguments())
    words = gather_repeated(program.arguments(), flags_of_several_values(kind))
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone)
    is_grouped = hasattr(kind, "GROUPS")
    read = grouped(kind) if is_grouped else explained(kind)
    parsed: Any = tyro.cli(read, args=words, prog=program.shown(), description=description, config=markers)
    if not is_grouped:
        return _plain(parsed)  # type: ignore[no-any-return]
    values = {name: value for group in vars(parsed).values() for name, value in vars(group).items()}
    try:
        return kind(**values)
    except InvalidInputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def grouped(kind: Any) -> type:  # noqa: ANN401  # a dataclass with GROUPS
    """A dataclass with a field per group, which tyro shows one after the other.

    Args:
        kind: A dataclass of arguments with ``GROUPS``; each of its fields is in one group.
    """
    hints, helps = get_type_hints(kind, include_extras=True), helps_of(kind)
    by_name = {each.name: each for each in fields(kind)}
    groups = []
    for title, names in kind.GROUPS.items():
        members = [
            (name, _annotated(hints[name], by_name[name], helps.get(name)), _copied(by_name[name])) for name in names
        ]
        group = make_dataclass(f"{kind.__name__}{title.title().replace(' ', '')}", members, frozen=True, kw_only=True)
        group.__doc__ = ""
        groups.append((title.replace(" ", "_") or "most_used", group))
    grouped_kind = make_dataclass(kind.__name__, groups, frozen=True, kw_only=True)
    grouped_kind.__doc__ = ""
    return grouped_kind


def explained(kind: Any) -> Any:  # noqa: ANN401  # a dataclass, or a union of them
    """What tyro reads instead of dataclasses without groups: subclasses of them whose help has each default once.

    Args:
        kind: A dataclass of arguments, or a union of such with tyro's markers.
    """
    if options := get_args(kind):
        commands = [Annotated[explained(get_args(option)[0]), *get_args(option)[1:]] for option in options]
        return functools.reduce(operator.or_, commands)
    hints, helps = get_type_hints(kind, include_extras=True), helps_of(kind)
    members = [
        (each.name, _annotated(hints[each.name], each, helps.get(each.name)), _copied(each)) for each in fields(kind)
    ]
    found = make_dataclass(kind.__name__, members, bases=(kind,), frozen=True, kw_only=True)
    found.__doc__ = kind.__doc__
    return found


def _plain(parsed: Any) -> Any:  # noqa: ANN401  # an instance of what explained() made
    """The same arguments as the dataclass that was asked for."""
    kind = type(parsed).__bases__[0]
    return kind(**{each.name: getattr(parsed, each.name) for each in fields(parsed)})


def helps_of(kind: type) -> dict[str, str]:
    """The text below each field of a dataclass, in it and in what it derives from."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(body, ast.ClassDef)
        for statement, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr):
                name, text = statement.target, after.value
                if isinstance(name, ast.Name) and isinstance(text, ast.Constant) and isinstance(text.value, str):
                    found[name.id] = " ".join(text.value.split())
    return found


def _annotated(hint: Any, of: "Field[Any]", text: str | None) -> Any:  # noqa: ANN401
    """A field's type with its help, in which the default stands once."""
    import tyro

    own: Any = next((each for each in get_args(hint)[1:] if hasattr(each, "help")), None)
    text, metavar = (own.help, own.metavar) if own is not None else (text or "", None)
    # Not ``in (None, False, …)``: a default of 0 equals False, and is worth saying.
    silent = "Default:" in text or of.default is None or of.default is False or of.default in ("", ())
    behavior = "" if silent else None
    if of.default is MISSING and _takes_any_number(hint):  # which tyro reads as none by default
        behavior = "(required)"
    return Annotated[hint, tyro.conf.arg(help=text, help_behavior_hint=behavior, metavar=metavar)]


def _copied(of: "Field[Any]") -> Any:  # noqa: ANN401
    """A field with the same default."""
    return field() if of.default is MISSING else field(default=of.default)


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
        if _takes_any_number(hint)
    }


def _takes_any_number(hint: Any) -> bool:  # noqa: ANN401  # a type, annotated or not, or a union
    return any(get_origin(option) is tuple and get_args(option)[-1] is ... for option in (hint, *get_args(hint)))


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
