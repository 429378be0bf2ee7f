"""A batch divided among several workers, each with a share of its rows.

While a batch is shared, everything that depends on the whole batch must equal the result of a single worker: batch
statistics, contrasts between rows, means of losses, gradients. This module has what is needed for that. It only uses
torch.distributed's sum and maximum over all workers, which gloo and NCCL both have for every device. All workers
must call the same functions in the same order. If no batch is shared, nothing is sent and nothing is copied.

Shape letters: B rows of the whole batch, b rows of this worker, n numbers per row.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True, kw_only=True)
class Share:
    """This worker's rows of a batch.

    Args:
        rank: This worker's number, from 0.
        sizes: Rows of each worker, one or more, in the order of their numbers.
    """

    rank: int
    sizes: tuple[int, ...]

    @property
    def total(self) -> int:
        """B."""
        return sum(self.sizes)

    @property
    def rows(self) -> slice:
        """The position of this worker's rows in the batch."""
        start = sum(self.sizes[: self.rank])
        return slice(start, start + self.sizes[self.rank])


_current: Share | None = None


def current_share() -> Share | None:
    """This worker's share of the current batch; None if the batch is not shared."""
    return _current


@contextlib.contextmanager
def shared_batch(share: Share | None) -> Iterator[None]:
    """Context in which batches are shares of one batch; None shares nothing."""
    global _current
    before, _current = _current, share
    try:
        yield
    finally:
        _current = before


def part_of_mean(mean: Tensor) -> Tensor:
    """The part of a mean over this worker's rows in the mean over all rows; the workers' parts sum up to it."""
    share = _current
    return mean if share is None else mean * (share.sizes[share.rank] / share.total)


def total_of(x: Tensor, share: Share | None) -> Tensor:
    """The sum of all workers' tensors, without a gradient; x itself if nothing is shared."""
    if share is None:
        return x
    x = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(x)
    return x


def largest_of(x: Tensor, share: Share | None) -> Tensor:
    """The element-wise maximum of all workers' tensors, without a gradient."""
    if share is None:
        return x
    x = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(x, op=dist.ReduceOp.MAX)
    return x


def sum_in_place(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one dtype and device by their sums over all workers, sent as one."""
    if tensors:
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))


def summed(x: Tensor) -> Tensor:
    """The sum of all workers' tensors; its gradient is that of the sum of all workers' losses."""
    if _current is None:
        return x
    out: Tensor = _Summed.apply(x, _current)  # type: ignore[no-untyped-call]
    return out


def all_rows(x: Tensor) -> Tensor:
    """The rows of all workers, (b, n) to (B, n), in the batch's order; the gradient as in :func:`summed`."""
    if _current is None:
        return x
    out: Tensor = _AllRows.apply(x, _current)  # type: ignore[no-untyped-call]
    return out


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: Share) -> Tensor:  # noqa: ANN401
        ctx.share = share
        return total_of(x, share)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        # Every worker's loss depends on every worker's summand in the same way.
        return total_of(grad, ctx.share), None


class _AllRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: Share) -> Tensor:  # noqa: ANN401
        ctx.share = share
        # A sum with zeros sends twice as much as a gather, and allows shares of different sizes.
        rows = x.new_zeros(share.total, *x.shape[1:])
        rows[share.rows] = x
        dist.all_reduce(rows)
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return total_of(grad, ctx.share)[ctx.share.rows], None
