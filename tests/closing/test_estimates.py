"""Estimates of accuracy from records, and from what a model carries."""

from types import SimpleNamespace

import numpy as np
import pytest

from sceneshift.closing.choosing import choice_as_dict, choice_of, seen_of_target
from sceneshift.closing.estimates import estimate_elsewhere, estimate_pairs, estimates_as_dict, held_back_of
from sceneshift.errors import InvalidInputError
from sceneshift.selection.candidates import Choice
from sceneshift.selection.registry import find_strategy
from sceneshift.selection.views import Reads
from sceneshift.tracking.held_back import HeldBack
from sceneshift.training.epoch_record import EpochRecord, Outputs, PairHeader, RecordFolder

CHOICE = Choice(trial=0, epoch=2, score=0.5)


def logits(probabilities):
    """Of two classes, by the probability of the first."""
    p = np.array(probabilities)
    return np.stack([np.log(p / (1 - p)), np.zeros(len(p))], axis=1).astype(np.float16)


@pytest.fixture
def location(tmp_path):
    """Two epochs and an average: by DoC 0.65, 1 and 0.75 on the target."""
    header = PairHeader(
        pair="a-b",
        num_classes=2,
        validation_pixels=np.arange(4),
        validation_labels=np.array([0, 0, 0, 1]),
        target_pixels=np.arange(2),
        shifts=(),
        seed=0,
        num_features=None,
        projection=None,
    )

    def record(epoch, source, target, is_average=False):
        return EpochRecord(
            pair="a-b",
            epoch=epoch,
            is_average=is_average,
            validation=Outputs(logits=logits(source), features=None),
            shifted=None,
            target=Outputs(logits=logits(target), features=None),
        )

    folder = RecordFolder(str(tmp_path))
    folder.write({"a-b": header}, [record(1, (0.9, 0.9, 0.9, 0.1), (0.6, 0.6))])
    folder.write(
        {"a-b": header},
        [
            record(2, (0.9, 0.8, 0.4, 0.1), (0.7, 0.3)),
            record(2, (0.9, 0.8, 0.4, 0.1), (0.8, 0.2), is_average=True),
        ],
    )
    return str(tmp_path)


#: As many labelled pixels of each class as validate: the proportions change nothing.
SOURCE = SimpleNamespace(pair_name="a-b", scene=SimpleNamespace(class_counts=np.array([300, 100])))


@pytest.mark.parametrize(
    ("choice", "doc"),
    [
        (CHOICE, 0.65),
        (Choice(trial=0, epoch=2, score=0.5, is_average=True), 0.75),
        (Choice(trial=0, epoch=1, score=0.5), 0.7),
        (Choice(trial=0, epoch=1, score=0.5, is_average=True), 0.7),  # not begun: the epoch's own
    ],
)
def test_the_estimate_is_of_what_was_chosen(location, choice, doc):
    (estimate,) = estimate_pairs(location, choice, [SOURCE]).values()
    assert estimate.parts["doc"] == pytest.approx(doc, abs=1e-3)
    assert (estimate.low, estimate.high, estimate.is_calibrated) == (0.0, 1.0, False)
    assert estimates_as_dict({"a-b": estimate})["a-b"]["calibration_deviation"] is None


def test_other_pairs_residuals_calibrate_it(location):
    residuals = {"c": [0.0, 0.02], "d": [-0.02, 0.01]}
    (estimate,) = estimate_pairs(location, CHOICE, [SOURCE], residuals=residuals).values()
    assert (estimate.is_calibrated, estimate.num_groups) == (True, 2)
    assert estimate.value == pytest.approx(estimate.uncorrected + 0.0025)


def test_a_model_carries_what_is_needed_to_estimate_elsewhere(location):
    (kept,) = held_back_of(location, CHOICE, [SOURCE], of_this_network=True).values()
    assert kept.proportions == (0.75, 0.25)
    (before,) = estimate_pairs(location, CHOICE, [SOURCE]).values()
    after = estimate_elsewhere(HeldBack.from_dict(vars(kept)), logits((0.7, 0.3)))
    assert after.parts == pytest.approx(before.parts)


def test_proportions_are_of_all_sources_of_the_pair_together(location):
    other = SimpleNamespace(pair_name="a-b", scene=SimpleNamespace(class_counts=np.array([100, 300])))
    (kept,) = held_back_of(location, CHOICE, [SOURCE, other], of_this_network=True).values()
    assert kept.proportions == (0.5, 0.5)
    (alone,), (both,) = (estimate_pairs(location, CHOICE, found).values() for found in ([SOURCE], [SOURCE, other]))
    assert both.parts["doc"] != pytest.approx(alone.parts["doc"], abs=1e-3)


@pytest.mark.parametrize("changes", [{"labels": (0,)}, {"proportions": (1.0,)}, {"logits": ((1.0, 0.0), (1.0,))}])
def test_what_does_not_fit_is_refused(changes):
    values = {"logits": ((1.0, 0.0), (0.0, 1.0)), "labels": (0, 1), "proportions": (0.5, 0.5)}
    HeldBack(**values, of_this_network=True)
    with pytest.raises(InvalidInputError):
        HeldBack(**{**values, **changes}, of_this_network=True)


def test_a_summary_shows_the_choice_back():
    found = choice_as_dict(find_strategy("ensv"), CHOICE)
    assert choice_of({"choice": found}) == CHOICE
    assert (found["strategy"], found["steered by"]) == ("ensv", "val/aa")
    assert choice_of({}) is None


@pytest.mark.parametrize("split", [None, SimpleNamespace(leaks=False), SimpleNamespace(leaks=True)])
def test_a_title_says_what_was_seen_of_the_target(split):
    pair = SimpleNamespace(test_split=split)
    strategies = {strategy.reads: strategy for strategy in map(find_strategy, ("source-blocks", "infomax", "oracle"))}
    settings = {reads: seen_of_target(strategies[reads], pair) for reads in Reads}
    assert len(set(settings.values())) == 3
    if split is None:
        assert settings[Reads.NOTHING] == "target never seen"
        assert all("never seen" not in settings[reads] for reads in (Reads.PIXELS, Reads.LABELS))
