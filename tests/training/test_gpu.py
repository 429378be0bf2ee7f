"""The same loop on a CUDA device."""

import pytest
import torch

from sceneshift.methods.s2amsnet import S2AMSnetConfig
from sceneshift.scenes.source import SourceDomain
from sceneshift.training.loop import PairRun, TrainingPlan, train

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

PLAN = TrainingPlan(
    method="s2amsnet",
    config=S2AMSnetConfig(patch_size=5, batch_size=40, width=8, generator_channels=6, lr=0.01),
    epochs=8,
    seed=0,
)


def test_initial_values_are_those_of_the_cpu(tiny_source: SourceDomain) -> None:
    on_gpu, on_cpu = (PairRun(PLAN, tiny_source, torch.device(name)) for name in ("cuda", "cpu"))
    for there, here in zip(on_gpu.classifier.parameters(), on_cpu.classifier.parameters(), strict=True):
        assert there.is_cuda
        assert torch.equal(there.cpu(), here)


def test_it_learns_on_a_gpu(tiny_source: SourceDomain) -> None:
    scores = []
    train(PLAN, [tiny_source], report=lambda epoch: scores.append(epoch.metrics["val/oa"]), device="cuda")
    assert scores[-1] > 0.6
