"""The chosen configuration, trained once more on pixels of every field."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sceneshift.report.screen import render_table
from sceneshift.search.tuner import SearchPlan

from sceneshift.closing.refit import refit_winner, source_on_every_field
from sceneshift.errors import StudyError
from sceneshift.execution.cluster import ray_cluster
from sceneshift.search.profile import Profile
from sceneshift.search.trial_store import TrialRecord
from sceneshift.splits.fields import number_fields
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.loop import train

CONFIG = {"patch_size": 5, "batch_size": 100, "width": 8}
WINNER = TrialRecord(
    number=3,
    state="complete",
    params={},
    config=CONFIG,
    epochs={},
    value=0.5,
    reason="",
    weights={},
    started_ms=0,
    seconds=None,
)


@pytest.fixture
def plan(tmp_path):
    return SearchPlan(
        method="cross_entropy",
        space=SimpleNamespace(),
        profile=Profile(name="p", description="", epochs=2, num_samples=4),
        seed=7,
        max_concurrent_trials=1,
        workers_per_trial=1,
        cpus_per_trial=1,
        gpus_per_trial=0,
        in_ray_train=False,
        precision="float32",
        compile=False,
        checkpoint_location=str(tmp_path / "checkpoints"),
        tune_directory=str(tmp_path),
    )


def on_every_field(plan, source, *, pixels_per_class, **arguments):
    """What the plain loop makes of the winner's configuration on pixels of every field."""
    source = source_on_every_field(source, pixels_per_class=pixels_per_class)
    (run,) = train(plan.order(WINNER).plan(), [source], report=lambda _: None, **arguments)
    return run.classifier


def study_of(*sources, pixels_per_class):
    return SimpleNamespace(sources=sources, refit_pixels_per_class=pixels_per_class)


def test_pixels_are_drawn_over_every_field_and_none_validates(tiny_source):
    whole = source_on_every_field(tiny_source, pixels_per_class=None)
    assert len(whole.split.train) == (tiny_source.scene.labels > 0).sum()
    thinned = source_on_every_field(tiny_source, pixels_per_class=20)
    assert np.bincount(thinned.labels_of(thinned.split.train)).tolist() == [20, 20, 20]
    assert len(thinned.split.validation) == len(whole.split.validation) == 0
    # Four fields a class; some of them hold validation pixels of the trials.
    fields, _ = number_fields(tiny_source.scene.labels)
    assert len(np.unique(fields.ravel()[thinned.split.train])) == fields.max()
    again = source_on_every_field(tiny_source, pixels_per_class=20)
    assert again.split.content_hash == thinned.split.content_hash


@pytest.mark.slow
@pytest.mark.parametrize("in_ray_train", [False, True])
def test_the_winner_s_configuration_and_seed_train_where_trials_do(plan, make_source, in_ray_train):
    sources = [make_source("one", 0), make_source("two", 1)]
    plan = replace(plan, in_ray_train=in_ray_train)
    study = study_of(*sources, pixels_per_class=30)
    with ray_cluster(num_cpus=1):
        refitted = refit_winner(study, plan, WINNER)
    assert list(refitted) == ["one", "two"]
    for source in sources:
        expected = on_every_field(plan, source, pixels_per_class=30)
        assert weights_hash(refitted[source.pair_name].classifier) == weights_hash(expected)
        assert refitted[source.pair_name].seconds > 0
    # Kept: when the closing is repeated there is nothing to train, and Ray isn't needed.
    again = refit_winner(study, plan, WINNER)
    assert weights_hash(again["two"].classifier) == weights_hash(refitted["two"].classifier)


@pytest.mark.slow
def test_a_training_that_diverges_leaves_its_pair_out(plan, tiny_source, capsys):
    diverging = replace(WINNER, config={**CONFIG, "lr": 1e30})
    with ray_cluster(num_cpus=1):
        assert refit_winner(study_of(tiny_source, pixels_per_class=None), plan, diverging) == {}
    assert "NOTE: tiny-pair: training diverged in epoch" in capsys.readouterr().out


def test_a_refit_that_was_kept_is_taken_back_and_one_that_is_damaged_named(plan, tiny_source, tmp_path):
    split = source_on_every_field(tiny_source, pixels_per_class=None).split
    folder = tmp_path / "checkpoints" / "refit_0003" / f"tiny-pair-{split.content_hash}"
    classifier = on_every_field(plan, tiny_source, pixels_per_class=None, checkpoints=CheckpointFolder(str(folder)))
    study = study_of(tiny_source, pixels_per_class=None)
    taken = refit_winner(study, plan, WINNER)[tiny_source.pair_name].classifier
    assert all(torch.equal(a, b) for a, b in zip(taken.parameters(), classifier.parameters(), strict=True))
    (folder / "epoch_00002.ckpt").write_bytes(b"damaged")
    with pytest.raises(StudyError, match=f"{split.content_hash} holds no whole checkpoint of epoch 2"):
        refit_winner(study, plan, WINNER)


def test_a_table_has_no_validation_where_none_was_held_back_and_names_normalizations():
    scores = {"oa": 0.5, "aa": 0.25, "kappa": 0.1}
    row = {"pair": "a-b", "normalization": "derivative", "seconds": 12.34, "target": scores}
    table = render_table(
        [
            {**row, "role": "best", "validation": scores},
            {**row, "role": "best, every field", "validation": None},
            {**row, "role": "majority class", "validation": scores, "normalization": None, "seconds": None},
        ],
        profile="p",
    )
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()]
    figures = ["50.0", "25.0", "0.100"]
    assert cells[2] == ["a-b", "best", "derivative", *figures, *figures, "12.3"]
    assert cells[3] == ["a-b", "best, every field", "derivative", "-", "-", "-", *figures, "12.3"]
    assert cells[4] == ["a-b", "majority class", "-", *figures, *figures, "-"]
