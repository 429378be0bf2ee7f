"""What strategies are handed from records on disk."""

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.methods.registry import METHODS, find_method
from sceneshift.networks.final_layer import final_layer
from sceneshift.selection.candidates import Candidate
from sceneshift.selection.outputs import check_features, epoch_scorer, pooled_trial, views_of
from sceneshift.selection.registry import STRATEGIES, find_strategy
from sceneshift.selection.views import Reads
from sceneshift.training.epoch_record import RecordFolder
from sceneshift.training.plan import TrainingPlan

LABELS = {"a-b": np.arange(60).reshape(6, 10) % 4}


@pytest.fixture
def recorded(made, tmp_path):
    """A trial of three epochs on disk, and as it was before."""
    trial = made.trial(0, "c", 5)
    folder = RecordFolder(str(tmp_path))
    for epoch in trial.metrics:
        folder.write(trial.headers, [record for record in trial.records if record.epoch == epoch])
    return trial, str(tmp_path)


def offered(strategy, location, **changes):
    values = {"number": 0, "configuration": "c", "is_complete": True, "epochs": {1: {}, 2: {}, 3: {}}}
    labels = LABELS if strategy.reads is Reads.LABELS else None
    return pooled_trial(strategy, **{**values, "location": location, "labels": labels, **changes})


@pytest.mark.parametrize("name", [n for n, s in STRATEGIES.items() if s.columns and n not in ("gde", "seed-agreement")])
def test_its_columns_are_all_that_a_strategy_reads(name, recorded):
    trial, location = recorded
    strategy = find_strategy(name)
    from_disk = strategy.scores([offered(strategy, location)])
    views = views_of(strategy.reads, 0, trial.headers, trial.records, LABELS)
    found = offered(strategy, location)
    in_memory = strategy.scores([type(found)(**{**vars(found), "outputs": lambda: views})])
    assert from_disk == pytest.approx(in_memory)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_labels_are_for_the_oracle_alone(strategy, tmp_path):
    wrong = None if strategy.reads is Reads.LABELS else LABELS
    with pytest.raises(InvalidInputError):
        offered(strategy, str(tmp_path), labels=wrong)


def test_the_oracles_labels_are_of_the_recorded_pixels(recorded):
    _, location = recorded
    (view, *_) = (views["a-b"] for views in offered(find_strategy("oracle"), location).outputs().values())
    assert view.target_labels.tolist() == (np.arange(0, 60, 2) % 4 - 1).tolist()


def test_a_record_without_a_target_is_refused_where_one_is_read(made):
    headers = {"a-b": made.header(target=False)}
    records = [made.record(np.random.default_rng(0), 1, target=False)]
    assert list(views_of(Reads.NOTHING, 0, headers, records)) == [Candidate(trial=0, epoch=1)]
    with pytest.raises(StudyError):
        views_of(Reads.PIXELS, 0, headers, records)


def test_a_pair_without_an_average_takes_part_with_its_own_weights(made):
    rng = np.random.default_rng(0)
    headers = {pair: made.header(pair) for pair in ("a-b", "c-d")}
    one, other = made.record(rng, 1), made.record(rng, 1, pair="c-d")
    average = made.record(rng, 1, is_average=True)
    views = views_of(Reads.NOTHING, 0, headers, [one, average, other])[Candidate(trial=0, epoch=1, is_average=True)]
    assert views["a-b"].logits is average.validation.logits
    assert views["c-d"].logits is other.validation.logits


def test_workers_score_an_epoch_as_strategies_do(recorded):
    trial, location = recorded
    for name in ("atc", "shifted-blocks"):
        strategy = find_strategy(name)
        scores = strategy.scores([offered(strategy, location)])
        score = epoch_scorer(strategy)
        for epoch in trial.metrics:
            records = [record for record in trial.records if record.epoch == epoch]
            expected = scores[Candidate(trial=0, epoch=epoch)]
            assert score(trial.headers, records) == {f"selection/{name}": pytest.approx(expected)}


@pytest.mark.parametrize("name", ["source-blocks", "source-random", "ensv", "oracle", "gde", "leave-one-scene-out"])
def test_workers_do_not_score_what_has_no_score_per_epoch_of_its_own(name):
    assert epoch_scorer(find_strategy(name)) is None


def test_methods_without_features_are_refused_before_training():
    for name in METHODS:
        method = find_method(name)
        plan = TrainingPlan(method=name, config=method.config_type(), epochs=1, seed=0)
        classifier = method.build_classifier(plan.config, bands=12, classes=3)
        check_features(find_strategy("infomax"), plan, bands=12, classes=3)
        if final_layer(classifier) is None:
            with pytest.raises(InvalidInputError):
                check_features(find_strategy("iwcv"), plan, bands=12, classes=3)
        else:
            check_features(find_strategy("iwcv"), plan, bands=12, classes=3)
