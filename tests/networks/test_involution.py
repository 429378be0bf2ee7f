"""Involution against its definition, written as loops over pixels."""

import pytest
import torch
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.networks import involution as module
from sceneshift.networks.involution import Involution, flat_involution, generated_involution

LEFTOVER_AND_NOT = [1, 2, 4, 6, 7, 8, 11, 16]


def _by_definition(layer: Involution, x: Tensor) -> Tensor:
    """The definition's sum, pixel by pixel, with the kernel generator taken apart."""
    batch, channels, height, width = x.shape
    hidden = torch.relu(layer.norm(layer.reduce(x)))
    groups = max(1, channels // 3)
    kernels = torch.relu(layer.expand(hidden)).reshape(batch, groups, 3, 3, height, width)
    rows = []
    for b in range(batch):
        for c in range(channels):
            g = min(c // (channels // groups), groups - 1)
            for h in range(height):
                for w in range(width):
                    total = x.new_zeros(())
                    for i in range(3):
                        for j in range(3):
                            if 0 <= h + i - 1 < height and 0 <= w + j - 1 < width:
                                total = total + kernels[b, g, i, j, h, w] * x[b, c, h + i - 1, w + j - 1]
                    rows.append(total)
    return torch.stack(rows).reshape(x.shape)


def _layer(channels: int) -> Involution:
    """A float64 layer whose every parameter matters: no bias is 0, no norm weight 1."""
    layer = Involution(channels).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, mean=0.2)
    return layer


@pytest.mark.parametrize("by_planes", [False, True])  # what a CPU does, and what other devices do
@pytest.mark.parametrize("channels", LEFTOVER_AND_NOT)
def test_value_and_gradients_equal_the_definition(
    channels: int, by_planes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(channels)
    # Two patches at a time, so that three patches need a second, smaller chunk.
    layer = _layer(channels)
    height, width = 2, 3
    plane_channels = -(-channels // layer.channels_per_group) * layer.channels_per_group
    monkeypatch.setattr(module, "_CPU_VALUES", 2 * plane_channels * (height + 1) * (width + 1))
    monkeypatch.setattr(module, "_CHUNK_VALUES", 2 * 9 * layer.groups * height * width)
    x = torch.randn(3, channels, height, width, dtype=torch.float64, requires_grad=True)
    inputs = (x, *layer.parameters())
    weights = torch.randn_like(x)

    fast, slow = layer._by_planes(x) if by_planes else layer(x), _by_definition(layer, x)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    assert slow.abs().max() > 0.1

    fast_grads = torch.autograd.grad((fast * weights).sum(), inputs)
    slow_grads = torch.autograd.grad((slow * weights).sum(), inputs)
    for fast_grad, slow_grad in zip(fast_grads, slow_grads, strict=True):
        torch.testing.assert_close(fast_grad, slow_grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("channels", [3, 7])
def test_gradcheck(channels: int) -> None:
    torch.manual_seed(0)
    per_group = channels // max(1, channels // 3)
    groups = -(-channels // per_group)
    x = torch.randn(2, channels, 2, 3, dtype=torch.float64, requires_grad=True)
    kernels = torch.randn(2, 9 * groups, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: flat_involution(a, b, per_group), (x, kernels))


@pytest.mark.parametrize("channels", [2, 3, 7])
def test_gradcheck_with_the_kernel_generator_s_last_layer(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    groups = max(1, channels // 3)
    monkeypatch.setattr(module, "_CHUNK_VALUES", 9 * groups * 2 * 3)  # a patch at a time
    x = torch.randn(2, channels, 2, 3, dtype=torch.float64, requires_grad=True)
    hidden = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9 * groups, 4, 1, 1, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():  # no kernel is near its kink
        assert torch.nn.functional.conv2d(hidden, weight).abs().min() > 1e-4
    assert torch.autograd.gradcheck(
        lambda *given: generated_involution(*given, channels // groups), (x, hidden, weight)
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("channels", "side"), [(1, 5), (5, 1), (48, 7), (128, 5)])
def test_planes_and_kernels_give_the_same(channels: int, side: int, dtype: torch.dtype, training: bool) -> None:
    torch.manual_seed(0)
    planes, kernels = Involution(channels).to(dtype).train(training), Involution(channels).to(dtype).train(training)
    torch.nn.init.normal_(planes.expand.bias)
    kernels.load_state_dict(planes.state_dict())
    x = torch.randn(4, channels, side, side, dtype=dtype, requires_grad=True)
    outs = planes._by_planes(x), kernels._by_kernels(x)
    weights = torch.randn_like(x)
    grads = [
        torch.autograd.grad((out * weights).sum(), (x, *layer.parameters()))
        for out, layer in zip(outs, (planes, kernels), strict=True)
    ]
    tolerance = 1e-10 if dtype == torch.float64 else 2e-4
    for one, other in zip((outs[0], *grads[0]), (outs[1], *grads[1]), strict=True):
        assert (one - other).norm() <= tolerance * one.norm()
    for name, buffer in planes.named_buffers():
        torch.testing.assert_close(kernels.get_buffer(name), buffer)


@pytest.mark.parametrize("needs_x", [True, False])
def test_gradient_for_one_input_alone(needs_x: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 3, 3, requires_grad=True)
    kernels = torch.rand(2, 18, 4, 4, requires_grad=True)
    both = torch.autograd.grad(flat_involution(x, kernels, 3).square().sum(), (x, kernels))
    if needs_x:
        alone = torch.autograd.grad(flat_involution(x, kernels.detach(), 3).square().sum(), x)
    else:
        alone = torch.autograd.grad(flat_involution(x.detach(), kernels, 3).square().sum(), kernels)
    torch.testing.assert_close(alone[0], both[0 if needs_x else 1])


def test_a_negative_kernel_is_cut_off_and_gets_no_gradient() -> None:
    x = torch.ones(1, 3, 2, 2)
    kernels = torch.full((1, 9, 3, 3), -2.0)
    kernels[:, 4] = 5.0  # the centre alone
    kernels.requires_grad_()
    out = flat_involution(x, kernels, 3)
    torch.testing.assert_close(out, 5 * x)
    (grad,) = torch.autograd.grad(out.sum(), kernels)
    expected = torch.zeros(1, 9, 3, 3)
    expected[:, 4, :2, :2] = 3.0  # once for each of the group's channels
    torch.testing.assert_close(grad, expected)


def test_saves_x_and_kernels_only() -> None:
    x = torch.randn(2, 6, 3, 3, requires_grad=True)
    kernels = torch.rand(2, 18, 4, 4, requires_grad=True)
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        flat_involution(x, kernels, 3)
    assert [tensor.data_ptr() for tensor in saved] == [x.data_ptr(), kernels.data_ptr()]


def test_without_grad_the_value_is_the_same_and_nothing_is_saved() -> None:
    torch.manual_seed(0)
    layer = _layer(7).eval()
    x = torch.randn(2, 7, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        quiet = layer(x)
    assert quiet.grad_fn is None
    torch.testing.assert_close(quiet, layer(x), rtol=0, atol=0)


def test_channels_last_input_gives_the_same() -> None:
    torch.manual_seed(0)
    layer = _layer(7)
    x = torch.randn(2, 7, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), layer(x))


@pytest.mark.parametrize("channels", [3, 24, 64])
def test_what_a_compiler_is_given_is_the_same_function(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = Involution(channels).double()
    x = torch.randn(3, channels, 5, 5, dtype=torch.float64, requires_grad=True)
    given = (x, *layer.parameters())
    expected = layer._by_planes(x)
    weights = torch.randn_like(expected)
    expected_grads = torch.autograd.grad(expected, given, weights)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    got = layer._by_planes(x)
    torch.testing.assert_close(got, expected)
    for grad, wanted in zip(torch.autograd.grad(got, given, weights), expected_grads, strict=True):
        torch.testing.assert_close(grad, wanted)


def test_bfloat16_inputs_are_accumulated_in_float32() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 5, 5).bfloat16().requires_grad_()
    kernels = torch.rand(2, 18, 6, 6).bfloat16().requires_grad_()
    wide_x, wide_kernels = x.detach().float().requires_grad_(), kernels.detach().float().requires_grad_()
    narrow, wide = flat_involution(x, kernels, 3), flat_involution(wide_x, wide_kernels, 3)
    weights = torch.ones_like(wide)
    grads = torch.autograd.grad(narrow, (x, kernels), weights.bfloat16())
    wide_grads = torch.autograd.grad(wide, (wide_x, wide_kernels), weights)
    # Equal to the bit once rounded: the sums themselves were float32.
    assert torch.equal(narrow, wide.bfloat16())
    for grad, wide_grad in zip(grads, wide_grads, strict=True):
        assert grad.dtype == torch.bfloat16
        inside = wide_grad[..., :5, :5]
        assert torch.equal(grad[..., :5, :5], inside.bfloat16())


def test_autocast_is_close_to_float32() -> None:
    torch.manual_seed(0)
    layer = Involution(16)
    x = torch.randn(4, 16, 5, 5, requires_grad=True)
    full = layer(x)
    (full_grad,) = torch.autograd.grad(full.square().sum(), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = layer(x)
    assert half.dtype == torch.bfloat16
    half = half.float()
    (half_grad,) = torch.autograd.grad(half.square().sum(), x)
    assert not torch.equal(half, full)
    assert (half - full).norm() < 0.02 * full.norm()
    assert (half_grad - full_grad).norm() < 0.05 * full_grad.norm()


def test_initial_weights_are_kaiming_fan_out_and_bias_zero() -> None:
    torch.manual_seed(0)
    layer = Involution(120)
    # fan-out of a 1x1 convolution is its output channels: sd = sqrt(2 / 24) and sqrt(2 / 360).
    assert layer.reduce.weight.std().item() == pytest.approx((2 / 24) ** 0.5, rel=0.05)
    assert layer.expand.weight.std().item() == pytest.approx((2 / 360) ** 0.5, rel=0.05)
    assert layer.reduce.bias is None
    assert layer.expand.bias is not None
    assert not layer.expand.bias.any()


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(InvalidInputError, match=r"channels=0.*1"):
        Involution(0)
    with pytest.raises(InvalidInputError, match=r"\(2, 18, 3, 3\).*\(2, 18, 4, 4\)"):
        flat_involution(torch.zeros(2, 6, 3, 3), torch.zeros(2, 18, 3, 3), 3)
