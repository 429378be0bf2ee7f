from dataclasses import asdict

import pytest
import torch

from sceneshift.closing.search import fitted_normalization
from sceneshift.methods.cross_entropy import CrossEntropyConfig
from sceneshift.scenes.normalization import NORMALIZATIONS, Normalization
from sceneshift.search.trial_store import TrialRecord
from sceneshift.training.loop import PairRun, TrainingPlan


def record_with(config):
    return TrialRecord(
        number=0,
        state="complete",
        params={},
        config=config,
        epochs={},
        value=0.5,
        reason="",
        weights={},
        started_ms=0,
        seconds=None,
    )


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_target_is_normalized_as_the_source_was_in_training(tiny_source, name):
    config = CrossEntropyConfig(patch_size=5, width=8, normalization=name)
    plan = TrainingPlan(method="cross_entropy", config=config, epochs=1, seed=0)
    trained = PairRun(plan, tiny_source, torch.device("cpu")).normalization
    fitted = fitted_normalization("cross_entropy", record_with(asdict(config)), tiny_source)
    assert fitted.as_dict() == trained.as_dict() == Normalization.fit(name, tiny_source.scene.cube).as_dict()


def test_a_configuration_that_does_not_name_it_has_the_default(tiny_source):
    assert fitted_normalization("s2amsnet", record_with({"patch_size": 5}), tiny_source).name == "l2-per-pixel"
