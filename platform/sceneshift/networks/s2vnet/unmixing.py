"""The unmixing autoencoder: the share of each endmember in a pixel, and the spectrum they make together.

Everything here works on single pixels, so it takes spectra as rows: the pixels of patches, or of a whole scene.

Shape letters: N pixels, C bands, R endmembers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.networks.batch_norm import BatchNorm1d

#: Endmember values keep this distance from 0 and 1, where their logit is infinite.
EDGE = 1e-6

#: Added to every score's magnitude: a sum of magnitudes is never 0, nor so small that its gradient overflows.
_SMALLEST_MAGNITUDE = 1e-12


class AbundanceEncoder(nn.Module):
    """Three layers per pixel, C to C // 2 to C // 4 to R, batch norm and ReLU between them (Han et al., TGRS 2025)."""

    def __init__(self, bands: int, num_endmembers: int) -> None:
        """Build the layers.

        Args:
            bands: C, 4 or more.
            num_endmembers: R.

        Raises:
            InvalidInputError: there are too few bands.
        """
        super().__init__()
        if bands < 4:
            raise InvalidInputError(f"{bands} bands; unmixing by S2VNet needs at least 4.")
        self.layers = nn.Sequential(
            nn.Linear(bands, bands // 2),
            BatchNorm1d(bands // 2),
            nn.ReLU(),
            nn.Linear(bands // 2, bands // 4),
            BatchNorm1d(bands // 4),
            nn.ReLU(),
            nn.Linear(bands // 4, num_endmembers),
        )

    def forward(self, spectra: Tensor) -> Tensor:
        """Raw scores, signed and unconstrained: (N, C) to (N, R)."""
        scores: Tensor = self.layers(spectra)
        return scores


def constrain(scores: Tensor) -> Tensor:
    """Abundances `|a| / sum_r |a|`: non-negative, summing to one.

    Args:
        scores: (N, R).

    Returns:
        (N, R); equal shares where all scores are zero.
    """
    magnitudes = scores.abs() + _SMALLEST_MAGNITUDE
    return magnitudes / magnitudes.sum(dim=1, keepdim=True)


class MixingDecoder(nn.Module):
    """Spectra from abundances: `D = ReLU(E' a)` in two layers of C bands, summed, plus a nonlinear part of both.

    `x = outer(sigmoid(inner(D))) + D[:C] + D[C:]` (Han et al., TGRS 2025). The endmembers E' are an argument: they come
    from the variability part.
    """

    def __init__(self, bands: int, *, signed: bool = False, is_nonlinear: bool = True) -> None:
        """Build the nonlinear part.

        Args:
            bands: C.
            signed: the mixed shares may be negative, as the raw scores that the authors' release passes to its decoder.
            is_nonlinear: whether the nonlinear part is added.
        """
        super().__init__()
        self.inner = nn.Linear(2 * bands, bands)
        self.outer = nn.Linear(bands, bands)
        self.signed = signed
        self.is_nonlinear = is_nonlinear

    def forward(self, abundances: Tensor, endmembers: Tensor) -> Tensor:
        """Mix endmembers.

        Args:
            abundances: (N, R); non-negative unless the decoder is built for signed ones.
            endmembers: (2C, R), non-negative.

        Returns:
            (N, C).
        """
        if self.signed:
            layers = torch.relu(abundances @ endmembers.T)
            first, second = layers.chunk(2, dim=1)
            hidden, linear = self.inner(layers), first + second
        else:
            # Nothing is negative, so the ReLU changes nothing, and what follows it up to the sigmoid is linear: both
            # products are taken once with the endmembers instead of with every pixel's 2C numbers.
            first, second = endmembers.chunk(2)
            hidden = functional.linear(abundances, self.inner.weight @ endmembers, self.inner.bias)
            linear = abundances @ (first + second).T
        return self.outer(torch.sigmoid(hidden)) + linear if self.is_nonlinear else linear
