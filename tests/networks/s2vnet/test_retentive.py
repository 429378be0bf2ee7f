"""The retentive classifier against explicit loops over pixels."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.networks.s2vnet.retentive import (
    GaussianForm,
    GaussianWeights,
    ManhattanAttention,
    PixelClassifier,
    RetentiveBlock,
)

WIDTH, HEADS = 8, 2


def with_random_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """In float64, every parameter a number that matters."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.1, 0.5, generator=generator)
    return module


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def weighted_by_loops(maps: np.ndarray, offset: np.ndarray, width: np.ndarray) -> np.ndarray:
    """(B, M, h, P, P): each map by the Gaussian of its standardized values, normalized over its pixels."""
    out = np.empty_like(maps)
    for b, m, i in np.ndindex(maps.shape[:3]):
        one = maps[b, m, i]
        y = (one - one.mean()) / np.sqrt(one.var() + 1e-5)
        gaussian = np.exp(-((y - offset[m]) ** 2) / (2 * (width[m] ** 2 + 1e-5)))
        out[b, m, i] = one * gaussian / gaussian.sum()
    return out


def attended_by_loops(layer: ManhattanAttention, x: np.ndarray) -> np.ndarray:
    """(P, Q, d), one patch: every head, every pixel, first along its row, then along its column."""
    w = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    rows, columns, width = x.shape
    head_width = width // layer.heads
    q, k, v = (x @ w[f"{name}.weight"].T + w[f"{name}.bias"] for name in ("query", "key", "value"))

    def attend(query: np.ndarray, keys: np.ndarray, values: np.ndarray, at: int, gamma: float) -> np.ndarray:
        powers = [math.exp(query @ key / math.sqrt(head_width)) * gamma ** abs(at - j) for j, key in enumerate(keys)]
        return sum(power * value for power, value in zip(powers, values, strict=True)) / sum(powers)

    out = np.empty((layer.heads, head_width, rows, columns))
    for m in range(layer.heads):
        gamma = 1 - 2 ** (-2 - 4 * m / layer.heads)
        part = slice(m * head_width, (m + 1) * head_width)
        across = np.empty((rows, columns, head_width))
        for i in range(rows):
            for j in range(columns):
                across[i, j] = attend(q[i, j, part], k[i, :, part], v[i, :, part], j, gamma)
        for i in range(rows):
            for j in range(columns):
                out[m, :, i, j] = attend(q[i, j, part], k[:, j, part], across[:, j], i, gamma)
    weighted = weighted_by_loops(out[None], w["weights.offset"], w["weights.width"])[0]
    joined = weighted.reshape(width, rows, columns).transpose(1, 2, 0)
    local = np.zeros_like(joined)
    for i, j, di, dj in np.ndindex(rows, columns, 3, 3):
        if 0 <= i + di - 1 < rows and 0 <= j + dj - 1 < columns:
            local[i, j] += w["local.weight"][:, 0, di, dj] * v[i + di - 1, j + dj - 1]
    return (joined + local + w["local.bias"]) @ w["project.weight"].T + w["project.bias"]


class TestAttention:
    def test_it_is_the_definition_in_loops(self) -> None:
        layer = with_random_weights(ManhattanAttention(WIDTH, HEADS))
        layer.log_gamma = torch.log(1 - torch.exp2(-2 - 4 * torch.arange(HEADS).double() / HEADS))  # not from float32
        x = draw(2, 5, 4, WIDTH)  # rows and columns of different size
        expected = np.stack([attended_by_loops(layer, patch) for patch in x.numpy()])
        with torch.no_grad():
            np.testing.assert_allclose(layer(x), expected, rtol=1e-9, atol=1e-10)

    @pytest.mark.parametrize(("heads", "gammas"), [(4, [3 / 4, 7 / 8, 15 / 16, 31 / 32]), (2, [3 / 4, 15 / 16])])
    def test_each_head_forgets_at_a_pace_of_its_own(self, heads: int, gammas: list[float]) -> None:
        layer = ManhattanAttention(WIDTH, heads)
        np.testing.assert_allclose(layer.log_gamma.exp(), gammas, rtol=1e-6)
        assert "log_gamma" not in layer.state_dict()

    def test_large_scores_stay_finite(self) -> None:
        layer = ManhattanAttention(WIDTH, HEADS)
        assert torch.isfinite(
            layer(1e4 * torch.randn(1, 5, 5, WIDTH, generator=torch.Generator().manual_seed(0)))
        ).all()


