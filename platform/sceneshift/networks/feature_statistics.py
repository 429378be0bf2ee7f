"""Feature statistics of a map, its mean and standard deviation: what "style" is in several methods.

Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017, equation 8:
a map takes another style by being normalized with its own statistics and rescaled with others.

Shape letters: B batch, F channels, H and W height and width of a map.
"""

from typing import NamedTuple

import torch
from torch import Tensor

#: Added to variances, so that a constant channel can be divided by its standard deviation.
_EPS = 1e-6


class FeatureStatistics(NamedTuple):
    """Mean and standard deviation of each patch's map.

    Attributes:
        mean: (B, F, 1, 1), over pixels; (B, 1, H, W), over channels.
        std: Likewise, above 0.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def over_pixels(cls, h: Tensor) -> "FeatureStatistics":
        """The statistics of each channel of a map (B, F, H, W) over its pixels."""
        return cls._of(h, (2, 3))

    @classmethod
    def over_channels(cls, h: Tensor) -> "FeatureStatistics":
        """The statistics of each pixel of a map (B, F, H, W) over its channels."""
        return cls._of(h, (1,))

    @classmethod
    def _of(cls, h: Tensor, dim: tuple[int, ...]) -> "FeatureStatistics":
        variance, mean = torch.var_mean(h, dim=dim, correction=0, keepdim=True)
        return cls(mean, (variance + _EPS).sqrt())

    def taken(self, rows: Tensor) -> "FeatureStatistics":
        """Those of other patches of the batch: (B,) the row that each patch takes its statistics from."""
        return FeatureStatistics(self.mean[rows], self.std[rows])

    def detached(self) -> "FeatureStatistics":
        """The same numbers, without their gradient."""
        return FeatureStatistics(self.mean.detach(), self.std.detach())

    def mixed(self, other: "FeatureStatistics", weight: Tensor) -> "FeatureStatistics":
        """``weight * self + (1 - weight) * other``; the weight broadcasts to their shape."""
        return FeatureStatistics(
            torch.lerp(other.mean, self.mean, weight.to(self.mean.dtype)),
            torch.lerp(other.std, self.std, weight.to(self.std.dtype)),
        )


def restyle(h: Tensor, own: FeatureStatistics, new: FeatureStatistics) -> Tensor:
    """``new.std * (h - own.mean) / own.std + new.mean``; exactly h where both statistics are the same.

    Args:
        h: (B, F, H, W).
        own: Of h.
        new: Of the map that is returned.

    Returns:
        (B, F, H, W).
    """
    scale = new.std / own.std
    return scale * h + (new.mean - scale * own.mean)
