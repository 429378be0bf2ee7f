"""Involution (Li et al., CVPR 2021), the spectral branch of every spectral-spatial block.

Shape letters: B batch, C channels, H and W height and width of a patch, G groups, D channels per group
(C // G), L = (H + 1) * (W + 1) flat positions of a padded plane, n patches worked on at a time.

How it is computed. Unfolding a map to its nine neighbours costs nine times its memory. On a CPU a compiled loop reads
the neighbours in place (:mod:`sceneshift.networks.cpu_kernels.involve`). On other devices x is copied,
a few patches at a time, into planes of (H + 1) x (W + 1) whose last row and column are zero:

    x x x 0
    x x x 0     the zero column ends one row and begins the next,
    x x x 0     the zero row ends one plane and begins the next,
    0 0 0 0

so that "one pixel up and left, zero outside the patch" is the same memory read W + 2 places earlier. Each of
the nine shifts is then one view and one fused multiply-add over long contiguous runs, which stay in cache.
The kernels are generated on planes of the same size. Only x and the kernels (before their ReLU, which is
taken chunk by chunk too) are kept for the backward pass; on a CPU not even the kernels, which are generated again.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sceneshift.errors import InvalidInputError
from sceneshift.networks.batch_norm import BatchNorm2d
from sceneshift.networks.branches import rectified_norm
from sceneshift.networks.cpu_kernels.involve import involve, involve_backward

_TAPS = 9
_CENTRE = 4
_LANES = 16
#: Kernel values of the patches processed at a time, if kernels are generated again for the backward pass.
_CHUNK_VALUES = 2_000_000
# Values in a plane buffer. On a CPU 1 MiB in float32, ten patches of 13 x 13 with 128 channels: fastest of
# 2**16 ... 2**22 there, and as fast as any at 7 x 7 with 64. Elsewhere launches cost more than cache misses.
_CPU_VALUES = 2**18
_DEVICE_VALUES = 2**26


def flat_involution(x: Tensor, kernel_logits: Tensor, channels_per_group: int) -> Tensor:
    """Apply one 3x3 kernel per pixel and channel group, zero outside the patch; a kernel is ReLU(its logits).

    `out[b, c, h, w] = sum_ij kernels[b, 9 * (c // D) + 3 * i + j, h, w] * x[b, c, h + i - 1, w + j - 1]`.
    Sums are taken in float32, or in float64 where an input is float64. Differentiable once in both inputs,
    and only these two are kept for it. The ReLU is inside because a separate one costs a tenth of the layer.

    Args:
        x: (B, C, H, W).
        kernel_logits: (B, 9 * ceil(C / D), H + 1, W + 1); the last row and column have no effect.
        channels_per_group: D, the number of consecutive channels that share a kernel.

    Returns:
        (B, C, H, W) in x's dtype.

    Raises:
        InvalidInputError: the kernels' shape is not the one above.
    """
    batch, channels, height, width = x.shape
    expected = (batch, _TAPS * -(-channels // channels_per_group), height + 1, width + 1)
    if tuple(kernel_logits.shape) != expected:
        raise InvalidInputError(
            f"got kernels of shape {tuple(kernel_logits.shape)}; expected {expected} for x of shape "
            f"{tuple(x.shape)} and {channels_per_group} channels per group; "
            f"pad the kernel generator's input by one row and column"
        )
    kernel_logits = kernel_logits.contiguous()
    if torch.is_grad_enabled() and (x.requires_grad or kernel_logits.requires_grad):
        out: Tensor = _FlatInvolution.apply(x, kernel_logits, channels_per_group)  # type: ignore[no-untyped-call]
        return out
    return _forward(x, kernel_logits, channels_per_group)


def _fusible_involution(x: Tensor, kernel_logits: Tensor, channels_per_group: int) -> Tensor:
    """:func:`flat_involution` in a form that compilers fuse to one kernel; (B, 9 * G, H, W) logits, nothing padded."""
    batch, channels, height, width = x.shape
    padded = F.pad(x, (1, 1, 1, 1)).to(torch.promote_types(x.dtype, torch.float32))
    kernels = F.relu(kernel_logits).to(padded.dtype).view(batch, -1, _TAPS, height, width)
    total = torch.zeros_like(padded[:, :, 1:-1, 1:-1])
    for tap in range(_TAPS):
        row, column = divmod(tap, 3)
        spread = kernels[:, :, tap].repeat_interleave(channels_per_group, dim=1)[:, :channels]
        total = total + spread * padded[:, :, row : row + height, column : column + width]
    return total.to(x.dtype)


class _FlatInvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, logits: Tensor, channels_per_group: int) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x, logits)
        ctx.channels_per_group = channels_per_group
        return _forward(x, logits, channels_per_group)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # noqa: ANN401
        x, logits = ctx.saved_tensors
        need_x, need_logits = ctx.needs_input_grad[:2]
        per_group = ctx.channels_per_group
        grads = _backward(x, logits, grad_out, per_group, need_x=need_x, need_logits=need_logits)
        return *grads, None


class _Planes:
    """Zeroed planes for n patches, with a guard at both ends, in the accumulation dtype."""

    def __init__(self, x: Tensor, logits: Tensor, channels_per_group: int) -> None:
        batch, self.channels, self.height, self.width = x.shape
        self.groups = logits.shape[1] // _TAPS
        self.per_group = channels_per_group
        per_patch = self.groups * channels_per_group * (self.height + 1) * (self.width + 1)
        values = _CPU_VALUES if x.device.type == "cpu" else _DEVICE_VALUES
        self.patches = max(1, min(batch, values // per_patch))
        self._per_patch = per_patch
        self._guard = self.width + 2
        dtype = torch.promote_types(torch.promote_types(x.dtype, logits.dtype), torch.float32)
        self.flat = torch.zeros(2 * self._guard + self.patches * per_patch, dtype=dtype, device=x.device)

    def pixels(self, count: int) -> Tensor:
        """The first `count` patches without the zero row and column: (count, C, H, W)."""
        flat = self.flat.narrow(0, self._guard, count * self._per_patch)
        planes = flat.view(count, self.groups * self.per_group, self.height + 1, self.width + 1)
        return planes[:, : self.channels, : self.height, : self.width]

    def shifted(self, count: int, tap: int) -> Tensor:
        """What tap i * 3 + j sees of the first `count` patches: (count, G, D, L)."""
        offset = (tap // 3 - 1) * (self.width + 1) + tap % 3 - 1
        flat = self.flat.narrow(0, self._guard + offset, count * self._per_patch)
        return flat.view(count, self.groups, self.per_group, -1)


def _taps(logits: Tensor, planes: _Planes) -> Tensor:
    """ReLU of (n, 9 * G, H + 1, W + 1), as a new (n, G, 9, L) in the accumulation dtype."""
    return logits.clamp_min(0).to(planes.flat.dtype).view(logits.shape[0], planes.groups, _TAPS, -1)


def _forward(x: Tensor, logits: Tensor, channels_per_group: int) -> Tensor:
    source = _Planes(x, logits, channels_per_group)
    total = _Planes(x, logits, channels_per_group)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for start in range(0, x.shape[0], source.patches):
        chunk = slice(start, start + source.patches)
        count = x[chunk].shape[0]
        source.pixels(count).copy_(x[chunk])
        taps = _taps(logits[chunk], source)
        # What lands in total's own zero row and column is never read.
        sums = total.shifted(count, _CENTRE)
        torch.mul(source.shifted(count, 0), taps[:, :, 0, None], out=sums)
        for tap in range(1, _TAPS):
            sums.addcmul_(source.shifted(count, tap), taps[:, :, tap, None])
        out[chunk] = total.pixels(count)
    return out


def _backward(
    x: Tensor, logits: Tensor, grad_out: Tensor, channels_per_group: int, *, need_x: bool, need_logits: bool
) -> tuple[Tensor | None, Tensor | None]:
    grads = _Planes(x, logits, channels_per_group)
    other = _Planes(x, logits, channels_per_group)  # what x's gradient is summed in, then x itself
    grad_x = torch.empty(x.shape, dtype=x.dtype, device=x.device) if need_x else None
    grad_logits = torch.empty_like(logits) if need_logits else None
    for start in range(0, x.shape[0], grads.patches):
        chunk = slice(start, start + grads.patches)
        count = x[chunk].shape[0]
        grads.pixels(count).copy_(grad_out[chunk])
        grad = grads.shifted(count, _CENTRE)
        taps = _taps(logits[chunk], grads)
        other.flat.zero_()
        if grad_x is not None:
            for tap in range(_TAPS):
                # The zero rows and columns of the gradient send nothing to a neighbouring plane.
                other.shifted(count, tap).addcmul_(grad, taps[:, :, tap, None])
            grad_x[chunk] = other.pixels(count)
            other.flat.zero_()
        if grad_logits is not None:
            other.pixels(count).copy_(x[chunk])
            target = grad_logits[chunk].view(count, grads.groups, _TAPS, -1)
            in_place = target.dtype == grad.dtype
            sums = target if in_place else torch.empty(target.shape, dtype=grad.dtype, device=grad.device)
            for tap in range(_TAPS):
                seen = other.shifted(count, tap)
                # One fused multiply-add per channel is faster than a product followed by a sum over D.
                torch.mul(grad[:, :, 0], seen[:, :, 0], out=sums[:, :, tap])
                for channel in range(1, grads.per_group):
                    sums[:, :, tap].addcmul_(grad[:, :, channel], seen[:, :, channel])
            sums.mul_(taps.sign_())  # the ReLU's gradient
            if not in_place:
                target.copy_(sums)
    return grad_x, grad_logits


def generated_involution(x: Tensor, hidden: Tensor, weight: Tensor, channels_per_group: int) -> Tensor:
    """The kernel generator's last convolution, and the involution with what it gives; on a CPU, channels last.

    The kernels of a map are three times as large as the map. They are generated for a few patches at a time, used while
    they are in the cache, and generated again in the backward pass.

    Args:
        x: (B, C, H, W).
        hidden: (B, M, H, W): the kernel generator's hidden map; for a bias, with a channel of ones.
        weight: (9 * G, M, 1, 1), tap by tap: row k * G + g gives tap k of group g.
        channels_per_group: D; channels from G * D on share the last group's kernel.

    Returns:
        (B, C, H, W), channels last, in hidden's dtype.
    """
    x = x.to(hidden.dtype).contiguous(memory_format=torch.channels_last)
    hidden = hidden.contiguous(memory_format=torch.channels_last)
    out: Tensor = _GeneratedInvolution.apply(x, hidden, weight.to(hidden.dtype), channels_per_group)  # type: ignore[no-untyped-call]
    return out


class _GeneratedInvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, hidden: Tensor, weight: Tensor, channels_per_group: int) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x, hidden, weight)
        ctx.channels_per_group = channels_per_group
        out = torch.empty_like(x)
        for chunk in _chunks(x, weight):
            logits = _generate(hidden[chunk], weight)
            involve(x[chunk], logits, channels_per_group, out=out[chunk])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, hidden, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        grad_hidden = torch.empty_like(hidden)
        # The sum over chunks is taken in float32 at least.
        grad_weight = torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
        for chunk in _chunks(x, weight):
            logits = _generate(hidden[chunk], weight)
            here = None if grad_x is None else grad_x[chunk]
            grad_logits = involve_backward(x[chunk], logits, grad[chunk], ctx.channels_per_group, grad_x=here)
            for_hidden, for_weight, _ = torch.ops.aten.convolution_backward(
                _rows(grad_logits),
                _rows(hidden[chunk]),
                weight,
                None,
                stride=[1, 1],
                padding=[0, 0],
                dilation=[1, 1],
                transposed=False,
                output_padding=[0, 0],
                groups=1,
                output_mask=[True, bool(ctx.needs_input_grad[2]), False],
            )
            _rows(grad_hidden[chunk]).copy_(for_hidden)
            if for_weight is not None:
                grad_weight += for_weight
        return grad_x, grad_hidden, grad_weight.to(weight.dtype), None


def _generate(hidden: Tensor, weight: Tensor) -> Tensor:
    batch, _, height, width = hidden.shape
    # In the tensors' own dtype, regardless of autocast around the backward pass.
    with torch.autocast(hidden.device.type, enabled=False):
        logits = F.conv2d(_rows(hidden), weight)
    return logits.permute(0, 2, 3, 1).view(batch, height, width, -1).permute(0, 3, 1, 2)


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W), channels last, as (B * H, C, 1, W): with fewer than 16 maps torch takes a slower convolution."""
    batch, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).view(batch * height, 1, width, channels).permute(0, 3, 1, 2)


