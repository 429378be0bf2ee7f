"""Estimates of the accuracy that a chosen network reaches on its target, from what its epoch recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from sceneshift.selection.accuracy_estimate import AccuracyEstimate, estimate_accuracy
from sceneshift.selection.candidates import Choice
from sceneshift.splits.source import SourceDomain
from sceneshift.training.epoch_record import EpochRecord, RecordFolder

_COLUMNS = ("validation_logits", "target_logits")


def estimate_pairs(
    location: str,
    choice: Choice,
    sources: Sequence[SourceDomain],
    *,
    residuals: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, AccuracyEstimate]:
    """Estimate overall accuracy on each pair's target, without its labels.

    The target's classes are taken to be the source's, in the proportions of the source's labelled pixels; classes
    without a recorded validation pixel are left out.

    Args:
        location: The folder of the chosen trial's checkpoints, beside which its record lies.
        choice: What was chosen.
        sources: The pairs' sources.
        residuals: True minus uncorrected estimates of other pairs, by group of scenes; without those of at least two
            groups the interval is 0..1. See :func:`sceneshift.selection.accuracy_estimate.calibrate`.

    Returns:
        By pair; none for a pair without recorded target pixels or validation pixels.

    Raises:
        StudyError: The record is missing or damaged.
    """
    found = RecordFolder(location).read(_COLUMNS)
    estimates: dict[str, AccuracyEstimate] = {}
    for source in sources:
        header = found.headers.get(source.pair_name)
        record = _chosen_record(found.of(source.pair_name), choice)
        if header is None or record is None or record.target is None or len(header.validation_labels) == 0:
            continue
        recorded = np.bincount(header.validation_labels, minlength=header.num_classes)
        estimates[source.pair_name] = estimate_accuracy(
            record.validation.logits,
            header.validation_labels,
            record.target.logits,
            residuals=residuals or {},
            proportions=np.where(recorded > 0, source.scene.class_counts, 0).astype(np.float64),
        )
    return estimates


def _chosen_record(records: Sequence[EpochRecord], choice: Choice) -> EpochRecord | None:
    of_epoch = {record.is_average: record for record in records if record.epoch == choice.epoch}
    return of_epoch.get(choice.is_average, of_epoch.get(False))


def estimates_as_dict(estimates: Mapping[str, AccuracyEstimate]) -> dict[str, Any]:
    """Plain values for JSON, by pair; a deviation that is not known is None."""
    return {
        pair: {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in asdict(estimate).items()
        }
        for pair, estimate in estimates.items()
    }


def estimate_sentence(pair: str, estimate: AccuracyEstimate) -> str:
    """One sentence for tables and pages."""
    parts = ", ".join(f"{name} {100 * value:.0f}" for name, value in estimate.parts.items())
    if estimate.is_calibrated:
        known = (
            f"{100 * estimate.level:.0f} % interval {100 * estimate.low:.0f} to {100 * estimate.high:.0f} %, from "
            f"other pairs of {estimate.num_groups} groups of scenes"
        )
    else:
        known = "no interval: how far such estimates are off is not known from other scenes"
    return (
        f"Estimated OA on the target of {pair}, without its labels, of the network that was chosen: "
        f"{100 * estimate.value:.0f} % ({parts}; {known}). It assumes the source's classes in the source's proportions."
    )
