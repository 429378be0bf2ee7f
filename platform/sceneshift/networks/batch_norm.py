"""Batch norm for a shared batch: its statistics are those of all workers' rows.

torch's SyncBatchNorm does not support CPU tensors. Where several batches are stacked and pass a network as one,
the norms of :mod:`sceneshift.networks.branches` take the statistics of each.

Shape letters: B batch, C channels, H and W rows and columns of a map, N = B * H * W places, W workers.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from sceneshift.networks.shared_batch import Share, current_share, total_of

_stacked: tuple[int, ...] | None = None


@contextlib.contextmanager
def stacked_batches(sizes: Sequence[int]) -> Iterator[None]:
    """Context in which maps hold several batches stacked, each of the given number of rows.

    In training mode each is normalized by its own statistics, and the running statistics are updated once, with the
    mean over batches. Only on a CPU without gradients, and only in a discriminator, whose norms account for it.
    """
    global _stacked
    before, _stacked = _stacked, tuple(sizes)
    try:
        yield
    finally:
        _stacked = before


def stacked_sizes() -> tuple[int, ...] | None:
    """The rows of each of the currently stacked batches; None where a map is one batch."""
    return _stacked


class BatchNorm1d(nn.BatchNorm1d):
    """`nn.BatchNorm1d`; in training mode, within a shared batch, over all workers' rows."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C) or (B, C, L) to the same shape."""
        share = current_share() if self.training else None
        return super().forward(x) if share is None else _shared_norm(self, x, share)


class BatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d`; in training mode, within a shared batch, over all workers' rows."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        share = current_share() if self.training else None
        return super().forward(x) if share is None else _shared_norm(self, x, share)


def move_running_statistics(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: int | Tensor) -> None:
    """Update a norm's running statistics with a batch, as `nn.BatchNorm2d` does in training mode.

    Args:
        norm: With running statistics and a momentum.
        mean: (C,), of the batch; (batches, C) for stacked batches, whose mean is used.
        variance: Likewise, sum of squares over N.
        count: N, 2 or more; (batches, 1) for stacked batches.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    unbiased = variance * (count / (count - 1))
    if mean.ndim > 1:
        norm.num_batches_tracked += len(mean) - 1
        mean, unbiased = mean.mean(dim=0), unbiased.mean(dim=0)
    norm.num_batches_tracked += 1
    norm.running_mean.lerp_(mean.to(norm.running_mean), norm.momentum)
    norm.running_var.lerp_(unbiased.to(norm.running_var), norm.momentum)


def _shared_norm(norm: _BatchNorm, x: Tensor, share: Share) -> Tensor:
    mean, variance, count = _shared_statistics(x, share)
    with torch.no_grad():
        move_running_statistics(norm, mean, variance, count)
    rstd = (variance + norm.eps).rsqrt()
    out: Tensor = _SharedNorm.apply(x, norm.weight, norm.bias, mean, rstd, count, share)  # type: ignore[no-untyped-call]
    return out


@torch.no_grad()
def _shared_statistics(x: Tensor, share: Share) -> tuple[Tensor, Tensor, int]:
    """Mean and variance per channel, (C,) in float32 or wider, over the N places of all workers; and N."""
    wide = _wide(x)
    variance, mean = torch.var_mean(wide, dim=_places(x), correction=0)
    # Each worker's own moments are sent, not sums of squares: their difference would lose digits in float32.
    moments = wide.new_zeros(len(share.sizes), 2, x.shape[1])
    moments[share.rank] = torch.stack([mean, variance])
    moments = total_of(moments, share)
    weights = wide.new_tensor(share.sizes)[:, None] / share.total
    means, variances = moments.unbind(1)
    mean = (weights * means).sum(dim=0)
    variance = (weights * (variances + (means - mean).square())).sum(dim=0)
    return mean, variance, _num_places(x, share)


class _SharedNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        mean: Tensor,
        rstd: Tensor,
        count: int,
        share: Share,
    ) -> Tensor:
        ctx.save_for_backward(x, gamma, mean, rstd)
        ctx.count, ctx.share = count, share
        scale = gamma * rstd
        return (_wide(x) * _along(x, scale) + _along(x, beta - scale * mean)).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, gamma, mean, rstd = ctx.saved_tensors
        grad = _wide(grad)
        normed = (_wide(x) - _along(x, mean)) * _along(x, rstd)
        sums = torch.stack([grad.sum(dim=_places(x)), (grad * normed).sum(dim=_places(x))])
        means = total_of(sums, ctx.share) / ctx.count
        grad_x = _along(x, gamma * rstd) * (grad - _along(x, means[0]) - normed * _along(x, means[1]))
        # Weight and bias get this worker's part: gradients of weights are summed over workers before a step.
        of_bias, of_weight = sums.to(gamma.dtype)
        return grad_x.to(x.dtype), of_weight, of_bias, None, None, None, None


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _places(x: Tensor) -> list[int]:
    return [axis for axis in range(x.ndim) if axis != 1]


def _num_places(x: Tensor, share: Share) -> int:
    """N; a row may have several places, such as the pixels of a patch."""
    return x.numel() // x.shape[1] // share.sizes[share.rank] * share.total


def _along(x: Tensor, values: Tensor) -> Tensor:
    """(C,) as it is broadcast over x."""
    return values.view(1, -1, *[1] * (x.ndim - 2))
