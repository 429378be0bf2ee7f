"""How far scores on one scene could differ if it contained other fields: a bootstrap over fields.

Neighbouring pixels of a field are similar and mostly right or wrong together, so they are not independent samples; an
interval over pixels would be far too narrow. Fields (connected pixels of one class, as
:mod:`sceneshift.splits.fields` numbers them) are drawn with replacement instead, class by class. The intervals are
percentiles (Efron, Annals of Statistics 1979, section 3). scipy's bootstrap has no strata, and its BCa is undefined
if all fields are right.

Shape letters: H rows, W columns, K classes, F fields, D draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scores import Scores
from sceneshift.splits.fields import number_fields

#: Number of bootstrap draws.
NUM_DRAWS = 2000

#: The share of the draws that an interval contains.
LEVEL = 0.95

#: With fewer fields in a class, its interval is rough and usually too narrow.
FEW_FIELDS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldCounts:
    """The predicted classes for every field of a scene.

    Args:
        classes: (F,) the field's class, an index 0..K-1.
        predicted: (F, K) pixels of the field by predicted class.

    Raises:
        InvalidInputError: The shapes don't match, or a count is negative, or a field is empty.
    """

    classes: NDArray[np.int64]
    predicted: NDArray[np.int64]

    def __post_init__(self) -> None:
        fits = self.predicted.ndim == 2 and self.classes.shape == (len(self.predicted),) and len(self.predicted) > 0
        if not fits or self.predicted.min() < 0 or (self.predicted.sum(axis=1) == 0).any():
            raise InvalidInputError(
                f"field counts of shape {self.predicted.shape} for {self.classes.shape} fields; expected (F, K) counts "
                "of F fields, each with a pixel."
            )
        if self.classes.min() < 0 or self.classes.max() >= self.predicted.shape[1]:
            raise InvalidInputError(
                f"fields of classes {self.classes.min()}..{self.classes.max()}; expected 0..{self.num_classes - 1}."
            )

    @classmethod
    def of_map(cls, truth: NDArray[np.integer], class_map: NDArray[np.integer], *, num_classes: int) -> "FieldCounts":
        """Count the predicted classes of a class map per field.

        Args:
            truth: (H, W) class ids 1..K, 0 = unlabelled; some pixel has a label.
            class_map: (H, W) class ids 1..K.
            num_classes: K.
        """
        fields, sizes = number_fields(truth.astype(np.int64))
        known = fields > 0
        numbers = fields[known] - 1
        index = numbers * num_classes + class_map[known].astype(np.int64) - 1
        num_fields = len(sizes) - 1
        classes = np.zeros(num_fields, dtype=np.int64)
        classes[numbers] = truth[known] - 1
        counts = np.bincount(index, minlength=num_fields * num_classes).reshape(num_fields, num_classes)
        return cls(classes=classes, predicted=counts.astype(np.int64))

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.predicted.shape[1])

    @property
    def fields_per_class(self) -> NDArray[np.int64]:
        """(K,) fields of each class."""
        return np.bincount(self.classes, minlength=self.num_classes).astype(np.int64)

    def scores(self) -> Scores:
        """The scores over all pixels of all fields."""
        confusion = np.zeros((self.num_classes, self.num_classes), dtype=np.int64)
        np.add.at(confusion, self.classes, self.predicted)
        return Scores(confusion)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its percentile interval.

    Args:
        value: The figure over all fields; NaN if there is none.
        low: The interval's lower end; NaN if there is at most one field to draw from.
        high: Its upper end.
        fields: The number of fields it is based on.
    """

    value: float
    low: float
    high: float
    fields: int

    @property
    def is_known(self) -> bool:
        """Whether there is an interval at all."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))


@dataclass(frozen=True, kw_only=True)
class FieldIntervals:
    """Accuracies of one class map with intervals.

    Args:
        per_class: K accuracies.
        oa: Overall accuracy.
        aa: Mean accuracy over the classes that have pixels; classes with one field count as if they couldn't vary.
        kappa: Cohen's kappa.
    """

    per_class: Sequence[Interval]
    oa: Interval
    aa: Interval
    kappa: Interval


def bootstrap_fields(counts: FieldCounts, *, seed: int = 0, num_draws: int = NUM_DRAWS) -> FieldIntervals:
    """Intervals of a class map's accuracies, from fields drawn with replacement within each class.

    Args:
        counts: The predicted classes per field.
        seed: Seed of the draws.
        num_draws: D.
    """
    confusions = _drawn_confusions(counts, _draw(counts, seed, num_draws))
    fields, scores = counts.fields_per_class, counts.scores()
    recalls = _recalls(confusions)
    per_class = [
        _interval(float(scores.recall[k]), recalls[:, k], fields=int(fields[k])) for k in range(counts.num_classes)
    ]
    whole = int(fields.sum())
    most = int(fields.max())  # every class a single field: nothing varies
    varies = whole if most > 1 else most
    oa, aa, kappa = _figures(confusions)
    return FieldIntervals(
        per_class=per_class,
        oa=_interval(scores.oa, oa, fields=varies),
        aa=_interval(scores.aa, aa, fields=varies),
        kappa=_interval(scores.kappa, kappa, fields=varies),
    )


def bootstrap_difference(
    one: FieldCounts, other: FieldCounts, *, seed: int = 0, num_draws: int = NUM_DRAWS
) -> dict[str, Interval]:
    """Intervals of the differences of two maps of one scene, ``oa``, ``aa`` and ``kappa``, both on the same draws.

    Args:
        one: Counts of the first map.
        other: Counts of the map that is subtracted.
        seed: Seed of the draws.
        num_draws: D.

    Raises:
        InvalidInputError: The two are not of the same fields.
    """
    same = one.predicted.shape == other.predicted.shape and np.array_equal(one.classes, other.classes)
    if not same or not np.array_equal(one.predicted.sum(axis=1), other.predicted.sum(axis=1)):
        raise InvalidInputError("the two maps were counted on different fields; count both on one scene's labels.")
    weights = _draw(one, seed, num_draws)
    first, second = _figures(_drawn_confusions(one, weights)), _figures(_drawn_confusions(other, weights))
    of_one, of_other = one.scores().as_dict(), other.scores().as_dict()
    varies = len(one.classes) if one.fields_per_class.max() > 1 else 1
    return {
        name: _interval(of_one[name] - of_other[name], a - b, fields=varies)
        for name, a, b in zip(("oa", "aa", "kappa"), first, second, strict=True)
    }


def _draw(counts: FieldCounts, seed: int, num_draws: int) -> NDArray[np.int64]:
    """(D, F) how often each field is drawn; per class, as many fields are drawn as it has."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((num_draws, len(counts.classes)), dtype=np.int64)
    for k in np.unique(counts.classes):
        of_class = np.flatnonzero(counts.classes == k)
        weights[:, of_class] = rng.multinomial(len(of_class), np.full(len(of_class), 1 / len(of_class)), size=num_draws)
    return weights


