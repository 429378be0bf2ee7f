"""The winner trained anew on all labelled source pixels."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sceneshift.errors import StudyError
from sceneshift.report.screen import render_table
from sceneshift.scenes.split import everything_split
from sceneshift.search.cluster import ray_cluster
from sceneshift.search.ledger import TrialRecord
from sceneshift.search.profile import Profile
from sceneshift.search.tuner import SearchPlan
from sceneshift.study.refit import refit_winner
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


def on_all_pixels(plan, source, **arguments):
    """What the plain loop makes of the winner's configuration on all labelled pixels."""
    whole = replace(source, split=everything_split(source.scene, 5))
    (run,) = train(plan.order(WINNER).plan(), [whole], report=lambda _: None, **arguments)
    return run.classifier


@pytest.mark.slow
def test_the_winner_s_configuration_and_seed_train_on_every_labelled_pixel(plan, tiny_source):
    study = SimpleNamespace(sources=[tiny_source])
    with ray_cluster(num_cpus=1):
        refitted = refit_winner(study, plan, WINNER)
    assert list(refitted) == [tiny_source.pair_name]
    assert weights_hash(refitted[tiny_source.pair_name]) == weights_hash(on_all_pixels(plan, tiny_source))
    # Kept: when the closing is repeated there is nothing to train, and Ray isn't needed.
    again = refit_winner(study, plan, WINNER)
    assert weights_hash(again[tiny_source.pair_name]) == weights_hash(refitted[tiny_source.pair_name])


def test_a_refit_that_was_kept_is_taken_back_and_one_that_is_damaged_named(plan, tiny_source, tmp_path):
    folder = tmp_path / "checkpoints" / "refit_0003"
    classifier = on_all_pixels(plan, tiny_source, checkpoints=CheckpointFolder(str(folder)))
    study = SimpleNamespace(sources=[tiny_source])
    taken = refit_winner(study, plan, WINNER)[tiny_source.pair_name]
    assert all(torch.equal(a, b) for a, b in zip(taken.parameters(), classifier.parameters(), strict=True))
    (folder / "epoch_00002.ckpt").write_bytes(b"damaged")
    with pytest.raises(StudyError, match="refit_0003 holds no whole checkpoint of epoch 2"):
        refit_winner(study, plan, WINNER)


def test_a_table_has_no_validation_where_all_source_pixels_trained():
    scores = {"oa": 0.5, "aa": 0.25, "kappa": 0.1}
    table = render_table(
        [
            {"pair": "a-b", "role": "best", "validation": scores, "target": scores},
            {"pair": "a-b", "role": "best, all source pixels", "validation": None, "target": scores},
        ],
        profile="p",
    )
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()]
    assert cells[2] == ["a-b", "best", "50.0", "25.0", "0.100", "50.0", "25.0", "0.100"]
    assert cells[3] == ["a-b", "best, all source pixels", "-", "-", "-", "50.0", "25.0", "0.100"]
