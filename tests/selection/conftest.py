"""Pools of recorded candidates, made up from random outputs."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest

from sceneshift.selection.candidates import Elsewhere, PooledTrial
from sceneshift.selection.outputs import views_of
from sceneshift.selection.views import VIEWS
from sceneshift.training.epoch_record import EpochRecord, Outputs, PairHeader

NUM_CLASSES, NUM_FEATURES, SHIFTS = 3, 4, ("haze", "noise")
NUM_VALIDATION, NUM_TARGET = 24, 30
SHAPE = (6, 10)


def make_header(pair="a-b", target=True):
    return PairHeader(
        pair=pair,
        num_classes=NUM_CLASSES,
        validation_pixels=np.arange(NUM_VALIDATION),
        validation_labels=np.arange(NUM_VALIDATION) % NUM_CLASSES,
        target_pixels=np.arange(0, 2 * NUM_TARGET, 2) if target else None,
        shifts=SHIFTS,
        seed=0,
        num_features=NUM_FEATURES,
        projection=None,
    )


def make_record(rng, epoch, *, pair="a-b", is_average=False, scale=2.0, target=True):
    def outputs(num):
        logits = rng.normal(0, scale, (num, NUM_CLASSES)).astype(np.float16)
        return Outputs(logits=logits, features=rng.normal(size=(num, NUM_FEATURES)).astype(np.float16))

    return EpochRecord(
        pair=pair,
        epoch=epoch,
        is_average=is_average,
        validation=outputs(NUM_VALIDATION),
        shifted=np.stack([outputs(NUM_VALIDATION).logits for _ in SHIFTS]),
        target=outputs(NUM_TARGET) if target else None,
    )


def with_nan(record):
    def broken(array):
        found = array.copy()
        found.flat[0] = np.nan
        return found

    def both(outputs):
        return Outputs(logits=broken(outputs.logits), features=broken(outputs.features))

    return replace(
        record,
        validation=both(record.validation),
        shifted=broken(record.shifted),
        target=None if record.target is None else both(record.target),
    )


@dataclass
class MadeTrial:
    """One trial of a pool, before it is offered to a strategy."""

    number: int
    configuration: str
    records: list
    headers: dict
    metrics: dict
    elsewhere: float
    is_complete: bool = True

    def offer(self, strategy, labels):
        return PooledTrial(
            number=self.number,
            configuration=self.configuration,
            is_complete=self.is_complete,
            epochs=self.metrics,
            view=VIEWS[strategy.reads],
            outputs=lambda: views_of(strategy.reads, self.number, self.headers, self.records, labels),
            elsewhere=Elsewhere(
                held_out="mine",
                groups={"c-d": "theirs", "a-b": "mine"},
                scores={"c-d": self.elsewhere, "a-b": -self.elsewhere},
            ),
        )


@dataclass
class MadePool:
    """Trials, and the labels of their targets."""

    trials: list
    labels: dict = field(default_factory=dict)

    def offer(self, strategy):
        return [trial.offer(strategy, self.labels) for trial in self.trials]

    def choose(self, strategy):
        return strategy.choose(self.offer(strategy))

    def scores(self, strategy):
        return strategy.scores(self.offer(strategy))


def make_trial(number, configuration, seed, *, epochs=3, pairs=("a-b",), **values):
    rng = np.random.default_rng(seed)
    records, metrics = [], {}
    for epoch in range(1, epochs + 1):
        for pair in pairs:
            records.append(make_record(rng, epoch, pair=pair))
            if epoch == epochs:
                records.append(make_record(rng, epoch, pair=pair, is_average=True))
        metrics[epoch] = {"val/aa": float(rng.uniform()), "time/recording_s": 0.1}
    headers = {pair: make_header(pair) for pair in pairs}
    return MadeTrial(number, configuration, records, headers, metrics, float(rng.uniform()), **values)


def make_labels(seed, pairs=("a-b",)):
    return {pair: np.random.default_rng(seed).integers(0, NUM_CLASSES + 1, SHAPE) for pair in pairs}


@pytest.fixture
def made():
    """What pools are made of."""
    return SimpleNamespace(
        pool=MadePool, trial=make_trial, labels=make_labels, header=make_header, record=make_record, with_nan=with_nan
    )


@pytest.fixture
def pool():
    """Three configurations with two seeds each, two pairs."""
    pairs = ("a-b", "e-f")
    trials = [make_trial(number, f"configuration {number // 2}", 100 + number, pairs=pairs) for number in range(6)]
    return MadePool(trials, make_labels(7, pairs))
