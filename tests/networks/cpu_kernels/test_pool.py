"""Max-pooling against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from sceneshift.networks.cpu_kernels.pool import pool, pool_backward

DTYPES = [torch.float64, torch.float32, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (2, 5, 4, 6), (3, 4, 5, 7), (1, 16, 13, 13), (2, 3, 3, 2)])
@pytest.mark.parametrize("levels", [2, 1000])  # with two levels nearly every window holds a tie
def test_value_and_gradient_are_torch_s_to_the_bit(dtype: torch.dtype, shape: tuple[int, ...], levels: int) -> None:
    torch.manual_seed(0)
    x = (torch.randint(-levels, levels, shape) / 16).to(dtype).contiguous(memory_format=torch.channels_last)
    wide = x.double().requires_grad_()
    expected = F.max_pool2d(wide, 2)
    grad = torch.randn_like(expected).to(dtype).contiguous(memory_format=torch.channels_last)
    (expected_grad,) = torch.autograd.grad(expected, wide, grad.double())
    out, chosen = pool(x)
    assert out.dtype == dtype
    assert torch.equal(out.double(), expected)
    assert torch.equal(pool_backward(grad, chosen, shape).double(), expected_grad)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", range(4))
def test_nan_stays_nan_wherever_it_is(dtype: torch.dtype, place: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 4).to(dtype).contiguous(memory_format=torch.channels_last)
    x[1, 2, 2 + place // 2, place % 2] = torch.nan
    out, chosen = pool(x)
    assert torch.equal(out.isnan(), F.max_pool2d(x, 2).isnan())
    assert out.isnan().sum() == 1
    assert chosen[1, 2, 1, 0] == place
