"""Spectral floors of a closing: fitted beside the model that is registered, scored on the same target pixels."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.methods.floors import FLOORS, FittedFloor, fit_floor
from sceneshift.report.uncertainty import FieldCounts
from sceneshift.scores import Scores
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain

_LOG = logging.getLogger(__name__)


def fit_floors(source: SourceDomain, *, seed: int, normalizations: Sequence[str]) -> list[FittedFloor]:
    """Fit every floor on a source; a line tells what each chose.

    Args:
        source: With the training pixels of the model that is registered.
        seed: Of the study or the training.
        normalizations: The steps the pair allows.
    """
    floors = []
    for name in FLOORS:
        floor = fit_floor(name, source, seed=seed, normalizations=normalizations)
        settings = ", ".join(f"{key} {value:g}" for key, value in floor.settings.items())
        _LOG.info(
            "  %s: %s on %d spectra, %s, %s, %.1f s",
            source.pair_name,
            floor.title,
            floor.num_pixels,
            floor.normalization,
            settings,
            floor.seconds,
        )
        floors.append(floor)
    return floors


def count_floor(floor: FittedFloor, pair: ScenePair, truth: NDArray[np.int64]) -> FieldCounts:
    """Classify the target's labelled pixels and count what is said of each field.

    Args:
        floor: Fitted on the pair's source.
        pair: The pair.
        truth: (H, W) the target's labels, 0 = unlabelled: where to look, and what to count.
    """
    known = np.flatnonzero(truth)
    spectra = pair.target.cube.reshape(-1, pair.target.num_bands)
    class_map = np.zeros(truth.size, dtype=np.int64)
    class_map[known] = floor.predict(spectra[known]) + 1
    return FieldCounts.of_map(truth, class_map.reshape(truth.shape), num_classes=len(pair.class_names))


def score_row(
    pair_name: str,
    role: str,
    target: Scores,
    *,
    validation: Mapping[str, float] | None,
    normalization: str | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """A row of a closing's table, as plain values.

    Args:
        pair_name: The pair or scene.
        role: What was scored.
        target: On the target, or the test side of a scene.
        validation: ``oa``, ``aa``, ``kappa`` on the source's validation pixels; None where none were held back.
        normalization: The step it sees spectra through.
        seconds: Of choice and training.
    """
    return {
        "pair": pair_name,
        "role": role,
        "normalization": normalization,
        "seconds": None if seconds is None else round(seconds, 2),
        "validation": None if validation is None else dict(validation),
        "target": target.as_dict(),
    }


def floor_row(pair_name: str, floor: FittedFloor, counts: FieldCounts) -> dict[str, Any]:
    """The row of a floor; its cross-validation is no validation on the pixels that networks are validated on."""
    return score_row(
        pair_name,
        floor.title,
        counts.scores(),
        validation=None,
        normalization=floor.normalization,
        seconds=floor.seconds,
    )


def describe_floor(floor: FittedFloor) -> dict[str, Any]:
    """What a closing's summary keeps of a floor, as plain values."""
    return {
        "floor": floor.title,
        "normalization": floor.normalization,
        "settings": dict(floor.settings),
        "cross-validated aa": floor.validation_aa,
        "training pixels": floor.num_pixels,
        "seconds": round(floor.seconds, 2),
    }
