"""Involution with given kernels (Li et al., CVPR 2021), channels last.

Shape letters: B batch, C channels, H and W rows and columns of a map, G groups, D channels per group.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sceneshift.networks.cpu_kernels.compiled import compiled, narrow, widen
from sceneshift.networks.cpu_kernels.sharing import array_of, share, sum_dtype

_TAPS = 9


@compiled
def _spread(logits: Any, kernels: Any, per_group: int) -> None:  # noqa: ANN401
    """ReLU of one place's (9 * G,) logits, each repeated for the channels of its group: (9, C)."""
    zero = kernels.dtype.type(0)
    groups = logits.shape[0] // _TAPS
    for tap in range(_TAPS):
        row, given = kernels[tap], logits[tap * groups : (tap + 1) * groups]
        if per_group == 3:  # the usual case, and a loop that LLVM vectorizes
            for group in range(groups):
                logit = widen(given[group])
                value = zero if logit <= 0 else logit
                row[3 * group] = value
                row[3 * group + 1] = value
                row[3 * group + 2] = value
        else:
            for group in range(groups):
                logit = widen(given[group])
                row[group * per_group : (group + 1) * per_group] = zero if logit <= 0 else logit
        # Channels left over have the last group's kernel.
        row[groups * per_group :] = row[groups * per_group - 1]


@compiled
def _collect(products: Any, logits: Any, grad_logits: Any, per_group: int) -> None:  # noqa: ANN401
    """The inverse for gradients: (9, C) summed over each group's channels, zero where the ReLU was closed."""
    groups = logits.shape[0] // _TAPS
    for tap in range(_TAPS):
        row, given = products[tap], logits[tap * groups : (tap + 1) * groups]
        target = grad_logits[tap * groups : (tap + 1) * groups]
        for c in range(groups * per_group, row.shape[0]):
            row[groups * per_group - 1] += row[c]
        if per_group == 3:
            for group in range(groups):
                value = row[3 * group] + row[3 * group + 1] + row[3 * group + 2]
                is_open = row.dtype.type(widen(given[group]) > 0)
                target[group] = narrow(value * is_open, target[group])
        else:
            for group in range(groups):
                value = row.dtype.type(0)
                for c in range(group * per_group, (group + 1) * per_group):
                    value += row[c]
                is_open = row.dtype.type(widen(given[group]) > 0)
                target[group] = narrow(value * is_open, target[group])


@compiled
def _copy_inside(x: Any, padded: Any) -> None:  # noqa: ANN401
    """One (H, W, C) map into the middle of an (H + 2, W + 2, C) one whose border stays zero."""
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            values, target = x[row, column], padded[row + 1, column + 1]
            for c in range(values.shape[0]):
                target[c] = widen(values[c])


@compiled
def _involve(
    x: Any,  # noqa: ANN401
    logits: Any,  # noqa: ANN401
    out: Any,  # noqa: ANN401
    per_group: int,
    padded: Any,  # noqa: ANN401
    kernels: Any,  # noqa: ANN401
    total: Any,  # noqa: ANN401
) -> None:
    batch, height, width, channels = x.shape
    for patch in range(batch):
        _copy_inside(x[patch], padded)
        for row in range(height):
            for column in range(width):
                _spread(logits[patch, row, column], kernels, per_group)
                total[:] = 0
                for line in range(3):
                    # Three taps per loop: with more arrays LLVM can't prove that they don't overlap, and does not
                    # vectorize.
                    seen = padded[row + line]
                    left, middle, right = seen[column], seen[column + 1], seen[column + 2]
                    first, second, third = kernels[3 * line], kernels[3 * line + 1], kernels[3 * line + 2]
                    for c in range(channels):
                        total[c] += first[c] * left[c] + second[c] * middle[c] + third[c] * right[c]
                target = out[patch, row, column]
                for c in range(channels):
                    target[c] = narrow(total[c], target[c])


