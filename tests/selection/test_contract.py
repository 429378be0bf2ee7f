"""What every strategy must do alike."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.selection.registry import STRATEGIES, find_strategy
from sceneshift.selection.strategy import Setting
from sceneshift.selection.views import VIEWS, Reads, SourceView, UnlabelledView

every = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)

#: In which every strategy may choose.
ANY = Setting(
    record=True, target_access="unlabelled", split="random", num_seeds=2, num_candidates=9, has_other_pairs=True
)


@every
def test_it_says_what_it_is_and_reads(strategy):
    assert find_strategy(strategy.name) is strategy
    assert strategy.rule
    assert strategy.metric in ("val/aa", f"selection/{strategy.name}")
    assert strategy.reads in Reads
    assert type(strategy).__doc__


@every
def test_its_columns_are_those_of_its_regime(strategy):
    reads_target = any(column.startswith("target") for column in strategy.columns)
    assert reads_target == (strategy.reads is not Reads.NOTHING)


def test_the_first_regime_is_handed_no_target():
    assert [f.name for f in fields(SourceView)] == ["labels", "logits", "features", "shifted"]
    assert not any("label" in f.name for f in fields(UnlabelledView))
    assert not issubclass(UnlabelledView, SourceView)


@every
def test_it_is_handed_the_view_of_its_regime_and_no_other(strategy, pool):
    for trial in pool.offer(strategy):
        for views in trial.outputs().values():
            assert {type(view) for view in views.values()} == {VIEWS[strategy.reads]}
    for reads, view in VIEWS.items():
        if reads is not strategy.reads:
            with pytest.raises(InvalidInputError):
                strategy.scores([replace(trial, view=view) for trial in pool.offer(strategy)])


@every
def test_it_chooses_a_candidate_with_the_highest_score(strategy, pool):
    scores = pool.scores(strategy)
    choice = pool.choose(strategy)
    assert choice.score == max(scores.values())
    assert any(
        (c.trial, c.epoch, c.is_average) == (choice.trial, choice.epoch, choice.is_average) and s == choice.score
        for c, s in scores.items()
    )


@every
def test_other_labels_of_the_target_change_the_oracles_choice_alone(strategy, pool, made):
    choice = pool.choose(strategy)
    changed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = {pair: rng.permutation(found.ravel()).reshape(found.shape) for pair, found in pool.labels.items()}
        changed += made.pool(pool.trials, labels).choose(strategy) != choice
    assert (changed > 0) == (strategy.reads is Reads.LABELS)


@every
def test_the_order_of_target_pixels_changes_nothing(strategy, pool):
    scores = pool.scores(strategy)
    order = np.random.default_rng(5).permutation(len(pool.trials[0].records[0].target.logits))

    def reordered(outputs):
        return replace(outputs, logits=outputs.logits[order], features=outputs.features[order])

    for trial in pool.trials:
        trial.records = [replace(record, target=reordered(record.target)) for record in trial.records]
        trial.headers = {
            pair: replace(header, target_pixels=header.target_pixels[order]) for pair, header in trial.headers.items()
        }
    assert pool.scores(strategy) == pytest.approx(scores, rel=1e-9)


@every
def test_of_equal_scores_the_earlier_trial_is_chosen_in_any_order(strategy, made):
    trials = [made.trial(number, f"configuration {number // 2}", 3 + number % 2) for number in range(4)]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        choice = made.pool([trials[i] for i in order], made.labels(1)).choose(strategy)
        assert choice.trial in (0, 1)
        twin = made.pool(trials[2:], made.labels(1)).choose(strategy)
        assert (twin.trial, twin.epoch) == (choice.trial + 2, choice.epoch)


def broken(trial, with_nan):
    """Every number of a trial is NaN somewhere."""
    nan = {epoch: dict.fromkeys(metrics, math.nan) for epoch, metrics in trial.metrics.items()}
    return replace(trial, records=[with_nan(record) for record in trial.records], metrics=nan, elsewhere=math.nan)


@every
def test_what_is_nan_is_never_chosen(strategy, pool, made):
    choice = pool.choose(strategy)
    first, second = (t for t in pool.trials if t.configuration == f"configuration {choice.trial // 2}")
    rest = [t for t in pool.trials if t not in (first, second)]
    assert (
        made.pool([broken(first, made.with_nan), broken(second, made.with_nan), *rest], pool.labels)
        .choose(strategy)
        .trial
        // 2
        != choice.trial // 2
    )
    assert made.pool([broken(trial, made.with_nan) for trial in pool.trials], pool.labels).choose(strategy) is None


@every
def test_trials_that_were_stopped_early_are_not_chosen(strategy, pool):
    choice = pool.choose(strategy)
    for trial in pool.trials:
        trial.is_complete = trial.number // 2 != choice.trial // 2
    assert pool.choose(strategy).trial // 2 != choice.trial // 2
    for trial in pool.trials:
        trial.is_complete = False
    assert pool.choose(strategy) is None
    assert strategy.choose([]) is None


@every
def test_the_chosen_epoch_is_one_whose_weights_were_kept_all_the_way(strategy, pool):
    for trial in pool.trials:
        for epoch, value in enumerate((0.3, 0.9, 0.2), start=1):
            trial.metrics[epoch][strategy.metric] = value
        history, kept = {}, set()
        for epoch, metrics in trial.metrics.items():
            history[epoch] = metrics
            kept = (kept | {epoch}) & (set(strategy.keep(history)) | {epoch})
        assert {c.epoch for c, s in pool.scores(strategy).items() if c.trial == trial.number} & kept
        best = strategy.choose([t for t in pool.offer(strategy) if t.number // 2 == trial.number // 2])
        if best.trial == trial.number:
            assert best.epoch in kept


@every
def test_a_search_is_steered_by_the_score_it_reports_and_valued_by_what_would_be_chosen(strategy):
    history = {epoch: {strategy.metric: value} for epoch, value in enumerate((0.3, 0.9, 0.2), start=1)}
    assert [strategy.score(metrics) for metrics in history.values()] == [0.3, 0.9, 0.2]
    takes_last = strategy.name in ("source-blocks", "leave-one-scene-out", "flat-average")
    steered_by_another = strategy.name in ("seed-agreement", "gde", "ensv", "oracle")
    assert strategy.value(history) == (0.2 if takes_last or steered_by_another else 0.9)


@every
def test_it_accepts_a_setting_with_everything_and_refuses_one_without_what_it_reads(strategy):
    setting = replace(ANY, split="random" if strategy.name == "source-random" else "blocks")
    strategy.check(setting)
    if strategy.columns:
        with pytest.raises(InvalidInputError):
            strategy.check(replace(setting, record=False))
    if strategy.reads is not Reads.NOTHING:
        with pytest.raises(InvalidInputError):
            strategy.check(replace(setting, target_access="none"))
    if strategy.needs_validation:
        with pytest.raises(InvalidInputError):
            strategy.check(replace(setting, validates=False))


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("source-random", {"split": "blocks"}),
        ("seed-agreement", {"num_seeds": 1}),
        ("gde", {"num_seeds": 1}),
        ("ensv", {"num_candidates": 1}),
        ("leave-one-scene-out", {"has_other_pairs": False}),
    ],
)
def test_what_a_strategy_can_not_do_without_is_refused(name, missing):
    with pytest.raises(InvalidInputError):
        find_strategy(name).check(replace(ANY, **missing))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InvalidInputError, match="source-blocks"):
        find_strategy("source-block")
