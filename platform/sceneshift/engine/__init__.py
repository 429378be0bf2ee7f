"""Searches and trainings as functions: a specification goes in, a closed result comes out.

The names exported here are public. Importing the package is cheap; torch, Ray and MLflow are imported when needed.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sceneshift.engine.listener import Listener
    from sceneshift.engine.prepared_training import RunOptions
    from sceneshift.engine.repeating import RepeatResult, repeat
    from sceneshift.engine.search_result import SearchResult
    from sceneshift.engine.searching import search
    from sceneshift.engine.training import TrainResult, train
    from sceneshift.execution.executor import StopRequest
    from sceneshift.search.space import load_space
    from sceneshift.search.spec import SearchSpec
    from sceneshift.training.data import DataSpec
    from sceneshift.training.spec import TrainSpec

__all__ = [
    "DataSpec",
    "Listener",
    "RepeatResult",
    "RunOptions",
    "SearchResult",
    "SearchSpec",
    "StopRequest",
    "TrainResult",
    "TrainSpec",
    "load_space",
    "repeat",
    "search",
    "train",
]

_HOMES = {
    "DataSpec": "sceneshift.training.data",
    "Listener": "sceneshift.engine.listener",
    "RepeatResult": "sceneshift.engine.repeating",
    "RunOptions": "sceneshift.engine.prepared_training",
    "SearchResult": "sceneshift.engine.search_result",
    "SearchSpec": "sceneshift.search.spec",
    "StopRequest": "sceneshift.execution.executor",
    "TrainResult": "sceneshift.engine.training",
    "TrainSpec": "sceneshift.training.spec",
    "load_space": "sceneshift.search.space",
    "repeat": "sceneshift.engine.repeating",
    "search": "sceneshift.engine.searching",
    "train": "sceneshift.engine.training",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # whatever is asked for
    """Import a public name from its module when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("search", "train", "repeat"):
        # Both read the environment when they are imported.
        from sceneshift.execution.cluster import apply_ray_settings
        from sceneshift.tracking.backend import apply_mlflow_settings

        apply_ray_settings()
        apply_mlflow_settings()
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
