"""SDEnet's generator of an extended domain: encoders with randomized statistics and morphology, and a decoder.

Zhang, Li, Sun, Tao, Du, "Single-Source Domain Expansion Network for Cross-Scene Hyperspectral Image Classification",
IEEE Transactions on Image Processing 32 (2023), pp. 1498-1512, arXiv 2209.01634, section III, from memory of the paper.

Shape letters: B batch, C bands, P patch size, F feature channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sceneshift.networks.feature_statistics import FeatureStatistics, restyle

_SIDE = 3


class Morphology(nn.Module):
    """Dilation and erosion of each channel, each by a learned 3x3 structuring element.

    Dilation is the maximum of `h + element` over a pixel's neighbours, erosion the minimum of `h - element`. A patch's
    edge is repeated outwards.

    Args:
        channels: F.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dilation, self.erosion = (nn.Parameter(torch.zeros(channels, _SIDE**2)) for _ in range(2))

    def forward(self, h: Tensor) -> Tensor:
        """(B, F, P, P) to (B, 2 F, P, P)."""
        padded = functional.pad(h, (_SIDE // 2,) * 4, mode="replicate")
        neighbours = padded.unfold(2, _SIDE, 1).unfold(3, _SIDE, 1).flatten(-2)  # (B, F, P, P, 9)
        dilated = (neighbours + self.dilation[:, None, None]).amax(dim=-1)
        eroded = (neighbours - self.erosion[:, None, None]).amin(dim=-1)
        return torch.cat([dilated, eroded], dim=1)


class DomainExpansion(nn.Module):
    """From source patches to patches of an extended domain.

    A semantic encoder has a spatial branch (3x3 convolution), whose statistics over pixels are blended with those of
    another patch, and a spectral branch (1x1 convolution), whose statistics over channels are; a share learned for each
    says how much is kept. A morph encoder adds dilations and erosions, which domains share. A decoder makes patches of
    the three.

    Args:
        bands: C.
        channels: F.
    """

    def __init__(self, bands: int, *, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(bands, channels, _SIDE, padding=1)
        self.spectral = nn.Conv2d(bands, channels, 1)
        self.kept = nn.Parameter(torch.zeros(2))
        self.reduce = nn.Conv2d(bands, channels, 1)
        self.morphology = Morphology(channels)
        self.morph = nn.Conv2d(2 * channels, channels, 1)
        self.decoder = nn.Sequential(
            nn.Conv2d(3 * channels, channels, 1), nn.LeakyReLU(0.01), nn.Conv2d(channels, bands, _SIDE, padding=1)
        )

    def forward(self, x: Tensor, partners: Tensor) -> Tensor:
        """Generate one patch of the extended domain for each source patch.

        Args:
            x: (B, C, P, P).
            partners: (2, B) the row whose statistics are blended in, for the spatial and for the spectral branch.

        Returns:
            (B, C, P, P).
        """
        kept = self.kept.sigmoid()
        spatial, spectral = self.spatial(x), self.spectral(x)
        spatial = _blended(spatial, FeatureStatistics.over_pixels(spatial), partners[0], kept[0])
        spectral = _blended(spectral, FeatureStatistics.over_channels(spectral), partners[1], kept[1])
        morph = self.morph(self.morphology(self.reduce(x)))
        out: Tensor = self.decoder(functional.leaky_relu(torch.cat([spatial, spectral, morph], dim=1), 0.01))
        return out


def _blended(h: Tensor, own: FeatureStatistics, partners: Tensor, kept: Tensor) -> Tensor:
    return restyle(h, own, own.mixed(own.taken(partners), kept))
