"""The involution kernel against an unfolded formulation."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sceneshift.networks.cpu_kernels.involve import involve, involve_backward

#: What storing in a format may cost, relative and absolute (sums are taken in float32 at least).
ROUNDING = {torch.float64: (1e-12, 1e-12), torch.float32: (1e-5, 1e-4), torch.bfloat16: (2**-8, 1e-4)}


def per_group(channels: int) -> int:
    return channels // max(1, channels // 3)


def unfolded(x: Tensor, logits: Tensor) -> Tensor:
    """The definition on the nine neighbours of every place, side by side."""
    batch, channels = x.shape[:2]
    groups = logits.shape[1] // 9
    group = (torch.arange(channels) // per_group(channels)).clamp_max(groups - 1)
    kernels = F.relu(logits).view(batch, 9, groups, -1)[:, :, group].transpose(1, 2)
    neighbours = F.unfold(x, 3, padding=1).view(batch, channels, 9, -1)
    return (kernels * neighbours).sum(2).view(x.shape)


def inputs(channels: int, shape: tuple[int, int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """x, logits and an output's gradient, channels last."""
    batch, height, width = shape
    generator = torch.Generator().manual_seed(channels)
    groups = max(1, channels // 3)
    return tuple(
        torch.randn(batch, count, height, width, generator=generator, dtype=torch.float64)
        .to(dtype)
        .contiguous(memory_format=torch.channels_last)
        for count in (channels, 9 * groups, channels)
    )


def check(x: Tensor, logits: Tensor, grad: Tensor) -> None:
    rtol, atol = ROUNDING[x.dtype]
    wide = [t.double().requires_grad_() for t in (x, logits)]
    expected = unfolded(*wide)
    expected_grads = torch.autograd.grad(expected, wide, grad.double())
    out, grad_x = torch.full_like(x, 7.0), torch.full_like(x, 7.0)
    involve(x, logits, per_group(x.shape[1]), out=out)
    grad_logits = involve_backward(x, logits, grad, per_group(x.shape[1]), grad_x=grad_x)
    assert torch.equal(involve_backward(x, logits, grad, per_group(x.shape[1]), grad_x=None), grad_logits)
    for got, want in zip((out, grad_x, grad_logits), (expected, *expected_grads), strict=True):
        assert got.dtype == x.dtype
        torch.testing.assert_close(got.double(), want.detach(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("channels", [*range(1, 11), 24, 48, 64, 128])
def test_value_and_gradients_equal_the_definition(channels: int) -> None:
    check(*inputs(channels, (2, 4, 5), torch.float64))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (1, 1, 4), (2, 3, 1), (1, 2, 2)])
@pytest.mark.parametrize("channels", [1, 7, 9])
def test_small_maps(channels: int, shape: tuple[int, int, int]) -> None:
    check(*inputs(channels, shape, torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 5, 8, 24, 64, 128])
def test_narrower_formats_lose_no_more_than_their_rounding(channels: int, dtype: torch.dtype) -> None:
    check(*inputs(channels, (2, 4, 5), dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [4, 9])
def test_nan_stays_nan(channels: int, dtype: torch.dtype) -> None:
    x, logits, _ = inputs(channels, (2, 4, 5), dtype)
    out = torch.empty_like(x)
    broken = x.clone(memory_format=torch.preserve_format)
    broken[0, 1, 1, 1] = torch.nan
    involve(broken, logits, per_group(channels), out=out)
    seen = torch.zeros_like(out, dtype=torch.bool)
    seen[0, 1, :3, :3] = True  # by its neighbours, whatever their kernels are
    assert torch.equal(out.isnan(), seen)

    broken = logits.clone(memory_format=torch.preserve_format)
    broken[1, 4 * (logits.shape[1] // 9), 2, 3] = torch.nan  # the centre tap of the first group
    involve(x, broken, per_group(channels), out=out)
    seen = torch.zeros_like(out, dtype=torch.bool)
    seen[1, : per_group(channels), 2, 3] = True
    assert torch.equal(out.isnan(), seen)


def test_a_closed_kernel_gets_no_gradient() -> None:
    x, logits, grad = inputs(6, (1, 3, 3), torch.float64)
    logits = -logits.abs()
    logits[0, 0, 0, 0] = 0.0
    out, grad_x = torch.empty_like(x), torch.empty_like(x)
    involve(x, logits, 3, out=out)
    grad_logits = involve_backward(x, logits, grad, 3, grad_x=grad_x)
    assert not any(t.any() for t in (out, grad_x, grad_logits))
