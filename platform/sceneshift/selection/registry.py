"""The strategies known by name."""

from typing import Any

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.selection.strategy import SourceBlocks, Strategy

#: By name, in the order of their regimes.
STRATEGIES: dict[str, Strategy[Any]] = {strategy.name: strategy for strategy in (SourceBlocks(),)}


def find_strategy(name: str) -> Strategy[Any]:
    """Return a strategy.

    Raises:
        InvalidInputError: None has that name.
    """
    if name not in STRATEGIES:
        raise InvalidInputError(
            f"no selection strategy is called {name!r}{nearest_name(name, STRATEGIES)}. Known: {', '.join(STRATEGIES)}."
        )
    return STRATEGIES[name]