@compiled
def _involve_backward(
    x: Any,  # noqa: ANN401
    logits: Any,  # noqa: ANN401
    grad: Any,  # noqa: ANN401
    grad_x: Any,  # noqa: ANN401
    grad_logits: Any,  # noqa: ANN401
    per_group: int,
    needs_x: bool,
    padded: Any,  # noqa: ANN401
    kernels: Any,  # noqa: ANN401
    here: Any,  # noqa: ANN401
    products: Any,  # noqa: ANN401
    sums: Any,  # noqa: ANN401
) -> None:
    batch, height, width, channels = x.shape
    lines, flat_kernels, flat_products = padded.reshape(height + 2, -1), kernels.reshape(3, -1), products.reshape(3, -1)
    flat_sums = sums.reshape(height + 2, -1)
    for patch in range(batch):
        _copy_inside(x[patch], padded)
        sums[:] = 0
        for row in range(height):
            for column in range(width):
                _spread(logits[patch, row, column], kernels, per_group)
                place = grad[patch, row, column]
                for c in range(channels):
                    value = widen(place[c])
                    here[c] = value
                    here[channels + c] = value
                    here[2 * channels + c] = value
                window = slice(column * channels, (column + 3) * channels)
                for line in range(3):
                    # The three taps of a line are contiguous: one long loop.
                    seen, total = lines[row + line, window], flat_sums[row + line, window]
                    kernel, product = flat_kernels[line], flat_products[line]
                    if needs_x:
                        for i in range(3 * channels):
                            total[i] += kernel[i] * here[i]
                            product[i] = seen[i] * here[i]
                    else:
                        for i in range(3 * channels):
                            product[i] = seen[i] * here[i]
                _collect(products, logits[patch, row, column], grad_logits[patch, row, column], per_group)
        for row in range(height if needs_x else 0):
            for column in range(width):
                total, target = sums[row + 1, column + 1], grad_x[patch, row, column]
                for c in range(channels):
                    target[c] = narrow(total[c], target[c])


def involve(x: Tensor, kernel_logits: Tensor, channels_per_group: int, *, out: Tensor) -> None:
    """Apply one 3x3 kernel per place and group, zero outside the map; a kernel is ReLU(its logits).

    Args:
        x: (B, C, H, W), channels last.
        kernel_logits: (B, 9 * G, H, W), channels last, of x's dtype, tap by tap: tap k of group g is k * G + g.
        channels_per_group: D. Channels from G * D on share the last group's kernel.
        out: (B, C, H, W), channels last: where the result goes.
    """
    maps = [array_of(t) for t in (x, kernel_logits, out)]
    share(_involve, maps, channels_per_group, scratch=lambda: _working_memory(x)[:3])


def involve_backward(
    x: Tensor, kernel_logits: Tensor, grad: Tensor, channels_per_group: int, *, grad_x: Tensor | None
) -> Tensor:
    """Gradients of :func:`involve` with respect to x and to the logits.

    Args:
        x: As there.
        kernel_logits: As there.
        grad: (B, C, H, W), channels last: the gradient of the result.
        channels_per_group: As there.
        grad_x: (B, C, H, W), channels last: where the gradient of x goes; None if it is not needed.

    Returns:
        The gradient of the logits.
    """
    grad_logits = torch.empty_like(kernel_logits)
    needs_x = grad_x is not None
    # A kernel needs an array in any case.
    maps = [array_of(t) for t in (x, kernel_logits, grad, x if grad_x is None else grad_x, grad_logits)]

    def scratch() -> list[NDArray[Any]]:
        return _working_memory(x)[:2] + _working_memory(x)[3:]

    share(_involve_backward, maps, channels_per_group, needs_x, scratch=scratch)
    return grad_logits


def _working_memory(x: Tensor) -> list[NDArray[Any]]:
    """An involution's buffers, per thread: a padded patch, kernels, a place; for the gradients also these three."""
    _, channels, height, width = x.shape
    padded, kernels = (height + 2, width + 2, channels), (_TAPS, channels)
    return [np.zeros(s, sum_dtype(x)) for s in (padded, kernels, (channels,), (3 * channels,), kernels, padded)]
