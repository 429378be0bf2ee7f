"""Names of metrics and tags as MLflow takes them: letters, digits and ``_-. :/`` alone."""

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")


def key_name(name: str) -> str:
    """The name of a metric or a tag in MLflow: the ``+`` of a pair of several sources becomes " and ".

    No scene's name has a space, so that no two names become one.
    """
    return name.replace("+", " and ")


def with_key_names(values: Mapping[str, Value]) -> dict[str, Value]:
    """The same values by their names in MLflow."""
    return {key_name(name): value for name, value in values.items()}
