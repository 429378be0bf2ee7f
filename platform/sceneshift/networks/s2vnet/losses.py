"""Loss terms of S2VNet other than the cross-entropy.

Shape letters: N pixels, C bands, R endmembers, z latent dimensions, B batch.

Computed in float32 or wider, also under autocast: the angle between similar spectra is lost in bfloat16. In a shared
batch (:mod:`sceneshift.networks.shared_batch`) each is the mean over this worker's pixels or patches.
"""

import torch
from torch import Tensor

#: How near a cosine may come to 1 before its angle has no usable gradient.
_EDGE = 1e-6

_SMALLEST_NORM = 1e-8


def spectral_angle(one: Tensor, other: Tensor) -> Tensor:
    """Angle between spectra, mean over pixels (SAD, the spectral angle distance).

    Args:
        one: (N, C).
        other: (N, C).

    Returns:
        Scalar in radians, 0 to pi. A spectrum of zeros is at a right angle to all others.
    """
    one, other = _wide(one), _wide(other)
    norms = one.norm(dim=1).clamp_min(_SMALLEST_NORM) * other.norm(dim=1).clamp_min(_SMALLEST_NORM)
    cosine = (one * other).sum(dim=1) / norms
    return torch.acos(cosine.clamp(-1 + _EDGE, 1 - _EDGE)).mean()


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """`KL(N(mean, variance) || N(0, I))`, summed over latent dimensions, mean over rows.

    The authors' release sums over rows and divides by the batch size, so that the meaning of its weight changes with
    batch size and band count.

    Args:
        mean: (2C, z).
        log_variance: (2C, z).

    Returns:
        Scalar, at least 0.
    """
    mean, log_variance = _wide(mean), _wide(log_variance)
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1).mean()


def band_variation(perturbation: Tensor) -> Tensor:
    """Total variation along bands, `mean |delta[i + 1] - delta[i]|`, for each layer separately.

    Args:
        perturbation: (2C, R), two layers of C bands.

    Returns:
        Scalar, at least 0.
    """
    layers = torch.stack(_wide(perturbation).chunk(2))
    return (layers[:, 1:] - layers[:, :-1]).abs().mean()


def spatial_variation(maps: Tensor) -> Tensor:
    """Squared differences of neighbours along both axes, over `2 B H W`.

    Args:
        maps: (B, R, H, W).

    Returns:
        Scalar, at least 0.
    """
    maps = _wide(maps)
    batch, _, height, width = maps.shape
    down, across = maps.diff(dim=2).square().sum(), maps.diff(dim=3).square().sum()
    return (down + across) / (2 * batch * height * width)


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype.itemsize < torch.float32.itemsize else values
