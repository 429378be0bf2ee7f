"""Maps scaled, shifted, rectified and added, against torch's operators."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sceneshift.networks.cpu_kernels import rectify

DTYPES = [torch.float64, torch.float32, torch.bfloat16]
ROUNDING = {torch.float64: (1e-12, 1e-12), torch.float32: (1e-5, 1e-5), torch.bfloat16: (2**-8, 1e-5)}
SHAPES = [(1, 1, 1, 1), (2, 3, 1, 1), (2, 7, 3, 4), (3, 16, 5, 5), (1, 33, 2, 3)]


def maps(shape: tuple[int, ...], dtype: torch.dtype, count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    drawn = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count))
    return [x.to(dtype).contiguous(memory_format=torch.channels_last) for x in drawn]


def rows(channels: int, dtype: torch.dtype, count: int) -> Tensor:
    """Numbers a channel, as the kernels are handed them: float64 for float64 maps, else float32."""
    generator = torch.Generator().manual_seed(channels)
    drawn = torch.randn(count, channels, generator=generator, dtype=torch.float64)
    return drawn.to(torch.promote_types(dtype, torch.float32))


def along(row: Tensor) -> Tensor:
    """(C,) as it applies to a map."""
    return row.double()[:, None, None]


def line(x: Tensor, pair: Tensor) -> Tensor:
    return along(pair[0]) * x.double() + along(pair[1])


def open_grad(x: Tensor, grad: Tensor, pair: Tensor) -> Tensor:
    return grad.double() * (line(x, pair) > 0)


def near(got: Tensor, want: Tensor, dtype: torch.dtype) -> None:
    rtol, atol = ROUNDING[dtype]
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), want, rtol=rtol, atol=atol)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
class TestAgainstTorch:
    def test_moments(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        (x,) = maps(shape, dtype, 1)
        wide = x.double()
        expected = torch.stack([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3))])
        torch.testing.assert_close(rectify.moments(x), expected, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("num_ones", [0, 1, 5])
    def test_rectify(self, shape: tuple[int, ...], dtype: torch.dtype, num_ones: int) -> None:
        (x,) = maps(shape, dtype, 1)
        affine = rows(shape[1], dtype, 2)
        out = rectify.rectify(x, affine, num_ones)
        assert out.is_contiguous(memory_format=torch.channels_last)
        near(out[:, : shape[1]], F.relu(line(x, affine)), dtype)
        assert torch.equal(out[:, shape[1] :], torch.ones(shape[0], num_ones, *shape[2:], dtype=dtype))

    def test_its_gradient(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        x, *_ = maps(shape, dtype, 1)
        (grad,) = maps((shape[0], shape[1] + 3, *shape[2:]), dtype, 1)  # that of the ones is of no interest
        affine, back = rows(shape[1], dtype, 4).split(2)
        passed = open_grad(x, grad[:, : shape[1]], affine)
        expected = torch.stack([passed.sum((0, 2, 3)), (passed * x.double()).sum((0, 2, 3))])
        torch.testing.assert_close(rectify.rectify_sums(x, grad, affine), expected, rtol=1e-12, atol=1e-12)
        near(rectify.rectify_backward(x, grad, affine, back), along(affine[0]) * passed + line(x, back), dtype)

    def test_blend(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        x, y = maps(shape, dtype, 2)
        affine = rows(shape[1], dtype, 4)
        out = rectify.blend(x, y, affine)
        assert out.dtype == dtype
        assert out.is_contiguous(memory_format=torch.channels_last)
        near(out, F.relu(line(x, affine[:2])) + F.relu(line(y, affine[2:])), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_stays_nan(dtype: torch.dtype) -> None:
    x, y = maps((2, 5, 3, 3), dtype, 2)
    x[1, 2, 0, 1] = torch.nan
    affine = rows(5, dtype, 4)
    for out in (rectify.rectify(x, affine[:2], 1), rectify.blend(x, y, affine), rectify.blend(y, x, affine)):
        assert out[1, 2, 0, 1].isnan()
        assert out.isnan().sum() == 1
    assert rectify.moments(x)[:, 2].isnan().all()


def test_sums_over_many_places_are_taken_in_float64() -> None:
    x = torch.full((1, 1, 300, 300), 1.0 + 2**-20).contiguous(memory_format=torch.channels_last)
    exact = 1.0 + 2**-20
    expected = torch.tensor([[90_000 * exact], [90_000 * exact**2]], dtype=torch.float64)
    torch.testing.assert_close(rectify.moments(x), expected, rtol=1e-11, atol=0)