class TestGaussianWeights:
    def test_they_are_the_formula_map_by_map(self) -> None:
        layer, maps = with_random_weights(GaussianWeights(HEADS)), draw(3, HEADS, 4, 5, 5)
        expected = weighted_by_loops(maps.numpy(), layer.offset.detach().numpy(), layer.width.detach().numpy())
        np.testing.assert_allclose(layer(maps).detach(), expected, rtol=1e-10, atol=1e-13)

    def test_over_the_batch_they_are_the_same_formula_along_the_batch(self) -> None:
        layer = with_random_weights(GaussianWeights(HEADS, GaussianForm(over_batch=True)))
        maps = draw(6, HEADS, 4, 3, 3)
        # A batch of B as B pixels of one map.
        turned = maps.permute(3, 1, 2, 4, 0).reshape(3, HEADS, 12, 1, 6).numpy()
        expected = weighted_by_loops(turned, layer.offset.detach().numpy(), layer.width.detach().numpy())
        expected = expected.reshape(3, HEADS, 4, 3, 6).transpose(4, 1, 2, 0, 3)
        np.testing.assert_allclose(layer(maps).detach(), expected, rtol=1e-10, atol=1e-13)

    def test_one_offset_at_zero_and_one_width_at_one_a_head(self) -> None:
        layer = GaussianWeights(3)
        assert layer.offset.tolist() == [0, 0, 0]
        assert layer.width.tolist() == [1, 1, 1]

    @pytest.mark.parametrize("scaled", [False, True])
    def test_an_offset_is_in_standard_deviations_or_in_the_map_s_units(self, scaled: bool) -> None:
        layer = with_random_weights(GaussianWeights(HEADS, GaussianForm(scaled_offset=scaled)))
        maps = 7 * torch.randn(2, HEADS, 3, 5, 5, dtype=torch.float64) + 3
        mean, std = (
            f(maps, dim=(3, 4), keepdim=True) for f in (torch.mean, lambda *a, **k: torch.std(*a, **k, correction=0))
        )
        offset, width = (p[:, None, None, None] for p in (layer.offset, layer.width))
        y = (maps - mean - offset) / std if scaled else (maps - mean) / std - offset
        powers = torch.exp(-y.square() / (2 * width.square()))
        expected = maps * powers / powers.sum(dim=(3, 4), keepdim=True)
        torch.testing.assert_close(layer(maps), expected, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("over_batch", [False, True])
    def test_constant_maps_and_a_width_of_zero_stay_finite(self, over_batch: bool) -> None:
        layer = GaussianWeights(HEADS, GaussianForm(over_batch=over_batch))
        generator = torch.Generator().manual_seed(0)
        for maps in (torch.ones(1, HEADS, 4, 3, 3), 1e3 * torch.randn(2, HEADS, 4, 3, 3, generator=generator)):
            with torch.no_grad():
                layer.width.zero_()
            given = maps.requires_grad_()
            out = layer(given)
            out.square().sum().backward()
            assert torch.isfinite(out).all()
            assert all(torch.isfinite(t.grad).all() for t in (given, layer.offset, layer.width))


def test_the_block_is_norm_attention_residual_norm_perceptron_residual() -> None:
    block, x = with_random_weights(RetentiveBlock(WIDTH, HEADS)), draw(2, 5, 5, WIDTH)

    def normed(norm: nn.LayerNorm, h: Tensor) -> Tensor:
        standardized = (h - h.mean(-1, keepdim=True)) / (h.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
        return standardized * norm.weight + norm.bias

    h = x + block.attention(normed(block.attention_norm, x))
    first, _, second = block.perceptron
    inner = normed(block.perceptron_norm, h) @ first.weight.T + first.bias
    gelu = 0.5 * inner * (1 + torch.erf(inner / 2**0.5))
    torch.testing.assert_close(block(x), h + gelu @ second.weight.T + second.bias, rtol=1e-10, atol=1e-10)
    assert first.weight.shape == (2 * WIDTH, WIDTH)


class TestClassifier:
    def test_it_is_its_parts(self) -> None:
        network = with_random_weights(PixelClassifier(6, 3, width=WIDTH, heads=HEADS)).eval()
        x = draw(2, 6, 5, 5)
        one, norm, _, two, other_norm = network.embed
        h = functional.gelu(norm(functional.conv2d(x, one.weight, one.bias, padding=1)))
        h = other_norm(functional.conv2d(h, two.weight, two.bias, padding=1))
        h = network.block(h.permute(0, 2, 3, 1))
        pooled = torch.stack([network.norm(p.permute(2, 0, 1)[None]).mean(dim=(0, 2, 3)) for p in h])
        expected = pooled @ network.head.weight.T + network.head.bias
        torch.testing.assert_close(network(x), expected, rtol=1e-10, atol=1e-10)
        assert (one.weight.shape[0], two.weight.shape[0]) == (WIDTH // 2, WIDTH)

    def test_linear_layers_start_at_two_hundredths_without_bias(self) -> None:
        torch.manual_seed(0)
        layers = {n: m for n, m in PixelClassifier(30, 16).named_modules() if isinstance(m, nn.Linear)}
        assert len(layers) == 7
        for name, layer in layers.items():
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.15), name
            assert not layer.bias.any(), name

    @pytest.mark.parametrize("over_batch", [False, True])
    def test_a_patch_depends_on_its_neighbours_in_the_batch_where_weights_run_over_it(self, over_batch: bool) -> None:
        network = with_random_weights(
            PixelClassifier(6, 3, width=WIDTH, heads=HEADS, gaussian=GaussianForm(over_batch=over_batch))
        )
        network.eval()
        x = draw(4, 6, 5, 5)
        with torch.no_grad():
            moved = (network(x)[0] - network(x[[0, 2]])[0]).abs().max()
        assert moved > 1e-3 if over_batch else moved < 1e-11

    @pytest.mark.parametrize(("width", "heads"), [(30, 4), (9, 3), (0, 4), (8, 0)])
    def test_a_width_that_can_not_be_shared_out_is_named(self, width: int, heads: int) -> None:
        with pytest.raises(InvalidInputError, match=rf"{width}.*{heads}"):
            PixelClassifier(6, 3, width=width, heads=heads)
