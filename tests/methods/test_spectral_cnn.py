"""The spectral network as a method: it sees the centre pixel alone and learns."""

import pytest
import torch
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.methods.spectral_cnn import SpectralCNNConfig, SpectralNetwork


def build(patch_size: int = 5) -> SpectralNetwork:
    config = SpectralCNNConfig(patch_size=patch_size, batch_size=12, lr=0.01)
    return SpectralNetwork(config, bands=6, classes=3, seed=0, device=torch.device("cpu"))


def test_the_neighbourhood_changes_nothing(batch: tuple[Tensor, Tensor]) -> None:
    patches, labels = batch
    around, method, twin = patches.clone(), build(), build(patch_size=1)
    around[:, :, 0] = 9.0
    got, expected = method.training_step(around, labels), twin.training_step(patches[:, :, 2:3, 2:3], labels)
    assert got == expected
    for one, other in zip(method.network.parameters(), twin.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_separable_batch_is_learned(batch: tuple[Tensor, Tensor]) -> None:
    method = build()
    losses = [method.training_step(*batch)["ce"].item() for _ in range(30)]
    assert losses[0] > 0.8
    assert losses[-1] < 0.2


@pytest.mark.parametrize("change", [{"kernels": 0}, {"hidden": 0}, {"flips": True}, {"calibrate_bn": True}])
def test_a_value_out_of_range_or_without_effect_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(change))):
        SpectralCNNConfig(**change)
