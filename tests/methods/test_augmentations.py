"""Random changes to training patches: what the paper says, and draw for draw what they have always been."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sceneshift.methods.augmentations import Augmentation, Draws, Flips, RadiationNoise, RandomConvolution
from sceneshift.methods.method import MethodConfig
from sceneshift.scenes.patches import PatchSampler

NUM, BANDS, SIDE = 24, 3, 5
BOTH = (Flips(), RadiationNoise(std=0.1))
CONVOLUTION = RandomConvolution(pixels=3, bands=5, unchanged=0.0, mix=False)
ALL = (*BOTH, CONVOLUTION, replace(CONVOLUTION, unchanged=0.5, mix=True))

on_every_device = pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
        ),
    ],
)


def patches_of(device: str = "cpu", seed: int = 0) -> Tensor:
    """(NUM, BANDS, SIDE, SIDE), laid out as a sampler lays them out."""
    cube = np.random.default_rng(seed).random((6, 4, BANDS)).astype(np.float32)
    return PatchSampler(cube, patch_size=SIDE, device=device).patches(torch.arange(NUM, device=device))


def draws_of(seed: int, batch: int = NUM, device: str = "cpu", rows: slice = slice(None)) -> Draws:
    return Draws(generator=torch.Generator(device).manual_seed(seed), batch=batch, rows=rows)


def changed(patches: Tensor, augmentations: Iterable[Augmentation], draws: Draws) -> Tensor:
    for change in augmentations:
        patches = change(patches, draws)
    return patches


@on_every_device
def test_the_draws_are_those_of_every_training_before(device: str) -> None:
    patches = patches_of(device)
    got = changed(patches, BOTH, draws_of(3, device=device))
    generator = torch.Generator(device).manual_seed(3)
    coins = torch.randint(0, 2, (3, NUM), device=device, generator=generator).tolist()
    chosen = torch.randint(0, 2, (NUM, 1, 1, 1), device=device, generator=generator)
    alpha = torch.empty(NUM, 1, 1, 1, device=device).uniform_(0.9, 1.1, generator=generator)
    noise = torch.randn((NUM, BANDS, SIDE, SIDE), device=device, generator=generator)
    flipped = []
    for patch, considered, rows, columns in zip(patches, *coins, strict=True):
        axes = [axis for axis, coin in ((1, rows), (2, columns)) if considered and coin]
        flipped.append(patch.flip(axes))
    assert {tuple(coin) for coin in zip(*coins, strict=True)} >= {(1, 0, 1), (1, 1, 0), (1, 1, 1)}
    expected = torch.stack(flipped)
    expected = torch.where(chosen.bool(), alpha * expected + 0.1 * noise, expected)
    assert torch.equal(got, expected)
    assert got.is_contiguous(memory_format=torch.channels_last)


@on_every_device
@pytest.mark.parametrize("rows", [slice(0, 9), slice(9, 17), slice(17, 24)])
def test_a_worker_s_rows_are_those_of_the_whole_batch(rows: slice, device: str) -> None:
    patches = patches_of(device)
    whole = changed(patches, ALL, draws_of(3, device=device))
    draws = draws_of(3, device=device, rows=rows)
    assert torch.equal(changed(patches[rows], ALL, draws), whole[rows])
    # Its generator has drawn what one worker's would have.
    one = draws_of(3, device=device)
    changed(patches, ALL, one)
    assert torch.equal(draws.generator.get_state(), one.generator.get_state())


def test_they_depend_on_the_generator_alone() -> None:
    patches = patches_of()
    first = changed(patches, ALL, draws_of(3))
    torch.manual_seed(99)
    assert torch.equal(first, changed(patches, ALL, draws_of(3)))
    assert not torch.equal(first, changed(patches, ALL, draws_of(4)))
    draws = draws_of(3)
    changed(patches, ALL, draws)
    assert not torch.equal(first, changed(patches, ALL, draws))


def test_the_patches_they_are_given_stay_as_they_are() -> None:
    patches = patches_of()
    changed(patches, ALL, draws_of(0))
    assert torch.equal(patches, patches_of())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (Flips(), RadiationNoise(std=0.56))),
        ({"flips": False}, (RadiationNoise(std=0.56),)),
        ({"noise_scale": 0.0}, (Flips(),)),
        ({"flips": False, "noise_scale": 0.0}, ()),
    ],
)
def test_a_configuration_lists_those_it_wants(settings: dict[str, float], expected: tuple[Augmentation, ...]) -> None:
    assert MethodConfig(**settings).augmentations(rms=2.0) == expected


def test_flips_come_as_often_as_the_paper_says() -> None:
    num, patch = 8000, patches_of()[:1]
    patches = Flips()(patch.expand(num, -1, -1, -1), draws_of(0, batch=num))
    variants = [patch, patch.flip(2), patch.flip(3), patch.flip(2, 3)]
    shares = [(patches == variant).flatten(1).all(dim=1).sum().item() / num for variant in variants]
    assert sum(shares) == pytest.approx(1.0)
    # Considered with 1/2, then each axis with 1/2: rows, columns, both 1/8 each, none the rest.
    np.testing.assert_allclose(shares, [5 / 8, 1 / 8, 1 / 8, 1 / 8], atol=0.02)


def test_half_the_patches_get_a_gain_of_their_own() -> None:
    patches = RadiationNoise(std=1e-6)(torch.ones(4000, 2, 3, 3), draws_of(0, batch=4000))
    touched = (patches != 1).flatten(1).any(dim=1)
    assert touched.float().mean().item() == pytest.approx(0.5, abs=0.03)
    gains = patches[touched].mean(dim=(1, 2, 3))
    assert patches[touched].std(dim=(1, 2, 3)).max().item() < 1e-5  # one alpha for the whole patch
    assert gains.min().item() == pytest.approx(0.9, abs=2e-3)
    assert gains.max().item() == pytest.approx(1.1, abs=2e-3)
    assert gains.mean().item() == pytest.approx(1.0, abs=5e-3)
    assert gains.std().item() == pytest.approx(0.2 / 12**0.5, rel=0.05)


def test_every_element_gets_noise_of_its_own() -> None:
    patches = RadiationNoise(std=0.25)(torch.zeros(4000, 2, 3, 3), draws_of(0, batch=4000))
    noisy = patches[(patches != 0).flatten(1).any(dim=1)]
    assert 1800 < len(noisy) < 2200
    assert noisy.mean().item() == pytest.approx(0.0, abs=0.005)
    assert noisy.std().item() == pytest.approx(0.25, rel=0.02)
    elements = noisy.flatten(1)
    correlation = np.corrcoef(elements.numpy().T) - np.eye(elements.shape[1])
    assert np.abs(correlation).max() < 0.12
    assert (elements.abs() > 0.5).float().mean().item() == pytest.approx(0.0455, abs=0.01)  # normal tails


def test_on_a_device_they_ask_for_no_number() -> None:
    # A meta tensor has no numbers: what would wait for a GPU, or mix in the CPU's tensors, is an error there.
    patches = torch.empty(8, BANDS, 3, 3, device="meta")
    got = changed(patches, ALL, Draws(generator=None, batch=8))
    assert (got.device.type, got.shape) == ("meta", patches.shape)


def kernels_of(convolution: RandomConvolution, num: int) -> Tensor:
    """(num, pixels, pixels, bands)."""
    generator = torch.Generator().manual_seed(0)
    return torch.stack([convolution.kernel(torch.device("cpu"), generator) for _ in range(num)])


def test_a_random_convolution_is_one_over_rows_columns_and_bands() -> None:
    patches, draws = patches_of().double(), draws_of(3)
    torch.rand(2, generator=draws.generator)
    kernel = CONVOLUTION.kernel(patches.device, draws.generator).double()
    volumes = functional.pad(patches[:, None], (1, 1, 1, 1, 2, 2), mode="replicate")
    expected = functional.conv3d(volumes, kernel.permute(2, 0, 1)[None, None])[:, 0]
    torch.testing.assert_close(CONVOLUTION(patches, draws_of(3)), expected, rtol=1e-12, atol=1e-12)
    got = CONVOLUTION(patches_of(), draws_of(3))
    assert (got.dtype, got.is_contiguous(memory_format=torch.channels_last)) == (torch.float32, True)


def test_sides_of_kernels_are_odd_and_uniform_and_their_weights_as_wide_as_the_paper_says() -> None:
    kernels = kernels_of(replace(CONVOLUTION, bands=7), 2000)
    taken = kernels != 0
    assert taken[:, 1, 1, 3].all()
    for places, largest in ((taken[:, :, 1, 3], 3), (taken[:, 1, :, 3], 3), (taken[:, 1, 1, :], 7)):
        assert torch.equal(places, places.flip(1))
        shares = places.sum(dim=1).bincount().float() / len(places)
        sides = range(1, largest + 1, 2)
        assert shares.nonzero().flatten().tolist() == list(sides)
        np.testing.assert_allclose(shares[list(sides)], 1 / len(sides), atol=0.03)
    sizes = taken.sum(dim=(1, 2, 3))
    assert sizes.unique().tolist() == [1, 3, 5, 7, 9, 27, 45, 63]
    for size in (1, 3, 5, 7, 9, 27, 45, 63):
        weights = kernels[sizes == size][taken[sizes == size]]
        assert weights.mean().item() == pytest.approx(0.0, abs=0.2 / size**0.5)
        assert weights.std().item() == pytest.approx(1 / size**0.5, rel=0.15)


def test_a_convolution_keeps_what_is_wider_than_its_kernel_up_to_a_gain() -> None:
    spectrum = torch.tensor([1.0] * 6 + [2.0] * 6)
    patches = spectrum.view(1, -1, 1, 1).expand(NUM, -1, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    got = CONVOLUTION(patches, draws_of(1))
    assert torch.equal(got, got[:1, :, :1, :1].expand_as(got))  # the same kernel for each patch of the batch
    low, high = got[0, :4, 0, 0], got[0, 8:, 0, 0]  # farther from the edge than half a kernel
    torch.testing.assert_close(low, low[:1].expand(4))
    torch.testing.assert_close(high, 2 * low)


def test_each_batch_draws_whether_it_stays_as_it_is() -> None:
    patches, draws = patches_of(), draws_of(0)
    assert torch.equal(replace(CONVOLUTION, unchanged=1.0)(patches, draws), patches)
    convolution = replace(CONVOLUTION, unchanged=0.3)
    stayed = [(convolution(patches, draws) == patches).flatten(1).all(dim=1) for _ in range(200)]
    assert all(patch_stayed.all() or not patch_stayed.any() for patch_stayed in stayed)
    assert torch.stack(stayed).float().mean().item() == pytest.approx(0.3, abs=0.06)


def test_a_mixed_batch_is_between_the_patches_and_their_convolution() -> None:
    patches = patches_of().double()
    shares = []
    for seed in range(200):
        alone = CONVOLUTION(patches, draws_of(seed))
        mixed = replace(CONVOLUTION, mix=True)(patches, draws_of(seed))
        way = patches - alone
        share = (((mixed - alone) * way).sum() / way.square().sum()).item()
        torch.testing.assert_close(mixed, share * patches + (1 - share) * alone, rtol=1e-6, atol=1e-6)
        shares.append(share)
    assert 0 <= min(shares) < 0.05
    assert 0.95 < max(shares) <= 1
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
