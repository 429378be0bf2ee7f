"""Ray Tune around the trial store, with a worker that dies and a loss that is no number."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from sceneshift.search.tuner import SearchPlan, run_search

from sceneshift.execution.cluster import ray_cluster
from sceneshift.search import tuner
from sceneshift.search.profile import Profile
from sceneshift.search.trial_store import TrialStore

PROFILE = Profile(name="p", description="", epochs=3, num_samples=3, grace_epochs=3)
CONFIG = {"patch_size": 5, "batch_size": 30, "width": 8, "generator_channels": 4}


def accident_prone():
    """A trial function whose trial 1 loses its worker once, in epoch 2, and whose trial 2 diverges in epoch 2."""

    # Within a function, so that it travels to the workers by value.
    def run_trial(config, sources):
        import os
        from pathlib import Path

        import torch

        from sceneshift.methods.s2amsnet import S2AMSnet
        from sceneshift.search import trial

        folder, real = Path(config["checkpoint_location"]), S2AMSnet.training_step
        died = folder.parent / "died"

        def training_step(self, patches, labels):
            if (folder / "epoch_00001.ckpt").exists():
                if config["number"] == 1 and not died.exists():
                    died.touch()
                    os._exit(1)
                if config["number"] == 2:
                    return {"ce": torch.tensor(float("nan"))}
            return real(self, patches, labels)

        S2AMSnet.training_step = training_step
        try:
            trial.run_trial(config, sources)
        finally:
            S2AMSnet.training_step = real

    return run_trial


@pytest.fixture
def store(tmp_path):
    return TrialStore.create(
        tmp_path / "optuna.db", name="s", seed=0, profile=PROFILE, settings={}, first_params=[{"lr": 1e-3}]
    )


@pytest.fixture
def plan(tmp_path):
    def config(trial, profile):
        return {**CONFIG, "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}

    return SearchPlan(
        method="s2amsnet",
        space=SimpleNamespace(config=config),
        profile=PROFILE,
        seed=0,
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


def search(plan, store, source):
    finished = []
    with ray_cluster(num_cpus=plan.workers_per_trial):
        outcome = run_search(plan, store, [source], on_change=lambda record: None, on_finished=finished.append)
    assert not outcome.interrupted
    assert [record.number for record in finished] == [0, 1, 2]
    return store.records()


@pytest.mark.slow
def test_a_dead_worker_and_a_nan_end_one_trial_at_most(plan, store, tiny_source, tmp_path, monkeypatch):
    monkeypatch.setattr(tuner, "run_trial", accident_prone())
    whole, survivor, diverged = search(plan, store, tiny_source)
    assert (tmp_path / "checkpoints" / "died").exists()
    assert (whole.state, survivor.state, diverged.state) == ("complete", "complete", "fail")
    assert list(survivor.epochs) == [1, 2, 3]
    assert diverged.reason == "training diverged in epoch 2: train/tiny-pair/ce not finite"


@pytest.mark.slow
def test_after_a_trial_that_was_stopped_in_ray_train_the_next_runs_whole(plan, store, tiny_source, monkeypatch):
    monkeypatch.setattr(store, "should_stop", lambda number, epoch: number == 1)
    # Both CPUs are taken by the two workers of a trial: the next needs all that the last has given back.
    records = search(replace(plan, in_ray_train=True, workers_per_trial=2), store, tiny_source)
    assert [(record.state, record.last_epoch) for record in records] == [
        ("complete", 3),
        ("pruned", 1),
        ("complete", 3),
    ]
