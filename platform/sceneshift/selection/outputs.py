"""From records on disk to what a strategy is given, and no more: views of its regime, with the arrays that it names.

Shape letters: H rows, W columns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.methods.registry import find_method
from sceneshift.networks.final_layer import final_layer
from sceneshift.selection.candidates import Candidate, Elsewhere, Metrics, PooledTrial
from sceneshift.selection.strategy import EpochStrategy, Strategy
from sceneshift.selection.views import VIEWS, LabelledView, Reads, SourceView, UnlabelledView, View
from sceneshift.training.epoch_record import EpochRecord, Outputs, PairHeader, RecordFolder
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.recording import ScoreEpoch


def pooled_trial(
    strategy: Strategy[Any],
    *,
    number: int,
    configuration: str,
    is_complete: bool,
    epochs: Mapping[int, Metrics],
    location: str,
    labels: Mapping[str, NDArray[np.int64]] | None = None,
    elsewhere: Elsewhere | None = None,
) -> PooledTrial[Any]:
    """Offer a trial to a strategy. Its record is read when the strategy asks for it.

    Args:
        strategy: What it is offered to; other columns than the strategy's are not read.
        number: The trial's number.
        configuration: A name of its configuration, shared by its seeds.
        is_complete: Whether it ran all its epochs.
        epochs: Metrics by epoch.
        location: The folder of its checkpoints, next to which its record is.
        labels: (H, W) class ids 1..K of the target by pair, 0 where unlabelled; for the oracle alone.
        elsewhere: Scores on other pairs.

    Raises:
        InvalidInputError: Labels are passed for a strategy that does not read them, or none for one that does.
    """
    if (labels is not None) != (strategy.reads is Reads.LABELS):
        raise InvalidInputError(
            f"selection {strategy.name!r} reads {strategy.reads}, and target labels were "
            f"{'not ' if labels is None else ''}passed; pass them to the oracle alone."
        )

    def outputs() -> Mapping[Candidate, Mapping[str, View]]:
        found = RecordFolder(location).read(strategy.columns)
        return views_of(strategy.reads, number, found.headers, found.records, labels)

    return PooledTrial(
        number=number,
        configuration=configuration,
        is_complete=is_complete,
        epochs=epochs,
        view=VIEWS[strategy.reads],
        outputs=outputs,
        elsewhere=elsewhere,
    )


def views_of(
    reads: Reads,
    trial: int,
    headers: Mapping[str, PairHeader],
    records: Sequence[EpochRecord],
    labels: Mapping[str, NDArray[np.int64]] | None = None,
) -> dict[Candidate, dict[str, View]]:
    """The views of a regime, by candidate and pair.

    A pair whose average has not begun takes part in an average candidate with the epoch's own weights.

    Args:
        reads: The regime.
        trial: The trial's number.
        headers: By the pair's name.
        records: Of whole epochs.
        labels: (H, W) class ids 1..K of the target by pair, 0 where unlabelled.

    Raises:
        StudyError: No target pixel was recorded, and the regime reads some.
    """
    found: dict[Candidate, dict[str, View]] = {}
    averages: dict[Candidate, dict[str, View]] = {}
    for record in records:
        view = _view(reads, headers[record.pair], record, labels)
        candidate = Candidate(trial=trial, epoch=record.epoch, is_average=record.is_average)
        (averages if record.is_average else found).setdefault(candidate, {})[record.pair] = view
    for candidate, views in averages.items():
        own = found[Candidate(trial=trial, epoch=candidate.epoch)]
        found[candidate] = {**own, **views}
    return found


def epoch_scorer(strategy: Strategy[Any]) -> ScoreEpoch | None:
    """What a worker computes after every recorded epoch; None for a strategy without its own score per epoch."""
    if not isinstance(strategy, EpochStrategy) or not strategy.needs_record:
        return None

    def score(headers: Mapping[str, PairHeader], records: Sequence[EpochRecord]) -> dict[str, float]:
        return {strategy.metric: strategy.of_epoch(views_of(strategy.reads, 0, headers, records))[1]}

    return score


def check_features(strategy: Strategy[Any], plan: TrainingPlan, *, bands: int, classes: int) -> None:
    """Refuse a strategy that reads features for a method whose classifier has none.

    Args:
        strategy: The strategy.
        plan: What is trained.
        bands: Of the source.
        classes: Of the source.

    Raises:
        InvalidInputError: Naming both.
    """
    if not any(column.endswith("features") for column in strategy.columns):
        return
    classifier = find_method(plan.method).build_classifier(plan.config, bands=bands, classes=classes)
    if final_layer(classifier) is None:
        raise InvalidInputError(
            f"selection {strategy.name!r} reads features of the final layer, and the classifier of {plan.method!r} has "
            "none; choose a strategy that reads logits alone, such as infomax."
        )


def _view(
    reads: Reads, header: PairHeader, record: EpochRecord, labels: Mapping[str, NDArray[np.int64]] | None
) -> View:
    source = SourceView(
        labels=header.validation_labels,
        logits=record.validation.logits,
        features=record.validation.features,
        shifted=record.shifted,
    )
    if reads is Reads.NOTHING:
        return source
    if header.target_pixels is None:
        raise StudyError(
            f"no target pixel of pair {header.pair!r} was recorded; train with --target-access unlabelled, or choose a "
            "strategy that reads nothing of the target."
        )
    target = record.target or Outputs(logits=np.empty((0, header.num_classes), np.float16), features=None)
    unlabelled = UnlabelledView(source=source, target_logits=target.logits, target_features=target.features)
    if reads is Reads.PIXELS:
        return unlabelled
    assert labels is not None
    return LabelledView(unlabelled=unlabelled, target_labels=labels[header.pair].ravel()[header.target_pixels] - 1)
