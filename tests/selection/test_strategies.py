"""Each strategy's documented formula on a case that is done by hand."""

import math

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.selection.candidates import Candidate, Elsewhere, PooledTrial
from sceneshift.selection.registry import STRATEGIES, find_strategy
from sceneshift.selection.views import VIEWS, LabelledView, Reads, SourceView, UnlabelledView

#: Logits whose softmax is one-hot to many digits, and uniform.
SURE, UNSURE = 50.0, 0.0


def one_hot(classes, num_classes=2):
    return (np.eye(num_classes)[list(classes)] * SURE).astype(np.float16)


def odds(*shares):
    """Logits of two classes with these probabilities of the first."""
    return np.array([[math.log(p / (1 - p)), 0.0] for p in shares], dtype=np.float64)


def source(logits=None, labels=(0, 0, 1, 1), shifted=None, features=None):
    return SourceView(
        labels=np.array(labels),
        logits=one_hot(labels) if logits is None else logits,
        features=features,
        shifted=shifted,
    )


def unlabelled(target_logits, target_features=None, **of_source):
    return UnlabelledView(source=source(**of_source), target_logits=target_logits, target_features=target_features)


HALF_RIGHT = one_hot((0, 1, 1, 0))

#: By strategy that scores candidates alone: what one pair's classifier answered, and its score.
BY_HAND = {
    "source-random": (source(one_hot((0, 0, 1, 0))), 0.75),
    # AA of the copies is 1 and 0.5.
    "shifted-blocks": (source(shifted=np.stack([one_hot((0, 0, 1, 1)), HALF_RIGHT])), 0.75),
    "shifted-blocks-worst": (source(shifted=np.stack([one_hot((0, 0, 1, 1)), HALF_RIGHT])), 0.5),
    # No risk; of one copy's four predictions, two are another class, one of each label.
    "source-discrepancy": (source(shifted=HALF_RIGHT[np.newaxis]), -0.5),
    "flat-average": (source(one_hot((0, 0, 1, 0))), 0.75),
    "entropy": (unlabelled(odds(0.5, 0.5)), -math.log(2)),
    # The mean prediction is even, each prediction certain.
    "infomax": (unlabelled(one_hot((0, 1))), math.log(2)),
    # P is the identity of two rows: singular values 1 and 1, over sqrt(2 * 2).
    "bnm": (unlabelled(one_hot((0, 1))), 1.0),
    "class-ami": (unlabelled(one_hot((0, 0, 1, 1)), np.array([[0.0], [0.1], [5.0], [5.1]])), 1.0),
    # Both sides look alike: weights 1, and the loss is log 2 throughout.
    "iwcv": (
        unlabelled(odds(0.5), np.zeros((1, 1)), logits=odds(0.5, 0.5), labels=(0, 1), features=np.zeros((2, 1))),
        -math.log(2),
    ),
    "dev": (
        unlabelled(odds(0.5), np.zeros((1, 1)), logits=odds(0.5, 0.5), labels=(0, 1), features=np.zeros((2, 1))),
        -math.log(2),
    ),
    # Three pixels alike: each has two neighbours of equal similarity.
    "snd": (unlabelled(odds(0.7, 0.7, 0.7)), math.log(2)),
    # Phi = log 2 - 0 < 5: v = 1 for each, s = 1/2, and the norm (1/2^4)^(1/4).
    "mano": (unlabelled(odds(0.5, 0.5)), 0.5),
    # One of four source pixels is wrong, and it is the least certain: the threshold passes two of four target pixels.
    "atc": (
        unlabelled(odds(0.99, 0.95, 0.55, 0.55), logits=odds(0.9, 0.8, 0.4, 0.1), labels=(0, 0, 0, 1)),
        0.5,
    ),
    # 0.75 - (mean(0.9, 0.8, 0.6, 0.9) - 0.7)
    "doc": (
        unlabelled(odds(0.7, 0.3), logits=odds(0.9, 0.8, 0.4, 0.1), labels=(0, 0, 0, 1)),
        0.75 - (0.8 - 0.7),
    ),
    # Of three labelled pixels, two.
    "oracle": (
        LabelledView(unlabelled=unlabelled(one_hot((0, 1, 1, 0))), target_labels=np.array([0, 1, 0, -1])),
        2 / 3,
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_score_of_a_candidate(name):
    view, score = BY_HAND[name]
    strategy = find_strategy(name)
    assert strategy.score_pair(view) == pytest.approx(score, abs=1e-6)
    # Of several pairs, the mean.
    assert strategy.score_candidate({"a": view, "b": view}) == pytest.approx(score, abs=1e-6)


def pooled(name, outputs, *, number=0, configuration="c", metrics=None, elsewhere=None):
    """One complete trial; outputs are views by epoch, of one pair."""
    views = {
        key if isinstance(key, Candidate) else Candidate(trial=number, epoch=key): {"a": view}
        for key, view in outputs.items()
    }
    return PooledTrial(
        number=number,
        configuration=configuration,
        is_complete=True,
        epochs=metrics or {candidate.epoch: {} for candidate in views},
        view=VIEWS[find_strategy(name).reads],
        outputs=lambda: views,
        elsewhere=elsewhere,
    )


def test_source_blocks_take_the_last_epoch_of_the_best_trial():
    strategy = find_strategy("source-blocks")
    values = [(0.9, 0.4), (0.1, 0.5)]
    trials = [
        pooled("source-blocks", {}, number=n, metrics={e: {"val/aa": v} for e, v in enumerate(of_trial, start=1)})
        for n, of_trial in enumerate(values)
    ]
    choice = strategy.choose(trials)
    assert (choice.trial, choice.epoch, choice.score) == (1, 2, 0.5)
    assert strategy.reads is Reads.NOTHING


def test_leave_one_scene_out_averages_groups_and_does_not_read_its_own():
    groups = {"c-d": "one", "d-c": "one", "e-f": "two", "a-b": "mine"}

    def trial(number, **scores):
        elsewhere = Elsewhere(
            held_out="mine", groups=groups, scores={k.replace("_", "-"): v for k, v in scores.items()}
        )
        return pooled("leave-one-scene-out", {1: None, 2: None}, number=number, elsewhere=elsewhere)

    trials = [
        trial(0, c_d=0.2, d_c=0.4, e_f=0.5, a_b=1.0),  # (0.3 + 0.5) / 2
        trial(1, c_d=0.6, d_c=0.6, e_f=0.4, a_b=0.0),  # (0.6 + 0.4) / 2
        trial(2, c_d=0.9, e_f=0.9),  # lacks a pair
    ]
    scores = find_strategy("leave-one-scene-out").scores(trials)
    assert scores[Candidate(trial=0, epoch=2)] == pytest.approx(0.4)
    assert scores[Candidate(trial=1, epoch=2)] == pytest.approx(0.5)
    assert math.isnan(scores[Candidate(trial=2, epoch=2)])
    assert len(scores) == 3
    with pytest.raises(InvalidInputError):
        find_strategy("leave-one-scene-out").scores([pooled("leave-one-scene-out", {1: None})])


def test_flat_average_takes_the_last_epochs_average_where_there_is_one():
    right, wrong = source(), source(one_hot((1, 1, 1, 1)))
    begun = pooled(
        "flat-average",
        {1: right, 2: wrong, Candidate(trial=0, epoch=2, is_average=True): source(one_hot((0, 0, 1, 0)))},
    )
    never = pooled("flat-average", {1: right, 2: wrong}, number=1)
    scores = find_strategy("flat-average").scores([begun, never])
    assert scores == {Candidate(trial=0, epoch=2, is_average=True): 0.75, Candidate(trial=1, epoch=2): 0.5}


def seeds(name, of_first, of_second, number=0, configuration="c"):
    return [
        pooled(name, of_first, number=number, configuration=configuration),
        pooled(name, of_second, number=number + 1, configuration=configuration),
    ]


def test_gde_counts_the_target_pixels_on_which_seeds_agree():
    one, other = unlabelled(one_hot((0, 0, 1, 1))), unlabelled(one_hot((0, 1, 0, 1)))
    alone = pooled("gde", {1: one}, number=2, configuration="another")
    scores = find_strategy("gde").scores([*seeds("gde", {1: one, 2: one}, {1: other, 2: one}), alone])
    assert scores == {Candidate(trial=n, epoch=e): 0.5 if e == 1 else 1.0 for n in (0, 1) for e in (1, 2)}
    with pytest.raises(InvalidInputError):
        find_strategy("gde").scores([alone])


def test_seed_agreement_is_kappa_over_validation_pixels_and_copies():
    same = source(shifted=one_hot((0, 0, 1, 1))[np.newaxis])
    # The second seed agrees on the validation pixels (kappa 1), and by chance on the copy (kappa 0).
    other = source(shifted=HALF_RIGHT[np.newaxis])
    scores = find_strategy("seed-agreement").scores(seeds("seed-agreement", {1: same}, {1: other}))
    assert scores == {Candidate(trial=n, epoch=1): pytest.approx(0.5) for n in (0, 1)}


def test_seeds_of_other_pixels_are_not_compared():
    with pytest.raises(InvalidInputError):
        find_strategy("gde").scores(seeds("gde", {1: unlabelled(one_hot((0, 1)))}, {1: unlabelled(one_hot((0, 1, 1)))}))


def test_ensv_compares_with_the_mean_of_all_candidates():
    outputs = {1: unlabelled(one_hot((0, 0, 1, 1))), 2: unlabelled(one_hot((0, 0, 1, 0)))}
    second = pooled("ensv", {1: unlabelled(one_hot((0, 0, 1, 1)))}, number=1)
    # The ensemble says 0 0 1 1.
    assert find_strategy("ensv").scores([pooled("ensv", outputs), second]) == {
        Candidate(trial=0, epoch=1): 1.0,
        Candidate(trial=0, epoch=2): 0.75,
        Candidate(trial=1, epoch=1): 1.0,
    }


def test_every_strategy_has_a_case_by_hand():
    together = {"source-blocks", "leave-one-scene-out", "gde", "seed-agreement", "ensv"}
    assert set(BY_HAND) | together == set(STRATEGIES)


def test_scores_that_workers_reported_are_not_computed_again():
    def fail():
        raise AssertionError("read the record")

    trial = PooledTrial(
        number=3,
        configuration="c",
        is_complete=True,
        epochs={1: {"selection/entropy": -0.2}, 2: {}, 3: {"selection/entropy": -0.1}},
        view=UnlabelledView,
        outputs=fail,
    )
    choice = find_strategy("entropy").choose([trial])
    assert (choice.trial, choice.epoch, choice.score) == (3, 3, -0.1)


@pytest.mark.parametrize("name", ["class-ami", "iwcv", "dev"])
def test_a_classifier_without_features_is_refused(name):
    with pytest.raises(InvalidInputError):
        find_strategy(name).score_pair(unlabelled(one_hot((0, 1))))
