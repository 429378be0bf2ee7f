"""Two branches of a spectral-spatial block, each batch-normalized and rectified, blended into one map.

Shape letters: B batch, C channels, H and W rows and columns of a map, N = B * H * W places.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sceneshift.errors import InvalidInputError
from sceneshift.networks.batch_norm import move_running_statistics, stacked_sizes
from sceneshift.networks.cpu_kernels import pool, rectify
from sceneshift.networks.shared_batch import Share, current_share, total_of


def blend_branches(x: Tensor, x_norm: nn.BatchNorm2d, y: Tensor, y_norm: nn.BatchNorm2d, weights: Tensor) -> Tensor:
    """`w0 * ReLU(BN_x(x)) + w1 * ReLU(BN_y(y))`.

    In training mode each norm uses the batch's own statistics and updates its running ones, as `nn.BatchNorm2d` does;
    those of a shared batch are taken over all workers. On a CPU only x and y are kept for the backward pass, and each
    pass reads them once or twice.

    Args:
        x: (B, C, H, W).
        x_norm: Its norm.
        y: (B, C, H, W).
        y_norm: Its norm.
        weights: (2,), w0 and w1, non-negative.

    Returns:
        (B, C, H, W).

    Raises:
        InvalidInputError: In training mode, the maps hold one value per channel (on a CPU; elsewhere `nn.BatchNorm2d`
            raises its own ValueError).
    """
    if x.device.type != "cpu":
        return weights[0] * F.relu(x_norm(x)) + weights[1] * F.relu(y_norm(y))
    x, y = (branch.contiguous(memory_format=torch.channels_last) for branch in (x, y))
    if x_norm.training and (sizes := stacked_sizes()) is not None:
        of_x, of_y = _stacked_affines(x, x_norm, sizes), _stacked_affines(y, y_norm, sizes)
        both = torch.cat([weights[0] * of_x, weights[1] * of_y], dim=1).to(torch.promote_types(x.dtype, torch.float32))
        batches = zip(x.split(sizes), y.split(sizes), both, strict=True)
        return torch.cat([rectify.blend(*batch) for batch in batches])
    share = current_share() if x_norm.training else None
    x_mean, x_rstd, count = _statistics(x, x_norm, share)
    y_mean, y_rstd, _ = _statistics(y, y_norm, share)
    out: Tensor = _BlendedBranches.apply(  # type: ignore[no-untyped-call]
        x,
        x_norm.weight,
        x_norm.bias,
        x_mean,
        x_rstd,
        y,
        y_norm.weight,
        y_norm.bias,
        y_mean,
        y_rstd,
        weights,
        count,
        share,
    )
    return out


@torch.no_grad()
def _statistics(x: Tensor, norm: nn.BatchNorm2d, share: Share | None) -> tuple[Tensor, Tensor, int | None]:
    """Mean and reciprocal standard deviation per channel, (C,) float64, and the number of values; None in eval mode.

    In training mode the running statistics are updated.
    """
    if not norm.training:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance, count = norm.running_mean.double(), norm.running_var.double(), None
    else:
        rows = len(x) if share is None else share.total
        count = rows * x.shape[2] * x.shape[3]
        if count < 2:
            raise InvalidInputError(
                f"got a map of shape {tuple(x.shape)} in training mode; expected more than one value per channel, "
                f"of which batch norm takes the variance; pass more patches, or call eval() first"
            )
        first, second = total_of(rectify.moments(x), share)
        mean = first / count
        variance = (second / count - mean**2).clamp_min(0)
        move_running_statistics(norm, mean, variance, count)
    return mean, (variance + norm.eps).rsqrt(), count


def _stacked_affines(x: Tensor, norm: nn.BatchNorm2d, sizes: Sequence[int]) -> Tensor:
    """Scale and shift of `BN(x)` for each stacked batch, (batches, 2, C) float64; updates running statistics."""
    first, second = torch.stack([rectify.moments(batch) for batch in x.split(list(sizes))]).unbind(1)
    counts = first.new_tensor(sizes)[:, None] * (x.shape[2] * x.shape[3])
    mean = first / counts
    variance = (second / counts - mean**2).clamp_min(0)
    move_running_statistics(norm, mean, variance, counts)
    return _affine(norm.weight, norm.bias, mean, (variance + norm.eps).rsqrt()).transpose(0, 1)


def rectified_norm(x: Tensor, norm: nn.BatchNorm2d, *, num_ones: int) -> Tensor:
    """`ReLU(BN(x))` on a CPU, followed by channels of ones.

    Args:
        x: (B, C, H, W).
        norm: Used as in :func:`blend_branches`.
        num_ones: The number of channels of ones.

    Returns:
        (B, C + num_ones, H, W), channels last.

    Raises:
        InvalidInputError: In training mode, the map holds one value per channel.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    if norm.training and (sizes := stacked_sizes()) is not None:
        affines = _stacked_affines(x, norm, sizes).to(torch.promote_types(x.dtype, torch.float32))
        batches = zip(x.split(sizes), affines, strict=True)
        return torch.cat([rectify.rectify(batch, affine, num_ones) for batch, affine in batches])
    share = current_share() if norm.training else None
    mean, rstd, count = _statistics(x, norm, share)
    out: Tensor = _RectifiedNorm.apply(  # type: ignore[no-untyped-call]
        x, norm.weight, norm.bias, mean, rstd, num_ones, count, share
    )
    return out


