"""A scene unmixed by S2VNet: shares, errors, and endmembers as the network itself has them."""

import numpy as np
import pytest
import torch

from sceneshift.networks.s2vnet.network import S2VNetwork
from sceneshift.scenes.patches import PatchSampler
from sceneshift.training import subpixels as unmixing
from sceneshift.training.subpixels import unmix_scene

BANDS, CLASSES, PATCH = 9, 4, 5


@pytest.fixture
def network():
    torch.manual_seed(0)
    built = S2VNetwork(BANDS, CLASSES, patch_size=PATCH, width=8, heads=2)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        built.keep_endmembers_in_range()
    return built.eval()


@pytest.fixture
def cube():
    return np.random.default_rng(0).random((7, 6, BANDS), dtype=np.float32)


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def test_abundances_are_shares(network, cube):
    found = unmix_scene(network, cube, device="cpu")
    assert found.abundances.shape == (7, 6, CLASSES)
    assert found.abundances.min() >= 0
    np.testing.assert_allclose(found.abundances.sum(axis=2), 1, atol=1e-5)
    assert found.abundances.std(axis=(0, 1)).min() > 1e-3


def test_maps_are_the_networks_own_values_of_patches(network, cube):
    found = unmix_scene(network, cube, device="cpu")
    sampler = PatchSampler(cube, patch_size=PATCH, device="cpu")
    with torch.no_grad():
        view = network.view(sampler.patches(torch.arange(42)))
    centre = PATCH * PATCH // 2
    shares = view.abundances.reshape(42, PATCH * PATCH, CLASSES)[:, centre]
    np.testing.assert_allclose(found.abundances.reshape(42, CLASSES), shares, rtol=1e-4, atol=1e-6)
    rebuilt = view.reconstruction.reshape(42, PATCH * PATCH, BANDS)[:, centre].double()
    angles = torch.arccos(torch.nn.functional.cosine_similarity(rebuilt, torch.from_numpy(cube).reshape(42, BANDS)))
    np.testing.assert_allclose(found.error.ravel(), angles, rtol=1e-3)


@pytest.mark.parametrize("chunk", [1, 5, 42, 43])
def test_pixels_at_once_do_not_matter(network, cube, monkeypatch, chunk):
    whole = unmix_scene(network, cube, device="cpu")
    monkeypatch.setattr(unmixing, "_PIXELS", chunk)
    parts = unmix_scene(network, cube, device="cpu")
    np.testing.assert_allclose(parts.abundances, whole.abundances, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(parts.error, whole.error, rtol=1e-4, atol=1e-6)


def test_pixels_without_contrast_or_light_give_no_nan(network, cube):
    cube[0] = 0
    cube[1] = 1
    cube[2] = 0.5
    found = unmix_scene(network, cube, device="cpu")
    assert all(np.isfinite(values).all() for values in vars(found).values())
    assert (found.error >= 0).all()
    assert (found.error <= np.pi).all()


def test_endmembers_are_what_the_decoder_makes_of_pure_pixels(network, cube):
    found = unmix_scene(network, cube, device="cpu")
    assert found.endmembers.shape == found.spread.shape == found.linear_part.shape == (BANDS, CLASSES)
    with torch.no_grad():
        adjusted = network.variability(network.endmembers).endmembers
        for k in range(CLASSES):
            pure = torch.zeros(1, CLASSES)
            pure[0, k] = 1
            np.testing.assert_allclose(found.endmembers[:, k], network.decoder(pure, adjusted)[0], rtol=1e-5)
        np.testing.assert_allclose(found.linear_part, adjusted[:BANDS] + adjusted[BANDS:], rtol=1e-5)


def test_the_spread_is_positive_and_follows_the_seed(network, cube):
    first = unmix_scene(network, cube, device="cpu", draws=20)
    assert (first.spread > 0).all()
    assert same(first, unmix_scene(network, cube, device="cpu", draws=20))
    other = unmix_scene(network, cube, device="cpu", draws=20, seed=1)
    assert not np.array_equal(first.spread, other.spread)
    np.testing.assert_array_equal(first.abundances, other.abundances)
    # An estimate of the same thing.
    many = unmix_scene(network, cube, device="cpu", draws=2000)
    np.testing.assert_allclose(first.spread, many.spread, rtol=0.6)


def test_unmixing_leaves_weights_and_the_global_stream_alone(network, cube):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    network.train()
    unmix_scene(network, cube, device="cpu")
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.training