def _chunks(x: Tensor, weight: Tensor) -> list[slice]:
    """Slices of patches, sized so that the kernels of each are about _CHUNK_VALUES numbers."""
    patches = max(1, _CHUNK_VALUES // (weight.shape[0] * x.shape[2] * x.shape[3]))
    return [slice(start, start + patches) for start in range(0, x.shape[0], patches)]


def computed_in(x: Tensor) -> Tensor:
    """The map in the layout that is fastest on its device; under autocast, cast once for all layers.

    On a CPU that is channels last; on an H100 steps were 3 to 9 % faster without.
    """
    dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    layout = torch.channels_last if x.device.type == "cpu" else torch.contiguous_format
    return x.to(dtype, memory_format=layout)


class Involution(nn.Module):
    """3x3 involution, stride 1, zero padding 1, with G = max(1, C // 3) groups.

    The kernel generator is `Conv1x1(C -> C // 5, no bias) -> BN -> ReLU -> Conv1x1(-> 9 * G) -> ReLU`.
    Channel c uses group min(c // (C // G), G - 1): where C is not a multiple of 3, the last group also serves
    the remaining channels. Weights start Kaiming-normal (fan-out), the bias 0.
    Li et al., "Involution: Inverting the Inherence of Convolution", CVPR 2021.
    """

    def __init__(self, channels: int) -> None:
        """Build the layers.

        Args:
            channels: C, at least 1.

        Raises:
            InvalidInputError: channels is below 1.
        """
        super().__init__()
        if channels < 1:
            raise InvalidInputError(f"got channels={channels}; expected at least 1; pass the map's channel count")
        self.channels = channels
        self.groups = max(1, channels // 3)
        self.channels_per_group = channels // self.groups
        hidden = max(1, channels // 5)
        self.reduce = nn.Conv2d(channels, hidden, 1, bias=False)
        self.norm = BatchNorm2d(hidden)
        self.expand = nn.Conv2d(hidden, _TAPS * self.groups, 1)
        for convolution in (self.reduce, self.expand):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        assert self.expand.bias is not None
        nn.init.zeros_(self.expand.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Generate one kernel per pixel and group, and apply it.

        Args:
            x: (B, C, H, W); under autocast as :func:`computed_in` gives it.

        Returns:
            (B, C, H, W) in x's dtype.
        """
        return self._by_kernels(x) if x.device.type == "cpu" else self._by_planes(x)

    def _by_kernels(self, x: Tensor) -> Tensor:
        """The forward pass of a CPU."""
        weight, bias = self.expand.weight, self.expand.bias
        assert bias is not None
        # Tap by tap, so that a tap's kernels of all groups are contiguous. The bias becomes a channel of ones,
        # one of those that fill up to a multiple of _LANES: oneDNN is slower on other counts, and on a bias.
        ones = _LANES - self.reduce.out_channels % _LANES
        hidden = rectified_norm(self.reduce(x), self.norm, num_ones=ones)
        weight = F.pad(torch.cat((weight, bias[:, None, None, None]), dim=1), (0, 0, 0, 0, 0, ones - 1))
        weight = weight.view(self.groups, _TAPS, -1, 1, 1).transpose(0, 1).reshape(weight.shape)
        return generated_involution(x, hidden, weight, self.channels_per_group)

    def _by_planes(self, x: Tensor) -> Tensor:
        """The forward pass of any other device, with torch's operators only; it also runs on a CPU."""
        weight, bias = self.expand.weight, self.expand.bias
        assert bias is not None
        if self.groups * self.channels_per_group < self.channels:
            # The remaining channels: one more group that repeats the last.
            weight = torch.cat((weight, weight[-_TAPS:]))
            bias = torch.cat((bias, bias[-_TAPS:]))
        hidden = F.relu(self.norm(self.reduce(x)), inplace=True)
        if torch.compiler.is_compiling():
            return _fusible_involution(x, F.conv2d(hidden, weight, bias), self.channels_per_group)
        kernel_logits = F.conv2d(F.pad(hidden, (0, 1, 0, 1)), weight, bias)
        return flat_involution(x, kernel_logits, self.channels_per_group)
