"""Batch norm in eval mode and branch weights folded into the filters before them.

Shape letters: C channels of a block's input, d of its output, M of the kernel generator's hidden map.
"""

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from sceneshift.networks.discriminator import DiscriminatorBlock

Filter: TypeAlias = tuple[Tensor, Tensor]  # weight, bias


class FoldedBlock(NamedTuple):
    """A discriminator block with batch norm and branch weights folded in.

    Attributes:
        reduce: (M, C, 1, 1), the kernel generator's first layer.
        expand: (C, M, 1, 1) per tap, its second: a kernel value for every channel.
        spectral: (d, C, 1, 1).
        spatial: (3 * d, C, 3, 1), the 3x3 kernel's columns below each other.
    """

    reduce: Filter
    expand: tuple[Filter, ...]
    spectral: Filter
    spatial: Filter


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d, scale: Tensor | float = 1.0) -> Filter:
    """A convolution without bias, its batch norm in eval mode and a positive factor, as one filter."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = norm.bias - norm.running_mean * factor
    return convolution.weight * (scale * factor)[:, None, None, None], scale * bias


def fold_block(block: DiscriminatorBlock, blend: Tensor, dtype: torch.dtype) -> FoldedBlock:
    """A block's filters; `blend` is its two branch weights, which ReLU lets through because they are positive."""
    involution = block.involution
    channels = torch.arange(involution.channels, device=blend.device)
    groups = (channels // involution.channels_per_group).clamp_max(involution.groups - 1)
    assert involution.expand.bias is not None
    weight, bias = _fold(block.spatial, block.spatial_norm, blend[1])
    no_bias = torch.zeros_like(bias)
    filters = (
        _fold(involution.reduce, involution.norm),
        _fold(block.spectral, block.spectral_norm, blend[0]),
        # Columns of the 3x3 kernel below each other; the middle one, which every place has, has the bias.
        (torch.cat(weight.split(1, dim=3)), torch.cat((no_bias, bias, no_bias))),
        *((involution.expand.weight[9 * groups + tap], involution.expand.bias[9 * groups + tap]) for tap in range(9)),
    )
    reduce, spectral, spatial, *expand = ((own(weight, dtype), own(bias, dtype)) for weight, bias in filters)
    return FoldedBlock(reduce, tuple(expand), spectral, spatial)


def own(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy that training does not change, in the layout in which convolutions are fastest."""
    layout = torch.channels_last if parameter.ndim == 4 else torch.contiguous_format
    return parameter.detach().to(dtype, copy=True).contiguous(memory_format=layout)
