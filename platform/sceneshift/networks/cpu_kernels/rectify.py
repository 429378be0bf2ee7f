"""Maps scaled, shifted and rectified, alone or two of them added: a batch norm and its ReLU.

Shape letters: B batch, C channels, H and W rows and columns of a map, N = B * H * W places.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sceneshift.networks.cpu_kernels.compiled import compiled, narrow, widen
from sceneshift.networks.cpu_kernels.sharing import places_of, share, sum_dtype, summed


@compiled
def _moments(x: Any, sums: Any) -> None:  # noqa: ANN401
    first, second = sums[0], sums[1]
    for place in range(x.shape[0]):
        values = x[place]
        for c in range(values.shape[0]):
            value = np.float64(widen(values[c]))
            first[c] += value
            second[c] += value * value


@compiled
def _rectify(x: Any, out: Any, affine: Any) -> None:  # noqa: ANN401
    zero = affine.dtype.type(0)
    scale, shift = affine[0], affine[1]
    for place in range(x.shape[0]):
        values, target = x[place], out[place]
        for c in range(values.shape[0]):
            value = scale[c] * widen(values[c]) + shift[c]
            target[c] = narrow(zero if value <= 0 else value, target[c])
        for c in range(values.shape[0], target.shape[0]):
            target[c] = narrow(affine.dtype.type(1), target[c])


@compiled
def _blend(x: Any, y: Any, out: Any, affine: Any) -> None:  # noqa: ANN401
    zero = affine.dtype.type(0)
    scale_x, shift_x, scale_y, shift_y = affine[0], affine[1], affine[2], affine[3]
    for place in range(x.shape[0]):
        xs, ys, target = x[place], y[place], out[place]
        for c in range(xs.shape[0]):
            first = scale_x[c] * widen(xs[c]) + shift_x[c]
            second = scale_y[c] * widen(ys[c]) + shift_y[c]
            value = (zero if first <= 0 else first) + (zero if second <= 0 else second)
            target[c] = narrow(value, target[c])


@compiled
def _pass_open(values: Any, grads: Any, scale: Any, shift: Any, passed: Any) -> None:  # noqa: ANN401
    """One place's gradient where the branch is open, else zero."""
    for c in range(passed.shape[0]):
        # A product, not a condition: with a condition the loop is not vectorized.
        is_open = scale[c] * widen(values[c]) + shift[c] > 0
        passed[c] = widen(grads[c]) * passed.dtype.type(is_open)


@compiled
def _rectify_sums(x: Any, grad: Any, affine: Any, passed: Any, sums: Any) -> None:  # noqa: ANN401
    scale, shift, first, second = affine[0], affine[1], sums[0], sums[1]
    for place in range(x.shape[0]):
        values = x[place]
        # Two short loops: in a long one LLVM can't prove that the arrays don't overlap, and does not vectorize it.
        _pass_open(values, grad[place], scale, shift, passed)
        for c in range(passed.shape[0]):
            first[c] += passed[c]
            second[c] += np.float64(passed[c]) * widen(values[c])


@compiled
def _rectify_backward(x: Any, grad: Any, grad_x: Any, affine: Any, line: Any, passed: Any) -> None:  # noqa: ANN401
    scale, shift, slope, constant = affine[0], affine[1], line[0], line[1]
    for place in range(x.shape[0]):
        values, target = x[place], grad_x[place]
        _pass_open(values, grad[place], scale, shift, passed)
        for c in range(passed.shape[0]):
            result = scale[c] * passed[c] + slope[c] * widen(values[c]) + constant[c]
            target[c] = narrow(result, target[c])


def moments(x: Tensor) -> Tensor:
    """Each channel's sum and sum of squares over all places of (B, C, H, W), channels last: (2, C) float64."""
    return summed(_moments, [places_of(x)], rows=2)


def rectify(x: Tensor, affine: Tensor, num_ones: int) -> Tensor:
    """`ReLU(scale * x + shift)`, channel by channel, followed by channels of ones.

    Args:
        x: (B, C, H, W), channels last.
        affine: (2, C), scale and shift.
        num_ones: The number of channels of ones.

    Returns:
        (B, C + num_ones, H, W), channels last.
    """
    batch, channels, height, width = x.shape
    shape = (batch, channels + num_ones, height, width)
    out = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
    share(_rectify, [places_of(x), places_of(out)], affine.numpy())
    return out


def rectify_sums(x: Tensor, grad: Tensor, affine: Tensor) -> Tensor:
    """Over the places where the ReLU is open: each channel's sum of grad, and of grad times the map.

    Args:
        x: (B, C, H, W), channels last: the input of :func:`rectify`, or one of those of :func:`blend`.
        grad: (B, C or more, H, W), channels last: the gradient of the result.
        affine: (2, C), scale and shift of this input.

    Returns:
        (2, C) float64.
    """
    passed = [np.empty(x.shape[1], sum_dtype(x))]
    return summed(_rectify_sums, [places_of(x), places_of(grad)], affine.numpy(), rows=2, scratch=passed)


def rectify_backward(x: Tensor, grad: Tensor, affine: Tensor, line: Tensor) -> Tensor:
    """`scale * grad (where the ReLU is open) + slope * map + constant`, channel by channel: (B, C, H, W).

    Args:
        x: As in :func:`rectify_sums`.
        grad: As there.
        affine: As there.
        line: (2, C), slope and constant.
    """
    grad_x = torch.empty_like(x)
    passed = np.empty(x.shape[1], sum_dtype(x))
    places = [places_of(t) for t in (x, grad, grad_x)]
    share(_rectify_backward, places, affine.numpy(), line.numpy(), scratch=lambda: [passed.copy()])
    return grad_x


def blend(x: Tensor, y: Tensor, affine: Tensor) -> Tensor:
    """`ReLU(scale_x * x + shift_x) + ReLU(scale_y * y + shift_y)`, channel by channel.

    Args:
        x: (B, C, H, W), channels last.
        y: Likewise.
        affine: (4, C), scale_x, shift_x, scale_y, shift_y: float64 for float64 maps, else float32.
    """
    out = torch.empty_like(x)
    share(_blend, [places_of(x), places_of(y), places_of(out)], affine.numpy())
    return out
