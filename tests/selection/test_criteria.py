"""What every criterion must do alike: pixel order, float16, NaN, few pixels, wrong shapes, and no target label."""

import inspect
import math
from dataclasses import dataclass

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.selection.agreement import ensemble_agreement, seed_agreement, target_agreement
from sceneshift.selection.confidence import atc, doc
from sceneshift.selection.importance_weighting import dev, iwcv
from sceneshift.selection.output_criteria import (
    batch_nuclear_norm,
    class_ami,
    info_max,
    matrix_norm,
    negative_entropy,
    soft_neighborhood_density,
)
from sceneshift.selection.source_criteria import (
    average_accuracy,
    mean_shifted_accuracy,
    source_discrepancy,
    worst_shifted_accuracy,
)

#: The arrays that criteria take, and which axis of each counts the pixels. Those of the source and of the target are
#: in their own orders.
SOURCE = {"logits": -2, "shifted_logits": -2, "labels": 0, "features": 0}
TARGET = {"target_logits": -2, "target_features": 0, "ensemble": 0}

SOURCE_ONLY = (average_accuracy, mean_shifted_accuracy, worst_shifted_accuracy, source_discrepancy, seed_agreement)
WITH_TARGET = (
    negative_entropy,
    info_max,
    batch_nuclear_norm,
    class_ami,
    soft_neighborhood_density,
    matrix_norm,
    iwcv,
    dev,
    atc,
    doc,
    target_agreement,
    ensemble_agreement,
)
OF_SEEDS = (seed_agreement, target_agreement)


@dataclass(frozen=True)
class Recorded:
    """What an epoch records: 60 validation pixels, 3 copies, 80 target pixels, 4 classes, 5 features, 2 seeds."""

    arrays: dict

    def of(self, criterion):
        wanted = inspect.signature(criterion).parameters
        suffix = "_of_seeds" if criterion in OF_SEEDS else ""
        return {
            name: self.arrays.get(name + suffix, self.arrays.get(name)) for name in wanted if name in SOURCE | TARGET
        }


def recorded(dtype=np.float32, *, num_source=60, num_target=80, seed=0):
    rng = np.random.default_rng(seed)
    centers = 2 * rng.normal(size=(4, 5))
    labels = np.concatenate([np.arange(4), rng.integers(0, 4, num_source)])[:num_source]
    features = centers[labels] + rng.normal(size=(num_source, 5))
    target_features = centers[rng.integers(0, 4, num_target)] + rng.normal(size=(num_target, 5)) + 0.3

    def logits(values):
        return values @ centers.T + rng.normal(size=(*values.shape[:-1], 4))

    arrays = {
        "logits": logits(features),
        "shifted_logits": np.stack([logits(features + shift) for shift in (0.2, 0.5, 1.0)]),
        "features": features,
        "target_logits": logits(target_features),
        "target_features": target_features,
        "logits_of_seeds": np.stack([logits(features) for _ in range(2)]),
        "shifted_logits_of_seeds": np.stack([[logits(features) for _ in range(3)] for _ in range(2)]),
        "target_logits_of_seeds": np.stack([logits(target_features) for _ in range(2)]),
    }
    arrays = {name: values.astype(dtype) for name, values in arrays.items()}
    uncertain = rng.random((num_target, 4))
    arrays["ensemble"] = uncertain / uncertain.sum(axis=1, keepdims=True)
    return Recorded(arrays | {"labels": labels})


every = pytest.mark.parametrize("criterion", SOURCE_ONLY + WITH_TARGET, ids=lambda criterion: criterion.__name__)


@every
def test_it_is_a_finite_number(criterion):
    score = criterion(**recorded().of(criterion))
    assert isinstance(score, float)
    assert math.isfinite(score)


@every
def test_the_order_of_pixels_changes_nothing(criterion):
    arrays = recorded().of(criterion)
    rng = np.random.default_rng(1)
    of_source, of_target = rng.permutation(60), rng.permutation(80)
    shuffled = {
        name: np.take(values, of_source if name in SOURCE else of_target, axis=(SOURCE | TARGET)[name])
        for name, values in arrays.items()
    }
    assert criterion(**shuffled) == pytest.approx(criterion(**arrays), rel=1e-12, abs=1e-12)


