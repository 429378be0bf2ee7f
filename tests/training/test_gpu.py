"""The same loop on a CUDA device, and on one that two workers share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from sceneshift.methods.s2amsnet import S2AMSnetConfig
from sceneshift.splits.source import SourceDomain
from sceneshift.training.loop import train
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

PLAN = TrainingPlan(
    method="s2amsnet",
    config=S2AMSnetConfig(patch_size=5, batch_size=40, width=8, generator_channels=6, lr=0.01),
    epochs=8,
    seed=0,
)


def two_epochs(source: SourceDomain) -> list[dict[str, float]]:
    epochs = []
    plan = replace(PLAN, epochs=2)
    train(plan, [source], report=lambda epoch: epochs.append(epoch.metrics), device="cuda")
    return epochs


def test_two_workers_that_share_a_gpu_learn_as_one_does(
    tiny_source: SourceDomain, in_workers: Callable[..., list[Any]]
) -> None:
    # Through gloo: NCCL refuses two workers on one GPU.
    one, (first, second) = two_epochs(tiny_source), in_workers(2, two_epochs, tiny_source)
    for alone, epoch, other in zip(one, first, second, strict=True):
        for name, value in alone.items():
            if name.startswith("train/"):
                assert epoch[name] == other[name] == pytest.approx(value, rel=0.05), name


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_workers_with_a_gpu_each_learn_as_one_does(
    tiny_source: SourceDomain, in_workers: Callable[..., list[Any]]
) -> None:
    one, (first, second) = two_epochs(tiny_source), in_workers(2, two_epochs, tiny_source, backend="nccl")
    for alone, epoch, other in zip(one, first, second, strict=True):
        for name, value in alone.items():
            if name.startswith("train/"):
                assert epoch[name] == other[name] == pytest.approx(value, rel=0.05), name


def test_initial_values_are_those_of_the_cpu(tiny_source: SourceDomain) -> None:
    on_gpu, on_cpu = (PairRun(PLAN, [tiny_source], torch.device(name)) for name in ("cuda", "cpu"))
    for there, here in zip(on_gpu.classifier.parameters(), on_cpu.classifier.parameters(), strict=True):
        assert there.is_cuda
        assert torch.equal(there.cpu(), here)


def test_it_learns_on_a_gpu(tiny_source: SourceDomain) -> None:
    scores = []
    train(PLAN, [tiny_source], report=lambda epoch: scores.append(epoch.metrics["val/oa"]), device="cuda")
    assert scores[-1] > 0.6
