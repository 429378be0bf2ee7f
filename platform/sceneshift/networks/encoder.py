"""Encoder E of the multiscale mutual-information regularizer (MMIRN): features of a patch at five depths.

Shape letters: B batch, C bands, P patch, H and W height and width of a map, n_l features at depth l.
"""

from functools import cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sceneshift.errors import InvalidInputError
from sceneshift.networks.cpu_kernels.stem import STEM_CHANNELS, spread_taps, sum_taps
from sceneshift.networks.involution import computed_in

_MIN_PATCH = 5
_PAD = 3
_WIDTHS = (STEM_CHANNELS, 16, 32)
_NUM_RESIDUAL = 5
#: Bands from which the stem is faster tap by tap: at 48 bands it takes 1.5 times as long, at 200 bands 0.6 times.
_TAPS_FROM_BANDS = 100


class BlurPool(nn.Module):
    """Anti-aliased halving: reflect pad 1, then the fixed filter [1,2,1] x [1,2,1] / 16 per channel, stride 2.

    Part of MMIRN (Chen et al., TGRS 2024).
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", torch.outer(row, row), persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, channels, ceil(H / 2), ceil(W / 2)); H and W at least 2."""
        padded = F.pad(h, (1, 1, 1, 1), mode="reflect")
        if h.device.type == "cpu":
            # [1, 2, 1] / 4 is a mean of two followed by a mean of two: several times faster than the convolution.
            return F.avg_pool2d(F.avg_pool2d(padded, 2, stride=1), 2)
        kernel = self.kernel.to(h.dtype).expand(h.shape[1], 1, 3, 3)
        return F.conv2d(padded, kernel, stride=2, groups=h.shape[1])


class ResidualBlock(nn.Module):
    """`h + IN(Conv3x3(ReLU(IN(Conv3x3(h)))))`, each convolution reflect-padded by 1.

    Part of MMIRN (Chen et al., TGRS 2024).
    """

    def __init__(self, channels: int) -> None:
        """Build the layers.

        Args:
            channels: channels of the map, in and out.
        """
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, h: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape; H and W at least 2."""
        out: Tensor = h + self.body(h)
        return out


class ContentEncoder(nn.Module):
    """A small convolutional encoder read at five depths, trained jointly with the generators.

    Every norm is an InstanceNorm without parameters, so a patch's features depend only on that patch.
    The encoder of MMIRN (Chen et al., TGRS 2024).
    """

    def __init__(self, bands: int) -> None:
        """Build the layers.

        Args:
            bands: C, at least 1.

        Raises:
            InvalidInputError: bands is below 1.
        """
        super().__init__()
        if bands < 1:
            raise InvalidInputError(f"got bands={bands}; expected at least 1; pass the scene's number of bands")
        self.bands = bands
        self.pad = nn.ReflectionPad2d(_PAD)
        self.stem = nn.Conv2d(bands, _WIDTHS[0], 2 * _PAD + 1)
        self.stages = nn.ModuleList(nn.Conv2d(narrow, wide, 3, padding=1) for narrow, wide in pairwise(_WIDTHS))
        self.pools = nn.ModuleList(BlurPool() for _ in _WIDTHS[1:])
        self.residuals = nn.ModuleList(ResidualBlock(_WIDTHS[-1]) for _ in range(_NUM_RESIDUAL))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Read the features of each patch at five depths.

        Args:
            x: (B, C, P, P), P at least 5.

        Returns:
            Five tensors (B, n_l), flattened per patch: the reflect-padded input, the output of each of the two
            stage convolutions before its norm, the output of residual block 1 and that of residual block 5.
            The first replaces the padded input and has the same inner products, which are all that InfoNCE uses: each
            pixel of x is multiplied by the square root of how often padding repeats it. At patch size 7 it is a third
            as long.

        Raises:
            InvalidInputError: x has another number of bands, or patches below 5.
        """
        if x.ndim != 4 or x.shape[1] != self.bands:
            raise InvalidInputError(
                f"got x of shape {tuple(x.shape)}; expected (B, {self.bands}, P, P); "
                f"build ContentEncoder(bands=...) with the scene's number of bands"
            )
        if min(x.shape[2:]) < _MIN_PATCH:
            raise InvalidInputError(
                f"got patches of {x.shape[2]} x {x.shape[3]}; expected at least {_MIN_PATCH} x {_MIN_PATCH}, "
                f"below which reflect padding has nothing to reflect; use patch_size={_MIN_PATCH} or more"
            )
        features = [x * _padding_weights(*x.shape[2:], x.device).sqrt().to(x.dtype)]
        h = F.relu(F.instance_norm(self._stem(computed_in(x))))
        for stage, pool in zip(self.stages, self.pools, strict=True):
            h = stage(h)
            features.append(h)
            h = pool(F.relu(F.instance_norm(h)))
        for index, residual in enumerate(self.residuals):
            h = residual(h)
            if index in (0, _NUM_RESIDUAL - 1):
                features.append(h)
        return [feature.flatten(1) for feature in features]

    def _stem(self, x: Tensor) -> Tensor:
        """The 7x7 convolution of the reflect-padded input: (B, C, P, P) to (B, 8, P, P)."""
        if x.device.type != "cpu" or self.bands < _TAPS_FROM_BANDS:
            out: Tensor = self.stem(self.pad(x))
            return out
        # A convolution with 8 output channels leaves most of a CPU's vectors empty. As one 1x1 convolution, to 8
        # channels per tap, it fills them, on the unpadded map; the taps are then summed from where padding reads them.
        weight = self.stem.weight.permute(2, 3, 0, 1).reshape(-1, x.shape[1], 1, 1)
        taps = F.conv2d(x, weight)
        reads = _reflected_reads(*x.shape[2:])
        summed: Tensor = _SummedTaps.apply(taps, reads)  # type: ignore[no-untyped-call]
        assert self.stem.bias is not None
        return summed + self.stem.bias.to(summed.dtype)[:, None, None]


class _SummedTaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, taps: Tensor, reads: Tensor) -> Tensor:  # noqa: ANN401
        ctx.reads = reads  # a constant; autograd would not save it if it was made in inference mode
        return sum_taps(taps.contiguous(memory_format=torch.channels_last), reads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return spread_taps(grad.contiguous(memory_format=torch.channels_last), ctx.reads), None


@cache
def _reflected_reads(height: int, width: int) -> Tensor:
    """(H * W, 49): the flat place that each tap of a 7x7 convolution reads at each place of a reflect-padded map."""
    places = torch.arange(height * width, dtype=torch.float64).view(1, height, width)
    padded = F.pad(places, (_PAD,) * 4, mode="reflect")[None]
    return F.unfold(padded, 2 * _PAD + 1)[0].T.long().contiguous()


@cache
def _padding_weights(height: int, width: int, device: torch.device) -> Tensor:
    """(H, W): how often reflect padding shows each pixel of a map."""
    rows, columns = (
        F.pad(torch.arange(side, dtype=torch.float64)[None], (_PAD, _PAD), mode="reflect")[0].long().bincount()
        for side in (height, width)
    )
    return torch.outer(rows, columns).double().to(device)