class _RectifiedNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        mean: Tensor,
        rstd: Tensor,
        num_ones: int,
        count: int | None,
        share: Share | None,
    ) -> Tensor:
        affine = _affine(gamma, beta, mean, rstd).to(torch.promote_types(x.dtype, torch.float32))
        ctx.save_for_backward(x, gamma, mean, rstd, affine)
        ctx.count, ctx.share = count, share
        return rectify.rectify(x, affine, num_ones)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, gamma, mean, rstd, affine = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        sums = rectify.rectify_sums(x, grad, affine)
        line = _line(total_of(sums, ctx.share), gamma, mean, rstd, ctx.count)
        grad_x = rectify.rectify_backward(x, grad, affine, line.to(affine.dtype))
        open_sum, product = _weight_sums(sums, mean, rstd)
        return grad_x, product.to(gamma.dtype), open_sum.to(gamma.dtype), None, None, None, None, None


class _BlendedBranches(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:  # noqa: ANN401
        x, x_gamma, x_beta, x_mean, x_rstd, y, y_gamma, y_beta, y_mean, y_rstd, weights, count, share = inputs
        dtype = torch.promote_types(x.dtype, torch.float32)
        # A weight is non-negative, so it can be applied inside its ReLU.
        of_x, of_y = _affine(x_gamma, x_beta, x_mean, x_rstd), _affine(y_gamma, y_beta, y_mean, y_rstd)
        affine = torch.cat([weights[0] * of_x, weights[1] * of_y]).to(dtype)
        ctx.save_for_backward(x, x_gamma, x_beta, x_mean, x_rstd, y, y_gamma, y_beta, y_mean, y_rstd, weights, affine)
        ctx.count, ctx.share = count, share
        return rectify.blend(x, y, affine)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        *branches, weights, affine = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        affines = affine.split(2)
        sums = torch.stack([rectify.rectify_sums(branches[5 * i], grad, affines[i]) for i in (0, 1)])
        totals = total_of(sums, ctx.share)
        grads: list[Tensor | None] = []
        weight_grads = []
        for index in (0, 1):
            x, gamma, beta, mean, rstd = branches[5 * index : 5 * index + 5]
            weight = weights[index].double()
            line = _line(totals[index], gamma, mean, rstd, ctx.count)
            grad_x = rectify.rectify_backward(x, grad, affines[index], (weight * line).to(affine.dtype))
            open_sum, product = _weight_sums(sums[index], mean, rstd)
            grads += [grad_x, (weight * product).to(gamma.dtype), (weight * open_sum).to(gamma.dtype), None, None]
            weight_grads.append(gamma.double() @ product + beta.double() @ open_sum)
        return *grads, torch.stack(weight_grads).to(weights), None, None


def _affine(gamma: Tensor, beta: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    """Scale and shift of `BN(x)`, (2, C) float64."""
    scale = gamma * rstd
    return torch.stack([scale, beta - scale * mean])


def _weight_sums(sums: Tensor, mean: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of batch norm's bias and weight, up to a factor.

    Args:
        sums: (2, C) float64, of the gradient g and of g * x over the places where the ReLU is open.
        mean: (C,) float64.
        rstd: (C,) float64.

    Returns:
        (C,) sum of g; (C,) sum of g * x^, x^ = (x - mean) * rstd.
    """
    return sums[0], rstd * (sums[1] - mean * sums[0])


def _line(totals: Tensor, gamma: Tensor, mean: Tensor, rstd: Tensor, count: int | None) -> Tensor:
    """What batch norm's gradient needs in addition to the gradient itself.

    Args:
        totals: As in :func:`_weight_sums`, over all places of the statistics.
        gamma: (C,).
        mean: (C,) float64.
        rstd: (C,) float64.
        count: N; None where the statistics were not the batch's own.

    Returns:
        (2, C) slope and constant with which `grad_x = gamma * rstd * g + slope * x + constant`.
    """
    if count is None:
        return torch.zeros_like(totals)
    open_sum, product = _weight_sums(totals, mean, rstd)
    scale = gamma * rstd / count
    slope = -scale * rstd * product
    return torch.stack([slope, -scale * open_sum - slope * mean])


def max_pool(x: Tensor) -> Tensor:
    """2x2 max-pool, stride 2: (B, C, H, W) to (B, C, H // 2, W // 2)."""
    if x.device.type != "cpu":
        return F.max_pool2d(x, 2)
    out: Tensor = _MaxPool.apply(x.contiguous(memory_format=torch.channels_last))  # type: ignore[no-untyped-call]
    return out


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        out, chosen = pool.pool(x)
        ctx.save_for_backward(chosen)
        ctx.shape = x.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ANN401
        (chosen,) = ctx.saved_tensors
        return pool.pool_backward(grad.contiguous(memory_format=torch.channels_last), chosen, ctx.shape)
