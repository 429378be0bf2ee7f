"""RandConv: the plain discriminator and its step, on patches that a random convolution has changed last."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.methods.augmentations import Flips, RadiationNoise, RandomConvolution
from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig
from sceneshift.methods.rand_conv import RandConv, RandConvConfig
from sceneshift.splits.source import SourceDomain
from sceneshift.training.loop import train
from sceneshift.training.plan import TrainingPlan

SMALL = {"patch_size": 5, "batch_size": 40, "width": 8}
CPU = torch.device("cpu")


def losses_of(source: SourceDomain, method: str, config: CrossEntropyConfig, seed: int = 0) -> list[float]:
    reports: list[Any] = []
    train(TrainingPlan(method=method, config=config, epochs=2, seed=seed), [source], report=reports.append)
    return [report.metrics["train/tiny-pair/ce"] for report in reports]


def test_the_convolution_comes_last_as_configured() -> None:
    config = RandConvConfig(kernel_pixels=1, kernel_bands=9, unchanged=0.25, mix=False)
    convolution = RandomConvolution(pixels=1, bands=9, unchanged=0.25, mix=False)
    assert config.augmentations(rms=2.0) == (Flips(), RadiationNoise(std=0.56), convolution)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel_pixels", 2),
        ("kernel_bands", -1),
        ("unchanged", 1.1),
        ("unchanged", float("nan")),
        ("width", 0),
    ],
)
def test_a_value_out_of_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} = {value}"):
        RandConvConfig.from_mapping({name: value})


def test_network_and_step_are_those_of_cross_entropy() -> None:
    def weights(method: CrossEntropy) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        method.training_step(torch.randn(12, 6, 5, 5, generator=generator), torch.arange(12) % 3)
        return method.classifier.state_dict()

    got = weights(RandConv(RandConvConfig(**SMALL), bands=6, classes=3, seed=0, device=CPU))
    expected = weights(CrossEntropy(CrossEntropyConfig(**SMALL), bands=6, classes=3, seed=0, device=CPU))
    assert all(torch.equal(got[name], value) for name, value in expected.items())


def test_a_training_follows_from_its_seed(tiny_source: SourceDomain) -> None:
    config = RandConvConfig(**SMALL)
    losses = losses_of(tiny_source, "rand_conv", config)
    assert losses == losses_of(tiny_source, "rand_conv", config)
    assert losses != losses_of(tiny_source, "rand_conv", config, seed=1)


def test_its_patches_are_convolved(tiny_source: SourceDomain) -> None:
    plain = losses_of(tiny_source, "cross_entropy", CrossEntropyConfig(**SMALL))
    assert losses_of(tiny_source, "rand_conv", RandConvConfig(**SMALL)) != plain
