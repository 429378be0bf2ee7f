"""What every strategy must do alike."""

import math
from dataclasses import dataclass, field

import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.selection.strategy import STRATEGIES, Reads, SourceBlocks, find_strategy


@dataclass(frozen=True)
class Trial:
    number: int
    epochs: dict = field(default_factory=dict)
    is_complete: bool = True


def metrics(value):
    """Everything a strategy may read of an epoch."""
    return {name: value for name in ("val/aa", "val/oa", "val/kappa")}


def trial(number, *values, is_complete=True):
    return Trial(number, {epoch: metrics(value) for epoch, value in enumerate(values, start=1)}, is_complete)


every = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


@every
def test_it_says_what_it_is_and_reads(strategy):
    assert find_strategy(strategy.name) is strategy
    assert strategy.rule
    assert strategy.metric
    assert strategy.reads in Reads


@every
def test_a_better_epoch_scores_higher(strategy):
    assert strategy.score(metrics(0.7)) > strategy.score(metrics(0.3))


@every
def test_the_chosen_epoch_is_one_whose_weights_were_kept_all_the_way(strategy):
    values = [0.3, 0.9, 0.2, 0.5]
    history = {}
    kept = set()
    for epoch, value in enumerate(values, start=1):
        history[epoch] = metrics(value)
        kept = (kept | {epoch}) & (set(strategy.keep(history)) | {epoch})
    assert strategy.chosen_epoch(history) in kept


@every
def test_the_best_complete_trial_is_chosen_and_of_equals_the_earlier(strategy):
    trials = [trial(0, 0.3), trial(1, 0.7), trial(2, 0.9, is_complete=False), trial(3, 0.7)]
    choice = strategy.choose(trials)
    assert (choice.trial, choice.epoch) == (1, 1)
    assert choice.score == strategy.score(metrics(0.7))


@every
@pytest.mark.parametrize(
    "trials", [[], [Trial(0)], [trial(0, 0.5, is_complete=False)], [trial(0, math.nan)]], ids=lambda t: str(len(t))
)
def test_without_a_whole_trial_of_finite_score_nobody_is_chosen(strategy, trials):
    assert strategy.choose(trials) is None


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InvalidInputError, match="source-blocks"):
        find_strategy("source-block")


def test_source_blocks_take_the_last_epoch_and_read_nothing_of_the_target():
    strategy = SourceBlocks()
    history = {epoch: metrics(value) for epoch, value in enumerate((0.9, 0.4), start=1)}
    assert strategy.chosen_epoch(history) == 2
    assert strategy.choose([trial(0, 0.9, 0.4), trial(1, 0.1, 0.5)]).trial == 1
    assert strategy.reads is Reads.NOTHING
