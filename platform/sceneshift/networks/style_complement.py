"""L2D's style-complement module, which gives patches another style, and its estimate of what they still share.

Wang, Luo, Qiu, Huang, Baktashmotlagh, "Learning to Diversify for Single Domain Generalization", ICCV 2021, arXiv
2108.11726, sections 3.2 and 3.3, from memory of the paper.

Shape letters: B batch, C bands, P patch size, T transformations, d features.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Sides of the transformations' kernels in pixels and in bands.
_KERNELS = ((1, 3), (3, 5), (5, 7))

#: Standard deviation of the initial styles around gain 1 and offset 0.
_STYLE_STD = 0.1

_TINY = 1e-12


class StyleTransformation(nn.Module):
    """A convolution, a learned gain and offset at each place, and a transposed convolution back to the patch's size.

    One kernel slides over rows, columns and bands, as in :class:`sceneshift.methods.augmentations.RandomConvolution`;
    the paper's kernels mix the three channels of an image, which of a spectrum would keep no shape.

    Args:
        bands: C.
        patch_size: P.
        pixels: Side of the kernel in rows and columns.
        length: Side of the kernel along bands; at most C is used.
    """

    def __init__(self, bands: int, *, patch_size: int, pixels: int, length: int) -> None:
        super().__init__()
        length = min(length, bands)
        kernel = (length, pixels, pixels)
        places = (bands - length + 1, patch_size - pixels + 1, patch_size - pixels + 1)
        self.down = nn.Conv3d(1, 1, kernel)
        self.gain = nn.Parameter(1 + _STYLE_STD * torch.randn(places))
        self.offset = nn.Parameter(_STYLE_STD * torch.randn(places))
        # A transposed convolution of stride 1 is a convolution of the map among zeros, which is faster on a CPU.
        self.up = nn.Conv3d(1, 1, kernel, padding=(length - 1, pixels - 1, pixels - 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, P, P) to the same shape, scaled to the root mean square of x."""
        h = self.up(self.gain * self.down(x[:, None]) + self.offset)[:, 0]
        out: Tensor = h * (_rms(x) / _rms(h).clamp_min(_TINY))
        return out


class StyleComplement(nn.Module):
    """Several transformations, averaged with random weights.

    The paper divides by the sum of normal weights, which may be near zero, and bounds each image by tanh. Here weights
    are positive and sum to 1, and each transformation keeps the batch's root mean square.

    Args:
        bands: C.
        patch_size: P, at least 5.
    """

    def __init__(self, bands: int, *, patch_size: int) -> None:
        super().__init__()
        self.transformations = nn.ModuleList(
            StyleTransformation(bands, patch_size=patch_size, pixels=pixels, length=length)
            for pixels, length in _KERNELS
        )

    @property
    def num_weights(self) -> int:
        """T."""
        return len(self.transformations)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Give patches another style.

        Args:
            x: (B, C, P, P).
            weights: (T,) non-negative, not all zero; divided by their sum.

        Returns:
            (B, C, P, P).
        """
        shares = (weights / weights.sum()).to(x.dtype)
        transformed = torch.stack([transform(x) for transform in self.transformations])
        return torch.einsum("t,tbcpq->bcpq", shares, transformed)


class FeaturePredictor(nn.Module):
    """q(z' | z): a normal distribution of a changed patch's features, given the patch's; variances are independent.

    Its log-likelihood bounds from above what two patches share (vCLUB: Cheng et al., ICML 2020).

    Args:
        width: d.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, 2 * width))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, d) to mean and logarithm of the variance, each (B, d), the latter between -1 and 1."""
        mean, log_variance = self.layers(z).chunk(2, dim=1)
        return mean, log_variance.tanh()

    def negative_log_likelihood(self, z: Tensor, changed: Tensor) -> Tensor:
        """`-log q(z' | z)` without its constant, mean over the batch.

        Args:
            z: (B, d).
            changed: (B, d), z'.
        """
        mean, log_variance = self(z)
        loss: Tensor = 0.5 * ((changed - mean).square() / log_variance.exp() + log_variance).sum(dim=1).mean()
        return loss

    def shared_information(self, z: Tensor, changed: Tensor) -> Tensor:
        """vCLUB: mean of `log q(z'_i | z_i)` minus its mean over all z'_j of the batch.

        Args:
            z: (B, d).
            changed: (B, d), z'.
        """
        mean, log_variance = self(z)
        # Of all j only the first two moments enter.
        others = changed.square().mean(dim=0) - 2 * mean * changed.mean(dim=0) + mean.square()
        bound: Tensor = (0.5 * (others - (changed - mean).square()) / log_variance.exp()).sum(dim=1).mean()
        return bound


def class_distance(z: Tensor, changed: Tensor, labels: Tensor, *, classes: int) -> Tensor:
    """Squared distance between the class means of two batches of features, mean over the classes that occur.

    The class-conditional maximum mean discrepancy with a linear kernel.

    Args:
        z: (B, d).
        changed: (B, d).
        labels: (B,) class indices 0..K-1, of both.
        classes: K.
    """
    members = functional.one_hot(labels, classes).to(z.dtype)
    counts = members.sum(dim=0)
    differences = members.T @ (z - changed) / counts.clamp_min(1)[:, None]
    return differences.square().sum() / (counts > 0).sum()


def _rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()
