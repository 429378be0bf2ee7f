"""Fused norms and pooling against torch's own modules."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError
from sceneshift.networks.branches import blend_branches, max_pool, rectified_norm

CHANNELS = 5


def norm_of(seed: int, *, training: bool = True, channels: int = CHANNELS) -> nn.BatchNorm2d:
    """A float64 norm with nothing at its default."""
    generator = torch.Generator().manual_seed(seed)
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.3).double().train(training)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn(channels, generator=generator))
        norm.running_mean.copy_(torch.randn(channels, generator=generator))
        norm.running_var.copy_(torch.rand(channels, generator=generator) + 0.5)
    return norm


def draw(*shape: int, seed: int = 0) -> Tensor:
    """A float64 map off centre, whose gradient is asked for."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(shape, generator=generator, dtype=torch.float64) + 0.7).requires_grad_()


def weights_of() -> Tensor:
    return torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)


def by_torch(x: Tensor, x_norm: nn.BatchNorm2d, y: Tensor, y_norm: nn.BatchNorm2d, weights: Tensor) -> Tensor:
    return weights[0] * F.relu(x_norm(x)) + weights[1] * F.relu(y_norm(y))


def same_state(norm: nn.BatchNorm2d, expected: nn.BatchNorm2d) -> None:
    for name, buffer in expected.named_buffers():
        torch.testing.assert_close(norm.get_buffer(name), buffer, rtol=1e-12, atol=1e-12)


def same_gradients(got: Tensor, want: Tensor, inputs: list[Tensor], expected_inputs: list[Tensor]) -> None:
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(want.shape, generator=generator, dtype=want.dtype)
    grads, expected = torch.autograd.grad(got, inputs, grad), torch.autograd.grad(want, expected_inputs, grad)
    for each, expected_each in zip(grads, expected, strict=True):
        assert each.dtype == expected_each.dtype
        torch.testing.assert_close(each, expected_each, rtol=1e-9, atol=1e-10)


class TestBlendBranches:
    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("shape", [(3, CHANNELS, 4, 5), (2, CHANNELS, 1, 1), (1, CHANNELS, 3, 3)])
    def test_it_is_the_formula(self, shape: tuple[int, ...], training: bool) -> None:
        norms = [norm_of(seed, training=training) for seed in (1, 2)]
        others = copy.deepcopy(norms)
        x, y, weights = draw(*shape, seed=1), draw(*shape, seed=2), weights_of()
        for _ in range(2):  # the running statistics move on
            got = blend_branches(x, norms[0], y, norms[1], weights)
            want = by_torch(x, others[0], y, others[1], weights)
            torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)
            for norm, other in zip(norms, others, strict=True):
                same_state(norm, other)
        assert norms[0].num_batches_tracked == (2 if training else 0)
        inputs = [x, y, weights]
        same_gradients(
            got,
            want,
            [*inputs, *(p for norm in norms for p in norm.parameters())],
            [*inputs, *(p for norm in others for p in norm.parameters())],
        )

    @pytest.mark.parametrize("training", [True, False])
    def test_gradcheck(self, training: bool) -> None:
        norms = [norm_of(seed, training=training, channels=2) for seed in (1, 2)]
        x, y, weights = draw(2, 2, 2, 2, seed=1), draw(2, 2, 2, 2, seed=2), weights_of()
        with torch.no_grad():  # no branch is near its kink
            assert min(norm(branch).abs().min() for norm, branch in zip(norms, (x, y), strict=True)) > 1e-3
        parameters = [p for norm in norms for p in norm.parameters()]
        assert torch.autograd.gradcheck(
            lambda x, y, weights, *_: blend_branches(x, norms[0], y, norms[1], weights), (x, y, weights, *parameters)
        )

    def test_a_weight_of_zero_closes_its_branch(self) -> None:
        x, y, norms = draw(2, CHANNELS, 3, 3, seed=1), draw(2, CHANNELS, 3, 3, seed=2), [norm_of(1), norm_of(2)]
        weights = torch.tensor([0.0, 1.0], dtype=torch.float64)
        out = blend_branches(x, norms[0], y, norms[1], weights)
        torch.testing.assert_close(out, F.relu(norms[1](y)), rtol=1e-11, atol=1e-11)

    def test_float32_maps_far_from_zero_keep_their_variance(self) -> None:
        torch.manual_seed(0)
        x = 1000 + torch.randn(16, CHANNELS, 5, 5)
        norm, other = (nn.BatchNorm2d(CHANNELS) for _ in range(2))
        wide = other.double()(x.double())
        got = blend_branches(x, norm, x, nn.BatchNorm2d(CHANNELS), torch.tensor([1.0, 0.0]))
        torch.testing.assert_close(got.double(), F.relu(wide), rtol=0, atol=1e-3)
        torch.testing.assert_close(norm.running_var.double(), other.running_var, rtol=1e-5, atol=0)

    def test_under_autocast_maps_are_bfloat16_and_gradients_those_of_float32(self) -> None:
        torch.manual_seed(0)
        norms = [norm_of(seed).float() for seed in (1, 2)]
        x, y = (draw(8, CHANNELS, 5, 5, seed=seed).detach() for seed in (1, 2))
        weights = weights_of().detach().float().requires_grad_()
        found = []
        for dtype in (torch.float32, torch.bfloat16):
            maps = [branch.to(dtype).requires_grad_() for branch in (x, y)]
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                out = blend_branches(maps[0], norms[0], maps[1], norms[1], weights)
            assert out.dtype == dtype
            parameters = [weights, *(p for norm in norms for p in norm.parameters())]
            grads = torch.autograd.grad(out.float().square().sum(), [*maps, *parameters])
            assert [g.dtype for g in grads] == [dtype] * 2 + [torch.float32] * 5
            found.append([out, *grads])
        for full, half in zip(*found, strict=True):
            assert (half.float() - full).norm() < 0.02 * full.norm()


