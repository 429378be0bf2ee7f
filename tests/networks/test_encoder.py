"""The encoder: its five depths, its blur, its limits."""

import pytest
import torch
import torch.nn.functional as F

from sceneshift.errors import InvalidInputError
from sceneshift.networks import encoder as module
from sceneshift.networks.encoder import BlurPool, ContentEncoder


def test_parameter_count_of_the_spec() -> None:
    encoder = ContentEncoder(48)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 117_112


def test_the_five_depths_are_the_formula() -> None:
    torch.manual_seed(0)
    encoder = ContentEncoder(6).double()
    x = torch.randn(2, 6, 7, 7, dtype=torch.float64)
    padded = F.pad(x, (3, 3, 3, 3), mode="reflect")
    expected = [padded]
    h = F.relu(F.instance_norm(F.conv2d(padded, encoder.stem.weight, encoder.stem.bias)))
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=torch.float64) / 16
    for stage in encoder.stages:
        h = F.conv2d(h, stage.weight, stage.bias, padding=1)
        expected.append(h)
        h = F.relu(F.instance_norm(h))
        h = F.pad(h, (1, 1, 1, 1), mode="reflect")
        h = torch.cat([F.conv2d(plane, kernel[None, None], stride=2) for plane in h.split(1, dim=1)], dim=1)
    for number, residual in enumerate(encoder.residuals, start=1):
        first, second = (layer for layer in residual.body if isinstance(layer, torch.nn.Conv2d))
        inner = F.conv2d(F.pad(h, (1, 1, 1, 1), mode="reflect"), first.weight, first.bias)
        inner = F.relu(F.instance_norm(inner))
        inner = F.conv2d(F.pad(inner, (1, 1, 1, 1), mode="reflect"), second.weight, second.bias)
        h = h + F.instance_norm(inner)
        if number in (1, 5):
            expected.append(h)
    features = encoder(x)
    assert len(features) == len(expected) == 5
    for feature, want in zip(features[1:], expected[1:], strict=True):
        torch.testing.assert_close(feature, want.flatten(1), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("patch_size", [5, 7, 13])
def test_the_first_depth_has_the_inner_products_of_the_padded_input(patch_size: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 6, patch_size, patch_size, dtype=torch.float64)
    first = ContentEncoder(6).double()(x)[0]
    padded = F.pad(x, (3, 3, 3, 3), mode="reflect").flatten(1)
    torch.testing.assert_close(first @ first.T, padded @ padded.T, rtol=1e-12, atol=1e-12)


def test_blur_keeps_a_constant_and_flattens_a_checkerboard() -> None:
    pool = BlurPool()
    constant = torch.full((1, 2, 6, 6), 3.0)
    torch.testing.assert_close(pool(constant), torch.full((1, 2, 3, 3), 3.0))
    board = (torch.arange(6)[:, None] + torch.arange(6)) % 2 * 2.0 - 1
    torch.testing.assert_close(pool(board.expand(1, 2, 6, 6)), torch.zeros(1, 2, 3, 3))
    assert not list(pool.parameters())


def test_a_patchs_features_are_its_own() -> None:
    torch.manual_seed(0)
    encoder = ContentEncoder(6).double()
    x = torch.randn(3, 6, 5, 5, dtype=torch.float64)
    for together, alone in zip(encoder(x), encoder(x[1:2]), strict=True):
        torch.testing.assert_close(together[1:2], alone, rtol=1e-12, atol=1e-12)


def test_the_last_depth_reaches_every_weight() -> None:
    torch.manual_seed(0)
    encoder = ContentEncoder(6)
    encoder(torch.randn(2, 6, 7, 7))[-1].square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    convolutions = [module for module in encoder.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(module.weight.grad.any() for module in convolutions)


@pytest.mark.parametrize("patch_size", [5, 7, 9, 11, 13, 15])
@pytest.mark.parametrize("bands", [6, 48, 103, 250])
def test_any_patch_and_bands(patch_size: int, bands: int) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        features = ContentEncoder(bands)(torch.randn(2, bands, patch_size, patch_size))
    half = (patch_size + 1) // 2
    quarter = (half + 1) // 2
    lengths = [bands * patch_size**2, 16 * patch_size**2, 32 * half**2] + 2 * [32 * quarter**2]
    assert [tuple(feature.shape) for feature in features] == [(2, length) for length in lengths]
    for feature in features:
        assert torch.isfinite(feature).all()
        assert not torch.allclose(feature[0], feature[1])


@pytest.mark.parametrize("shape", [(5, 5), (7, 7), (5, 8), (13, 13)])
def test_the_stem_tap_by_tap_is_the_convolution_of_the_padded_patch(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    bands = module._TAPS_FROM_BANDS
    encoder = ContentEncoder(bands).double()
    inputs = (torch.randn(2, bands, *shape, dtype=torch.float64, requires_grad=True), *encoder.stem.parameters())
    by_tap, padded = encoder._stem(inputs[0]), encoder.stem(F.pad(inputs[0], (3, 3, 3, 3), mode="reflect"))
    torch.testing.assert_close(by_tap, padded, rtol=1e-11, atol=1e-11)
    weights = torch.randn_like(padded)
    grads, expected = (torch.autograd.grad((out * weights).sum(), inputs) for out in (by_tap, padded))
    for grad, want in zip(grads, expected, strict=True):
        torch.testing.assert_close(grad, want, rtol=1e-10, atol=1e-10)


def test_the_stem_is_the_same_on_both_sides_of_the_number_of_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    bands = module._TAPS_FROM_BANDS
    encoder = ContentEncoder(bands).double()
    x = torch.randn(2, bands, 5, 5, dtype=torch.float64)
    by_tap = encoder(x)
    monkeypatch.setattr(module, "_TAPS_FROM_BANDS", bands + 1)
    for feature, want in zip(by_tap, encoder(x), strict=True):
        torch.testing.assert_close(feature, want, rtol=1e-9, atol=1e-9)


def test_it_can_be_trained_after_a_look_in_inference_mode() -> None:
    torch.manual_seed(0)
    encoder, x = ContentEncoder(module._TAPS_FROM_BANDS), torch.randn(2, module._TAPS_FROM_BANDS, 6, 5)
    module._reflected_reads.cache_clear()
    module._padding_weights.cache_clear()
    with torch.inference_mode():
        encoder(x)
    sum(feature.square().sum() for feature in encoder(x.requires_grad_())).backward()
    assert encoder.stem.weight.grad.any()
    assert x.grad.any()


@pytest.mark.parametrize("bands", [6, 100])
def test_under_autocast_maps_are_bfloat16_and_close_to_float32(bands: int) -> None:
    torch.manual_seed(0)
    encoder = ContentEncoder(bands)
    x = torch.randn(4, bands, 7, 7)
    full = encoder(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = encoder(x)
        assert encoder._stem(module.computed_in(x)).dtype == torch.bfloat16
    assert torch.equal(half[0], full[0])  # the patch itself, not computed with
    assert [feature.dtype for feature in half[1:3]] == [torch.bfloat16] * 2
    # The deepest maps hold 2 x 2 places: norms over these make much of a rounding.
    for feature, want, tolerance in zip(half[1:], full[1:], (0.02, 0.03, 0.1, 0.1), strict=True):
        assert (feature.float() - want).norm() < tolerance * want.norm()


def test_wrong_arguments_and_patches_are_named() -> None:
    with pytest.raises(InvalidInputError, match=r"bands=0.*1"):
        ContentEncoder(0)
    encoder = ContentEncoder(6)
    with pytest.raises(InvalidInputError, match=r"3 x 3.*5 x 5.*patch_size=5"):
        encoder(torch.zeros(2, 6, 3, 3))
    with pytest.raises(InvalidInputError, match=r"\(2, 5, 7, 7\).*\(B, 6, P, P\)"):
        encoder(torch.zeros(2, 5, 7, 7))
