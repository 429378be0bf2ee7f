"""2x2 max-pooling, channels last."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sceneshift.networks.cpu_kernels.compiled import compiled, narrow, widen
from sceneshift.networks.cpu_kernels.sharing import array_of, share


@compiled
def _pool(x: Any, out: Any, chosen: Any) -> None:  # noqa: ANN401
    for patch in range(x.shape[0]):
        for row in range(out.shape[1]):
            for column in range(out.shape[2]):
                upper_left, upper_right = x[patch, 2 * row, 2 * column], x[patch, 2 * row, 2 * column + 1]
                lower_left, lower_right = x[patch, 2 * row + 1, 2 * column], x[patch, 2 * row + 1, 2 * column + 1]
                target, index = out[patch, row, column], chosen[patch, row, column]
                for c in range(target.shape[0]):
                    best, which = widen(upper_left[c]), np.uint8(0)
                    value = widen(upper_right[c])
                    best, which = (value, np.uint8(1)) if value > best or value != value else (best, which)
                    value = widen(lower_left[c])
                    best, which = (value, np.uint8(2)) if value > best or value != value else (best, which)
                    value = widen(lower_right[c])
                    best, which = (value, np.uint8(3)) if value > best or value != value else (best, which)
                    target[c], index[c] = narrow(best, target[c]), which


@compiled
def _pool_backward(grad: Any, chosen: Any, out: Any) -> None:  # noqa: ANN401
    height, width = 2 * grad.shape[1], 2 * grad.shape[2]
    for patch in range(out.shape[0]):
        for row in range(out.shape[1]):
            for column in range(out.shape[2]):
                target = out[patch, row, column]
                if row >= height or column >= width:
                    target[:] = 0
                    continue
                values, index = grad[patch, row // 2, column // 2], chosen[patch, row // 2, column // 2]
                here = np.uint8(2 * (row % 2) + column % 2)
                for c in range(target.shape[0]):
                    target[c] = values[c] if index[c] == here else 0


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """2x2 max-pool, stride 2, of (B, C, H, W), channels last; an odd last row or column is left out.

    Returns:
        (B, C, H // 2, W // 2), channels last, and which of the four was chosen, uint8, channels last.
    """
    batch, channels, height, width = x.shape
    out = torch.empty(batch, channels, height // 2, width // 2, dtype=x.dtype, memory_format=torch.channels_last)
    chosen = torch.empty_like(out, dtype=torch.uint8)
    share(_pool, [array_of(t) for t in (x, out, chosen)])
    return out, chosen


def pool_backward(grad: Tensor, chosen: Tensor, shape: Sequence[int]) -> Tensor:
    """The gradient of :func:`pool` for an input of some shape."""
    out = torch.empty(*shape, dtype=grad.dtype, memory_format=torch.channels_last)
    share(_pool_backward, [array_of(t) for t in (grad, chosen, out)])
    return out
