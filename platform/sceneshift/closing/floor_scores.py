"""Spectral floors for a closing: fitted like the registered model and scored on the same target pixels."""

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
from sceneshift.training.data import LoadedData

_LOG = logging.getLogger(__name__)


def fit_floors(sources: Sequence[SourceDomain], *, seed: int, normalizations: Sequence[str]) -> list[FittedFloor]:
    """Fit every floor on the pooled training pixels of a pair's sources, logging one line with the settings each chose.

    Args:
        sources: The sources with the training pixels of the registered model.
        seed: Seed of the study or the training.
        normalizations: The normalizations that the pair allows.
    """
    floors = []
    for name in FLOORS:
        floor = fit_floor(name, sources, seed=seed, normalizations=normalizations)
        settings = ", ".join(f"{key} {value:g}" for key, value in floor.settings.items())
        _LOG.info(
            "  %s: %s on %d spectra, %s, %s, %.1f s",
            sources[0].pair_name,
            floor.title,
            floor.num_pixels,
            floor.normalization,
            settings,
            floor.seconds,
        )
        floors.append(floor)
    return floors


def floor_on_validation(data: LoadedData, *, seed: int, name: str = "logistic_regression") -> float:
    """What a floor reaches where a search's trials are scored: on the sources' validation pixels, as ``val/aa``.

    No target is read.

    Args:
        data: The search's data.
        seed: Seed of the search.
        name: The floor.

    Returns:
        Average accuracy from 0 to 1, the mean over pairs, and per pair over its sources.
    """
    by_pair = []
    for pair in data.pairs:
        sources = data.sources_of(pair.name)
        floor = fit_floor(name, sources, seed=seed)
        scores = []
        for source in sources:
            pixels = source.split.validation
            spectra = source.scene.cube.reshape(-1, source.scene.num_bands)[pixels]
            predicted = floor.predict(spectra)
            scores.append(
                Scores.from_labels(source.labels_of(pixels), predicted, num_classes=source.scene.num_classes).aa
            )
        by_pair.append(np.mean(scores))
    return float(np.mean(by_pair))


def count_floor(floor: FittedFloor, pair: ScenePair, truth: NDArray[np.int64]) -> FieldCounts:
    """Classify the target's labelled pixels and count the predicted classes per field.

    Args:
        floor: Fitted on the pair's source.
        pair: The pair.
        truth: (H, W) the target's labels, 0 = unlabelled.
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
    """Build a row of the table of scores, as plain values.

    Args:
        pair_name: The pair or scene.
        role: What was scored.
        target: Scores on the target, or on the test side of a scene.
        validation: ``oa``, ``aa``, ``kappa`` on the source's validation pixels; None if none were held back.
        normalization: The normalization of its spectra.
        seconds: Seconds for choosing settings and training.
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
    """Build a floor's row, without validation scores: it is cross-validated on other pixels than networks are."""
    return score_row(
        pair_name,
        floor.title,
        counts.scores(),
        validation=None,
        normalization=floor.normalization,
        seconds=floor.seconds,
    )


def describe_floor(floor: FittedFloor) -> dict[str, Any]:
    """The description of a floor in a closing's summary, as plain values."""
    return {
        "floor": floor.title,
        "method": floor.name,
        "normalization": floor.normalization,
        "settings": dict(floor.settings),
        "cross-validated aa": floor.validation_aa,
        "training pixels": floor.num_pixels,
        "seconds": round(floor.seconds, 2),
    }
