"""The taps of a convolution of few output channels, added up from where each reads."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sceneshift.networks.cpu_kernels.compiled import compiled, narrow, widen
from sceneshift.networks.cpu_kernels.sharing import array_of, share, sum_dtype

#: Output channels of the convolution.
STEM_CHANNELS = 8


@compiled
def _sum_taps(taps: Any, out: Any, reads: Any, total: Any) -> None:  # noqa: ANN401
    for patch in range(taps.shape[0]):
        seen = taps[patch]
        for place in range(reads.shape[0]):
            total[:] = 0
            for tap in range(reads.shape[1]):
                read = reads[place, tap]
                for c in range(STEM_CHANNELS):  # a constant, so that LLVM makes one vector of them
                    total[c] += widen(seen[read, tap, c])
            for c in range(STEM_CHANNELS):
                out[patch, place, c] = narrow(total[c], out[patch, place, c])


@compiled
def _spread_taps(grad: Any, out: Any, reads: Any, sums: Any) -> None:  # noqa: ANN401
    for patch in range(grad.shape[0]):
        sums[:] = 0
        values = grad[patch]
        for place in range(reads.shape[0]):
            for tap in range(reads.shape[1]):
                read = reads[place, tap]
                for c in range(STEM_CHANNELS):
                    sums[read, tap, c] += widen(values[place, c])
        target = out[patch]
        for place in range(reads.shape[0]):
            for tap in range(reads.shape[1]):
                for c in range(STEM_CHANNELS):
                    target[place, tap, c] = narrow(sums[place, tap, c], target[place, tap, c])


def sum_taps(taps: Tensor, reads: Tensor) -> Tensor:
    """Add up what each tap of a convolution sees, from where it reads.

    Args:
        taps: (B, T * STEM_CHANNELS, H, W), channels last: each place as tap 0 weighs it, as tap 1 does, and so on.
        reads: (H * W, T) int64, the flat place that a tap reads for each place of the result.

    Returns:
        (B, STEM_CHANNELS, H, W), channels last.
    """
    batch, _, height, width = taps.shape
    out = torch.empty(batch, STEM_CHANNELS, height, width, dtype=taps.dtype, memory_format=torch.channels_last)
    seen = array_of(taps).reshape(batch, *reads.shape, STEM_CHANNELS)
    places = array_of(out).reshape(batch, -1, STEM_CHANNELS)
    share(_sum_taps, [seen, places], reads.numpy(), scratch=lambda: [np.empty(STEM_CHANNELS, sum_dtype(taps))])
    return out


def spread_taps(grad: Tensor, reads: Tensor) -> Tensor:
    """The gradient of :func:`sum_taps`: (B, T * STEM_CHANNELS, H, W), channels last."""
    batch, _, height, width = grad.shape
    channels = reads.shape[1] * STEM_CHANNELS
    out = torch.empty(batch, channels, height, width, dtype=grad.dtype, memory_format=torch.channels_last)
    places = array_of(grad).reshape(batch, -1, STEM_CHANNELS)
    target = array_of(out).reshape(batch, *reads.shape, STEM_CHANNELS)
    share(_spread_taps, [places, target], reads.numpy(), scratch=lambda: [np.empty(target.shape[1:], sum_dtype(grad))])
    return out
