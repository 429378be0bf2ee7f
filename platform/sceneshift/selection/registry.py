"""The strategies known by name."""

from typing import Any

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.selection.joint_strategies import EnsembleAgreement, SeedAgreement, SeedsOnTarget
from sceneshift.selection.source_strategies import (
    FlatAverage,
    LeaveOneSceneOut,
    ShiftedBlocks,
    SourceDiscrepancy,
    SourceRandom,
    WorstShiftedBlocks,
)
from sceneshift.selection.strategy import SourceBlocks, Strategy
from sceneshift.selection.target_strategies import (
    ATC,
    DEV,
    IWCV,
    BatchNuclearNorm,
    ClassAMI,
    DoC,
    Entropy,
    InfoMax,
    MatrixNorm,
    Oracle,
    SoftNeighborhoodDensity,
)

_ALL: tuple[Strategy[Any], ...] = (
    # Nothing of the target.
    SourceBlocks(),
    SourceRandom(),
    ShiftedBlocks(),
    WorstShiftedBlocks(),
    LeaveOneSceneOut(),
    SourceDiscrepancy(),
    FlatAverage(),
    SeedAgreement(),
    # Its unlabelled pixels.
    Entropy(),
    InfoMax(),
    BatchNuclearNorm(),
    ClassAMI(),
    IWCV(),
    DEV(),
    SoftNeighborhoodDensity(),
    MatrixNorm(),
    ATC(),
    DoC(),
    SeedsOnTarget(),
    EnsembleAgreement(),
    # Its labels.
    Oracle(),
)

#: The strategies by name, in the order of their regimes.
STRATEGIES: dict[str, Strategy[Any]] = {strategy.name: strategy for strategy in _ALL}


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
