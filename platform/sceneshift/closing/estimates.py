"""Estimates of the accuracy that a chosen network reaches on its target, from what its epoch recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.selection.accuracy_estimate import AccuracyEstimate, estimate_accuracy
from sceneshift.selection.candidates import Choice
from sceneshift.splits.source import SourceDomain, by_pair
from sceneshift.tracking.held_back import HeldBack
from sceneshift.training.epoch_record import EpochRecord, PairHeader, RecordFolder


def estimate_pairs(
    location: str,
    choice: Choice,
    sources: Sequence[SourceDomain],
    *,
    residuals: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, AccuracyEstimate]:
    """Estimate overall accuracy on each pair's target, without its labels.

    The target's classes are taken to be the source's, in the proportions of the source's labelled pixels, of several
    sources of all together; classes without a recorded validation pixel are left out.

    Args:
        location: The folder of the chosen trial's checkpoints, next to which its record is.
        choice: What was chosen.
        sources: The pairs' sources.
        residuals: True minus uncorrected estimates of other pairs, by group of scenes; without those of at least two
            groups the interval is 0..1. See :func:`sceneshift.selection.accuracy_estimate.calibrate`.

    Returns:
        By pair; none for a pair without recorded target pixels or validation pixels.

    Raises:
        StudyError: The record is missing or damaged.
    """
    found = RecordFolder(location).read(("validation_logits", "target_logits"))
    estimates: dict[str, AccuracyEstimate] = {}
    for pair, of_pair in by_pair(sources).items():
        record = _chosen_record(found.of(pair), choice)
        header = found.headers.get(pair)
        if header is None or record is None or record.target is None or len(header.validation_labels) == 0:
            continue
        estimates[pair] = estimate_accuracy(
            record.validation.logits,
            header.validation_labels,
            record.target.logits,
            residuals=residuals or {},
            proportions=_proportions(header, of_pair),
        )
    return estimates


def held_back_of(
    location: str, choice: Choice, sources: Sequence[SourceDomain], *, of_this_network: bool
) -> dict[str, HeldBack]:
    """Answers on held-back pixels by pair, to be kept with a model; none for a pair that recorded none.

    Args:
        location: The folder of the chosen trial's checkpoints.
        choice: What was chosen.
        sources: The pairs' sources.
        of_this_network: Whether the model is the network that was chosen, and not a refit.

    Raises:
        StudyError: The record is missing or damaged.
    """
    found = RecordFolder(location).read(("validation_logits",))
    kept: dict[str, HeldBack] = {}
    for pair, of_pair in by_pair(sources).items():
        record = _chosen_record(found.of(pair), choice)
        header = found.headers.get(pair)
        if header is not None and record is not None and len(header.validation_labels) > 0:
            kept[pair] = HeldBack.of(
                record.validation.logits,
                header.validation_labels,
                _proportions(header, of_pair),
                of_this_network=of_this_network,
            )
    return kept


def estimate_elsewhere(held_back: HeldBack, target_logits: NDArray[np.floating]) -> AccuracyEstimate:
    """Estimate a model's overall accuracy on a scene from unlabelled pixels of it.

    Args:
        held_back: What is kept with the model.
        target_logits: (M, K) of pixels drawn at random.
    """
    return estimate_accuracy(
        np.array(held_back.logits),
        np.array(held_back.labels),
        target_logits,
        residuals={},
        proportions=np.array(held_back.proportions),
    )


def _proportions(header: PairHeader, sources: Sequence[SourceDomain]) -> NDArray[np.float64]:
    """(K,) counts of all sources' labelled pixels; 0 for classes without a recorded validation pixel."""
    recorded = np.bincount(header.validation_labels, minlength=header.num_classes)
    counts = np.sum([source.scene.class_counts for source in sources], axis=0)
    return np.where(recorded > 0, counts, 0).astype(np.float64)


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
    return f"Estimated OA on the target of {pair}, of the network that was chosen: {estimate_text(estimate)}"


def estimate_text(estimate: AccuracyEstimate) -> str:
    """The figures of an estimate, and what it assumes."""
    parts = ", ".join(f"{name} {100 * value:.0f}" for name, value in estimate.parts.items())
    if estimate.is_calibrated:
        known = (
            f"{100 * estimate.level:.0f} % interval {100 * estimate.low:.0f} to {100 * estimate.high:.0f} %, from "
            f"other pairs of {estimate.num_groups} groups of scenes"
        )
    else:
        known = "no interval: how far such estimates are off is not known from other scenes"
    return (
        f"{100 * estimate.value:.0f} % ({parts}; {known}). No label of it was used; the source's classes in the "
        "source's proportions are assumed."
    )