@every
def test_no_argument_could_hold_a_target_label(criterion):
    parameters = inspect.signature(criterion).parameters.values()
    arrays = {parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty}
    assert arrays <= SOURCE.keys() | TARGET.keys()
    options = {parameter.name for parameter in parameters} - arrays
    assert options <= {"loss", "confidence", "weights", "temperature", "order", "threshold"}


@pytest.mark.parametrize("criterion", SOURCE_ONLY, ids=lambda criterion: criterion.__name__)
def test_of_the_first_regime_no_argument_holds_a_target_pixel(criterion):
    assert inspect.signature(criterion).parameters.keys() <= SOURCE.keys()


@every
def test_float16_is_computed_in_float64(criterion):
    half = recorded(np.float16).of(criterion)
    double = {
        name: values.astype(np.float64) if values.dtype == np.float16 else values for name, values in half.items()
    }
    assert criterion(**half) == criterion(**double)


@every
def test_logits_beyond_float16_count_as_its_largest(criterion):
    arrays = recorded(np.float16).of(criterion)
    for name in ("logits", "shifted_logits", "target_logits"):
        if name in arrays:
            arrays[name] = np.where(arrays[name] > 3, np.float16(np.inf), arrays[name])
            arrays[name] = np.where(arrays[name] < -3, np.float16(-np.inf), arrays[name])
    score = criterion(**arrays)
    assert math.isfinite(score)
    large = {
        name: np.nan_to_num(values) if values.dtype == np.float16 else values for name, values in arrays.items()
    }  # infinity becomes the type's largest number
    assert criterion(**large) == score


@every
def test_a_diverged_network_has_no_score(criterion):
    arrays = recorded().of(criterion)
    for name, values in arrays.items():
        if values.dtype.kind == "f":
            with_nan = values.copy()
            with_nan.flat[3] = np.nan
            assert math.isnan(criterion(**arrays | {name: with_nan}))


@every
def test_constant_outputs_have_a_defined_score(criterion):
    arrays = {
        name: np.zeros_like(values) if values.dtype.kind == "f" else values
        for name, values in recorded().of(criterion).items()
    }
    assert math.isfinite(criterion(**arrays))


@every
def test_two_pixels_have_a_defined_score(criterion):
    assert math.isfinite(criterion(**recorded(num_source=2, num_target=2).of(criterion)))


@every
def test_one_pixel_has_a_defined_score(criterion):
    score = criterion(**recorded(num_source=1, num_target=1).of(criterion))
    assert math.isnan(score) == (criterion is soft_neighborhood_density)


@every
@pytest.mark.parametrize("what", ["empty", "one class", "too flat", "integers"])
def test_arrays_of_another_shape_or_type_are_rejected(criterion, what):
    arrays = recorded().of(criterion)
    name = "target_logits" if "target_logits" in arrays else next(name for name in arrays if name.endswith("logits"))
    values = arrays[name]
    wrong = {
        "empty": values[..., :0, :],
        "one class": values[..., :1],
        "too flat": values[..., 0],
        "integers": values.astype(str),
    }[what]
    with pytest.raises(InvalidInputError, match="expected"):
        criterion(**arrays | {name: wrong})


@pytest.mark.parametrize(
    ("criterion", "name"),
    [
        pytest.param(criterion, name, id=f"{criterion.__name__}-{name}")
        for criterion in SOURCE_ONLY + WITH_TARGET
        for names in [[name for name in inspect.signature(criterion).parameters if name in SOURCE | TARGET]]
        for name in names
        if len(names) > 1
    ],
)
def test_arrays_of_different_pixels_classes_or_features_are_rejected(criterion, name):
    arrays = recorded().of(criterion)
    axis = (SOURCE | TARGET)[name]
    if name in TARGET and criterion is not class_ami:  # source and target differ in pixels, not in classes and features
        axis = -1
    shorter = np.delete(arrays[name], -1, axis=axis)
    with pytest.raises(InvalidInputError, match=r"expected|same"):
        criterion(**arrays | {name: shorter})
