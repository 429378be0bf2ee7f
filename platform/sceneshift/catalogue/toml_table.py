"""A table of a user's TOML file: its values by key and type, and the messages about it."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.scenes.mapped_arrays import SUFFIXES

#: Names become names of files and of models.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Table:
    """A table of the file, and the messages about it.

    Args:
        where: File and table, which every message begins with.
        values: What the table holds.
    """

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where = where
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def wrong(self, key: str, *, expected: str, advice: str) -> InvalidInputError:
        """Make an error about a key: what was got, what was expected, and what to do."""
        got = _short(self._values[key]) if key in self._values else "nothing"
        return InvalidInputError(f"{self.where}, {key}: got {got}; expected {expected}. {advice}")

    def refuse_unknown(self, known: Sequence[str]) -> None:
        """Reject keys that aren't known.

        Raises:
            InvalidInputError: Naming the first, and the nearest known one.
        """
        for key in self._values:
            if key not in known:
                raise InvalidInputError(
                    f"{self.where}, {key}: got a key that is not known; expected one of {', '.join(known)}"
                    f"{nearest_name(key, known)}. Correct its name, or leave it out."
                )

    def tables(self, key: str) -> dict[str, "Table"]:
        """The tables [key.NAME], by name."""
        values = self._values.get(key, {})
        if not isinstance(values, dict):
            raise self.wrong(key, expected=f"tables [{key}.NAME]", advice=f"Begin each by a line [{key}.NAME].")
        found = {}
        for name, table in values.items():
            where = f"{self.where}, [{key}.{name}]"
            if not _NAME.fullmatch(name) or name.lower().endswith(SUFFIXES):
                raise InvalidInputError(
                    f"{where}: got the name {name!r}; expected letters, digits, '_', '-' and '.', a letter or digit "
                    f"first and no {', '.join(SUFFIXES)} last. Choose another name."
                )
            if not isinstance(table, dict):
                raise InvalidInputError(
                    f"{where}: got {_short(table)}; expected a table. Begin it by a line [{key}.{name}]."
                )
            found[name] = Table(where, table)
        return found

    def text(self, key: str) -> str | None:
        """A text that is not empty; None where the key is missing, as in all methods below."""
        value = self._values.get(key)
        if key in self and (not isinstance(value, str) or not value):
            raise self.wrong(key, expected="a text", advice="Write it in quotes.")
        return value

    def numbers(self, key: str, *, least: int | None) -> tuple[int, ...] | None:
        """A list of whole numbers, none below `least` if it is given."""
        value = self._values.get(key)
        if key not in self:
            return None
        if (
            not isinstance(value, list)
            or not value
            or not all(type(v) is int and (least is None or v >= least) for v in value)
        ):
            expected = "a list of whole numbers" + ("" if least is None else f" from {least} on")
            raise self.wrong(key, expected=expected, advice=f"Write {key} = [{least or 0}, …].")
        return tuple(value)

    def whole_number(self, key: str, *, least: int) -> int | None:
        """A whole number, not below `least`."""
        value = self._values.get(key)
        if key in self and (type(value) is not int or value < least):
            raise self.wrong(key, expected=f"a whole number from {least} on", advice="Write it without quotes.")
        return value

    def seconds(self, key: str) -> float | None:
        """A positive number of seconds."""
        value = self._values.get(key)
        if key in self and not _is_positive(value):
            raise self.wrong(key, expected="a positive number of seconds", advice="Write it without quotes.")
        return None if value is None else float(value)

    def choice(self, key: str, known: Sequence[str], *, default: str) -> str:
        """One of some texts."""
        value = self._values.get(key, default)
        if value not in known:
            near = nearest_name(value, known) if isinstance(value, str) else ""
            raise self.wrong(key, expected=f"one of {', '.join(known)}{near}", advice="Write it in quotes.")
        return str(value)

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of one or more different texts."""
        value = self._values.get(key)
        if key not in self:
            return None
        texts = value if isinstance(value, list) else []
        if not texts or not all(isinstance(t, str) and t for t in texts) or len(set(texts)) != len(texts):
            raise self.wrong(key, expected="a list of one or more different texts", advice=f'Write {key} = ["…"].')
        return tuple(texts)

    def texts_or_tables(self, key: str) -> "list[str | Table] | None":
        """A list of one or more texts or tables."""
        value = self._values.get(key)
        if key not in self:
            return None
        if not isinstance(value, list) or not value or not all(isinstance(v, str | dict) and v for v in value):
            raise self.wrong(
                key,
                expected="a list of one or more texts or tables",
                advice=f'Write {key} = ["…", {{ … }}].',
            )
        return [
            each if isinstance(each, str) else Table(f"{self.where}, {key}[{number}]", each)
            for number, each in enumerate(value)
        ]

    def values(self, key: str) -> Mapping[str, Any]:
        """A table of plain values; empty where the key is missing."""
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, expected="a table { name = value }", advice="Write it in braces.")
        return value

    def positive(self, key: str, *, default: float) -> float:
        """A number above 0 that float32 can divide by."""
        value = self._values.get(key, default)
        if not _is_positive(value) or not 1e-30 <= value <= 1e30:
            raise self.wrong(
                key, expected="a positive number", advice="Write what the file's numbers are divided by, such as 10000."
            )
        return float(value)

    def flag(self, key: str) -> bool:
        """True or false; false if it is not given."""
        if not isinstance(value := self._values.get(key, False), bool):
            raise self.wrong(key, expected="true or false", advice="Write it without quotes.")
        return value

    def lengths(self, key: str, *, single: bool = False) -> tuple[float, ...] | float | None:
        """A list of positive numbers, or a single one where that is allowed."""
        value = self._values.get(key)
        if key not in self:
            return None
        several = isinstance(value, list)
        values = value if isinstance(value, list) else [value]
        if not (several or single) or not values or not all(map(_is_positive, values)):
            expected = "a positive number of nanometres, or a list of them" if single else "a list of positive numbers"
            raise self.wrong(key, expected=expected, advice="Write nanometres, one for each band.")
        numbers = tuple(map(float, values))
        return numbers if several else numbers[0]

    def names(self, key: str) -> tuple[str, ...] | None:
        """A list of two or more different names."""
        value = self._values.get(key)
        if key not in self:
            return None
        names = value if isinstance(value, list) else []
        if len(names) < 2 or not all(isinstance(n, str) and n for n in names) or len(set(names)) != len(names):
            raise self.wrong(
                key,
                expected="a list of two or more different names",
                advice="Write them in the order of the classes' numbers.",
            )
        return tuple(names)

    def table(self, key: str) -> Mapping[str, Any] | None:
        """A table with at least one key."""
        value = self._values.get(key)
        if key in self and (not isinstance(value, dict) or not value):
            raise self.wrong(
                key, expected='a table { "source class" = "target class" }', advice="Name each class once."
            )
        return value


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
