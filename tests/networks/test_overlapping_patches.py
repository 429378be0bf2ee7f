"""Patches whose first block is shared get the logits that each gets by itself."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sceneshift.networks import overlapping_patches
from sceneshift.networks.discriminator import Discriminator, DiscriminatorBlock
from sceneshift.networks.overlapping_patches import DiscriminatorOverPatches
from sceneshift.scenes.patches import PatchSampler


def sampler_of(bands: int, patch_size: int, height: int, width: int) -> PatchSampler:
    cube = np.random.default_rng(0).normal(size=(height, width, bands))
    return PatchSampler(cube, patch_size=patch_size, device="cpu")


def alone(network: Discriminator, sampler: PatchSampler, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(sampler.patches(pixel[None])) for pixel in pixels])


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block is shared however few patches a place is in."""
    monkeypatch.setattr(overlapping_patches, "_WORTH_SHARING", 0)


@pytest.mark.usefixtures("sharing")
@pytest.mark.parametrize(
    ("bands", "patch_size", "width", "shape"),
    [
        (6, 5, 10, (9, 8)),  # 10 channels: the last group serves one more
        (7, 5, 4, (1, 1)),
        (1, 7, 1, (2, 3)),
        (8, 7, 8, (12, 9)),
        (5, 9, 8, (3, 17)),
        (4, 13, 6, (5, 4)),  # smaller than a patch both ways
    ],
)
def test_logits_are_those_of_every_patch(
    discriminator: Callable[..., Discriminator], bands: int, patch_size: int, width: int, shape: tuple[int, int]
) -> None:
    network, sampler = discriminator(bands, patch_size, width), sampler_of(bands, patch_size, *shape)
    pixels = torch.arange(shape[0] * shape[1])
    expected = alone(network, sampler, pixels)
    logits = DiscriminatorOverPatches(network).logits(sampler.padded, pixels)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-11 * float(expected.abs().max()))
    if len(pixels) > 6:
        assert expected.std(dim=0).min() > 1e-3 * float(expected.abs().max())


@pytest.mark.usefixtures("sharing")
def test_patches_may_be_anywhere_and_in_any_order(
    discriminator: Callable[..., Discriminator], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlapping_patches, "_BATCH", 3)
    network, sampler = discriminator(4, 5, 6), sampler_of(4, 5, 20, 30)
    # All four corners, neighbours along each axis, a pixel twice, and one far from all others.
    pixels = torch.tensor([599, 0, 29, 570, 1, 30, 31, 0, 317])
    expected = alone(network, sampler, pixels)
    logits = DiscriminatorOverPatches(network).logits(sampler.padded, pixels)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-11 * float(expected.abs().max()))


@pytest.mark.parametrize(("pixels", "shared"), [(range(600), True), (range(0, 600, 97), False)])
def test_the_first_block_is_shared_where_patches_overlap(
    discriminator: Callable[..., Discriminator], monkeypatch: pytest.MonkeyPatch, pixels: range, shared: bool
) -> None:
    network, sampler = discriminator(4, 7, 6), sampler_of(4, 7, 20, 30)
    first = network.features.blocks[0]
    passed: list[DiscriminatorBlock] = []
    for block in network.features.blocks:
        block.register_forward_hook(lambda module, *_: passed.append(module))
    monkeypatch.setattr(overlapping_patches, "_BATCH", 600)
    logits = DiscriminatorOverPatches(network).logits(sampler.padded, torch.tensor(pixels))
    assert passed == list(network.features.blocks)[1 if shared else 0 :]
    assert (first in passed) != shared
    expected = alone(network, sampler, torch.tensor(pixels))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-11 * float(expected.abs().max()))


def test_in_float32_it_is_as_near_to_the_truth_as_patch_by_patch(discriminator: Callable[..., Discriminator]) -> None:
    """The shape of a real scene: 200 bands whose pixels are of unit length."""
    cube = np.random.default_rng(0).uniform(0.5, 1, size=(30, 20, 200)).astype(np.float32)
    cube /= np.linalg.norm(cube, axis=2, keepdims=True)
    sampler = PatchSampler(cube, patch_size=7, device="cpu")
    network, pixels = discriminator(200, 7, 64), torch.arange(600)
    with torch.no_grad():
        truth = torch.cat([network(sampler.patches(some).double()) for some in pixels.split(100)])
        single = network.float()
        by_patch = torch.cat([single(sampler.patches(some)) for some in pixels.split(100)])
    shared = DiscriminatorOverPatches(single).logits(sampler.padded, pixels)
    assert shared.dtype == torch.float32
    assert (shared - truth).abs().max() < 3 * (by_patch - truth).abs().max()
    assert (shared - truth).abs().max() < 1e-3 * truth.std(dim=0).min()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.usefixtures("sharing")
def test_a_gpu_gives_a_cpu_s_logits(discriminator: Callable[..., Discriminator]) -> None:
    network, sampler, pixels = discriminator(20, 7, 16), sampler_of(20, 7, 12, 9), torch.arange(0, 108, 3)
    expected = DiscriminatorOverPatches(network).logits(sampler.padded, pixels)
    logits = DiscriminatorOverPatches(network.cuda()).logits(sampler.padded.cuda(), pixels.cuda())
    torch.testing.assert_close(logits.cpu(), expected, rtol=0, atol=1e-9 * float(expected.abs().max()))
