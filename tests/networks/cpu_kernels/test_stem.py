"""The taps of a convolution added up, and spread again."""

import pytest
import torch
from torch import Tensor

from sceneshift.networks.cpu_kernels.stem import STEM_CHANNELS, spread_taps, sum_taps

ROUNDING = {torch.float64: (1e-12, 1e-12), torch.float32: (1e-5, 1e-5), torch.bfloat16: (2**-8, 1e-5)}


def draw(channels: int, shape: tuple[int, int], dtype: torch.dtype, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(3, channels, *shape, generator=generator, dtype=torch.float64)
    return drawn.to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", list(ROUNDING))
@pytest.mark.parametrize(("shape", "taps"), [((1, 1), 1), ((2, 3), 4), ((5, 5), 49)])
def test_sums_and_their_inverse(dtype: torch.dtype, shape: tuple[int, int], taps: int) -> None:
    places = shape[0] * shape[1]
    reads = torch.randint(0, places, (places, taps), generator=torch.Generator().manual_seed(0))
    seen, grad = draw(taps * STEM_CHANNELS, shape, dtype, 1), draw(STEM_CHANNELS, shape, dtype, 2)
    by_tap = seen.double().view(3, taps, STEM_CHANNELS, places).requires_grad_()
    expected = sum(by_tap[:, tap, :, reads[:, tap]] for tap in range(taps))
    (expected_grad,) = torch.autograd.grad(expected, by_tap, grad.double().view_as(expected))

    rtol, atol = ROUNDING[dtype]
    summed, spread = sum_taps(seen, reads), spread_taps(grad, reads)
    assert summed.dtype == spread.dtype == dtype
    torch.testing.assert_close(summed.double(), expected.detach().view(3, -1, *shape), rtol=rtol, atol=atol)
    torch.testing.assert_close(spread.double(), expected_grad.reshape(seen.shape), rtol=rtol, atol=atol)
    if dtype == torch.float64:  # adjoint: <S t, g> = <t, S* g>
        torch.testing.assert_close((summed * grad).sum(), (seen * spread).sum(), rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("dtype", list(ROUNDING))
def test_nan_stays_nan(dtype: torch.dtype) -> None:
    reads = torch.tensor([[0, 1], [1, 1], [2, 0], [3, 3]])
    seen = draw(2 * STEM_CHANNELS, (2, 2), dtype, 1)
    seen[0, STEM_CHANNELS + 5, 0, 1] = torch.nan  # what tap 1 sees at place 1
    expected = torch.zeros(3, STEM_CHANNELS, 2, 2, dtype=torch.bool)
    expected[0, 5, 0, :] = True
    assert torch.equal(sum_taps(seen, reads).isnan(), expected)
