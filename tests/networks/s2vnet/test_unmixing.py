"""Unmixing against its formulas in numpy; the decoder's short cut against the long way."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError
from sceneshift.networks.s2vnet.unmixing import AbundanceEncoder, MixingDecoder, constrain

BANDS, ENDMEMBERS, PIXELS = 9, 4, 13


def with_random_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """In float64 and eval mode, every parameter and running statistic a number that matters."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.1, 0.6, generator=generator)
        for name, buffer in module.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2, generator=generator)
            elif name.endswith("running_mean"):
                buffer.normal_(generator=generator)
    return module


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


class TestEncoder:
    def test_it_is_three_layers_a_pixel_with_norms_between(self) -> None:
        encoder = with_random_weights(AbundanceEncoder(BANDS, ENDMEMBERS))
        state = {name: value.numpy() for name, value in encoder.state_dict().items()}
        h = x = draw(PIXELS, BANDS).numpy()
        for linear, norm in ((0, 1), (3, 4)):
            h = h @ state[f"layers.{linear}.weight"].T + state[f"layers.{linear}.bias"]
            mean, variance = state[f"layers.{norm}.running_mean"], state[f"layers.{norm}.running_var"]
            h = (h - mean) / np.sqrt(variance + 1e-5) * state[f"layers.{norm}.weight"] + state[f"layers.{norm}.bias"]
            h = np.maximum(h, 0)
        expected = h @ state["layers.6.weight"].T + state["layers.6.bias"]
        with torch.no_grad():
            np.testing.assert_allclose(encoder(torch.from_numpy(x)).numpy(), expected, rtol=1e-10, atol=1e-12)
        assert expected.min() < 0  # signed

    def test_its_layers_halve_the_bands(self) -> None:
        layers = AbundanceEncoder(11, 3).layers
        assert [tuple(layer.weight.shape) for layer in layers if isinstance(layer, nn.Linear)] == [
            (5, 11),
            (2, 5),
            (3, 2),
        ]

    def test_too_few_bands_are_named(self) -> None:
        with pytest.raises(InvalidInputError, match=r"3 bands.*S2VNet.*4"):
            AbundanceEncoder(3, 2)
        assert AbundanceEncoder(4, 2)(torch.rand(3, 4)).shape == (3, 2)


class TestConstraint:
    def test_shares_are_those_of_the_magnitudes(self) -> None:
        scores = draw(PIXELS, ENDMEMBERS)
        magnitudes = np.abs(scores.numpy())
        shares = constrain(scores)
        np.testing.assert_allclose(shares, magnitudes / magnitudes.sum(axis=1, keepdims=True), rtol=1e-9, atol=1e-11)
        assert torch.equal(shares, constrain(-scores))

    @pytest.mark.parametrize("scale", [1e-20, 1e-8, 1.0, 1e20])
    def test_they_are_not_negative_and_sum_to_one_at_every_scale(self, scale: float) -> None:
        shares = constrain(scale * draw(PIXELS, ENDMEMBERS).float())
        assert shares.min() >= 0
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(PIXELS))

    def test_scores_of_zero_give_equal_shares_and_a_finite_gradient(self) -> None:
        scores = torch.zeros(2, ENDMEMBERS, requires_grad=True)
        shares = constrain(scores)
        torch.testing.assert_close(shares, torch.full((2, ENDMEMBERS), 1 / ENDMEMBERS))
        (1e3 * shares * torch.arange(ENDMEMBERS)).sum().backward()
        assert torch.isfinite(scores.grad).all()


def mixed_by_definition(decoder: MixingDecoder, shares: Tensor, endmembers: Tensor) -> Tensor:
    layers = torch.relu(shares @ endmembers.T)
    bands = layers.shape[1] // 2
    hidden = torch.sigmoid(layers @ decoder.inner.weight.T + decoder.inner.bias)
    nonlinear = hidden @ decoder.outer.weight.T + decoder.outer.bias
    return nonlinear + layers[:, :bands] + layers[:, bands:]


class TestDecoder:
    def test_the_short_cut_is_the_long_way_with_its_gradients(self) -> None:
        decoder = with_random_weights(MixingDecoder(BANDS))
        scores, endmembers = draw(PIXELS, ENDMEMBERS).requires_grad_(), torch.sigmoid(draw(2 * BANDS, ENDMEMBERS))
        endmembers.requires_grad_()
        weights, inputs = draw(PIXELS, BANDS, seed=1), (scores, endmembers, *decoder.parameters())
        short, long = (
            decoder(constrain(scores), endmembers),
            mixed_by_definition(decoder, constrain(scores), endmembers),
        )
        torch.testing.assert_close(short, long, rtol=1e-12, atol=1e-12)
        gradients = [torch.autograd.grad((mixed * weights).sum(), inputs) for mixed in (short, long)]
        for got, expected in zip(*gradients, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)

    def test_signed_scores_pass_a_relu(self) -> None:
        decoder = with_random_weights(MixingDecoder(BANDS, signed=True))
        scores, endmembers = draw(PIXELS, ENDMEMBERS), torch.sigmoid(draw(2 * BANDS, ENDMEMBERS))
        expected = mixed_by_definition(decoder, scores, endmembers)
        torch.testing.assert_close(decoder(scores, endmembers), expected, rtol=1e-12, atol=1e-12)
        decoder.signed = False
        assert not torch.allclose(decoder(scores, endmembers), expected)  # the short cut is for shares alone

    def test_a_pure_pixel_is_its_endmember_s_two_layers_summed(self) -> None:
        decoder = MixingDecoder(BANDS).double()
        with torch.no_grad():
            decoder.outer.weight.zero_()
            decoder.outer.bias.zero_()
        endmembers = torch.sigmoid(draw(2 * BANDS, ENDMEMBERS))
        expected = (endmembers[:BANDS] + endmembers[BANDS:]).T
        torch.testing.assert_close(decoder(torch.eye(ENDMEMBERS).double(), endmembers), expected)