def _drawn_confusions(counts: FieldCounts, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """(D, K, K), rows the truth."""
    confusions = np.zeros((len(weights), counts.num_classes, counts.num_classes), dtype=np.int64)
    for k in np.unique(counts.classes):
        of_class = counts.classes == k
        confusions[:, k] = weights[:, of_class] @ counts.predicted[of_class]
    return confusions


def _recalls(confusions: NDArray[np.int64]) -> NDArray[np.float64]:
    totals = confusions.sum(axis=2).astype(np.float64)
    hits = np.diagonal(confusions, axis1=1, axis2=2)
    recalls: NDArray[np.float64] = np.divide(hits, totals, out=np.full(totals.shape, np.nan), where=totals > 0)
    return recalls


def _figures(
    confusions: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(D,) each: OA, AA, kappa."""
    total = confusions.sum(axis=(1, 2)).astype(np.float64)
    oa = np.trace(confusions, axis1=1, axis2=2) / total
    aa = np.nanmean(_recalls(confusions), axis=1)
    chance = (confusions.sum(axis=1) * confusions.sum(axis=2)).sum(axis=1) / total**2
    kappa = np.divide(oa - chance, 1 - chance, out=np.zeros_like(oa), where=chance < 1)
    return oa, aa, kappa


def _interval(value: float, drawn: NDArray[np.float64], *, fields: int) -> Interval:
    if fields < 2:
        return Interval(value=value, low=np.nan, high=np.nan, fields=fields)
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(value=value, low=float(low), high=float(high), fields=fields)