class TestRectifiedNorm:
    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("num_ones", [1, 4])
    def test_it_is_the_formula(self, num_ones: int, training: bool) -> None:
        norm, x = norm_of(1, training=training), draw(3, CHANNELS, 4, 5)
        other = copy.deepcopy(norm)
        got = rectified_norm(x, norm, num_ones=num_ones)
        want = F.pad(F.relu(other(x)), (0, 0, 0, 0, 0, num_ones), value=1.0)
        assert got.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)
        same_state(norm, other)
        same_gradients(got, want, [x, *norm.parameters()], [x, *other.parameters()])

    @pytest.mark.parametrize("training", [True, False])
    def test_gradcheck(self, training: bool) -> None:
        norm, x = norm_of(1, training=training, channels=2), draw(2, 2, 2, 2)
        with torch.no_grad():
            assert norm(x).abs().min() > 1e-3
        assert torch.autograd.gradcheck(lambda x, *_: rectified_norm(x, norm, num_ones=2), (x, *norm.parameters()))


class TestMaxPool:
    @pytest.mark.parametrize("side", [2, 5, 6, 13])
    @pytest.mark.parametrize("channels_last", [True, False])
    def test_it_is_torch_s(self, side: int, channels_last: bool) -> None:
        x = draw(2, CHANNELS, side, side)
        given = x.contiguous(memory_format=torch.channels_last) if channels_last else x
        got, want = max_pool(given), F.max_pool2d(x, 2)
        assert torch.equal(got, want)
        same_gradients(got, want, [x], [x])

    def test_gradcheck(self) -> None:
        assert torch.autograd.gradcheck(max_pool, draw(2, 3, 5, 4))


@pytest.mark.parametrize("function", ["blend_branches", "rectified_norm"])
def test_one_value_a_channel_has_no_variance(function: str) -> None:
    norm, x = norm_of(1), draw(1, CHANNELS, 1, 1)
    before = copy.deepcopy(norm)

    def run() -> Tensor:
        if function == "rectified_norm":
            return rectified_norm(x, norm, num_ones=1)[:, :CHANNELS]
        return blend_branches(x, norm, x, norm, weights_of())

    with pytest.raises(InvalidInputError, match=r"\(1, 5, 1, 1\)"):
        run()
    same_state(norm, before)
    norm.eval()
    torch.testing.assert_close(run(), F.relu(before.eval()(x)), rtol=1e-11, atol=1e-11)
