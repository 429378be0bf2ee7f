"""How an endmember's spectrum varies: a small variational autoencoder over the rows of the endmember matrix.

Shape letters: C bands, R endmembers, z latent dimensions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sceneshift.networks.s2vnet.unmixing import EDGE

_DECODER_WIDTH = 96

#: Initial spread around the identity (scaling) and around zero (perturbation).
_START = 1e-3


@dataclass(frozen=True, kw_only=True)
class Variation:
    """Adjusted endmembers and what they were made from.

    Args:
        endmembers: (2C, R), E', values in (0, 1).
        perturbation: (2C, R), delta.
        mean: (2C, z), of the latent variables.
        log_variance: (2C, z).
    """

    endmembers: Tensor
    perturbation: Tensor
    mean: Tensor
    log_variance: Tensor


class EndmemberVariability(nn.Module):
    """Scales and shifts endmembers band by band: `E' = sigmoid(S logit(E) + delta)`.

    Each of the 2C rows of E is a sample of the autoencoder, whose decoder gives the row's R x R scaling matrix S >= 0;
    delta comes from its own layer (Han et al., TGRS 2025). S starts near the identity and delta near zero, so E'
    starts at E. The authors' release has `sigmoid(S E + delta)` with S, E and delta all at least 0, which can't fall
    below one half; ``released`` builds that form.

    Its batch norms see the endmembers, which are equal on all workers of a shared batch: they need not account for it.
    """

    def __init__(self, num_endmembers: int, *, z_dim: int = 4, released: bool = False) -> None:
        """Build the layers.

        Args:
            num_endmembers: R.
            z_dim: z.
            released: the release's form.
        """
        super().__init__()
        self.num_endmembers = num_endmembers
        self.z_dim = z_dim
        self.released = released
        self.shared = nn.Sequential(
            nn.Linear(num_endmembers, num_endmembers), nn.BatchNorm1d(num_endmembers), nn.ReLU()
        )
        self.mean = nn.Linear(num_endmembers, z_dim)
        self.log_variance = nn.Linear(num_endmembers, z_dim)
        self.decoder = nn.Sequential(nn.Linear(z_dim, _DECODER_WIDTH), nn.BatchNorm1d(_DECODER_WIDTH), nn.ReLU())
        self.scaling = nn.Linear(_DECODER_WIDTH, num_endmembers**2)
        self.perturbation = nn.Sequential(nn.Linear(num_endmembers, num_endmembers), nn.BatchNorm1d(num_endmembers))
        if not released:
            with torch.no_grad():
                self.scaling.weight.mul_(_START)
                self.scaling.bias.copy_(torch.eye(num_endmembers).flatten())
                norm = self.perturbation[1]
                assert isinstance(norm, nn.BatchNorm1d)
                norm.weight.fill_(_START)

    def forward(self, endmembers: Tensor, noise: Tensor | None = None) -> Variation:
        """Adjust endmembers.

        Args:
            endmembers: (2C, R), E, values in (0, 1).
            noise: (2C, z) standard normal, for the reparameterization; None takes the mean.
        """
        hidden = self.shared(endmembers)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean if noise is None else mean + noise * torch.exp(0.5 * log_variance)
        scaling = torch.relu(self.scaling(self.decoder(z))).view(-1, self.num_endmembers, self.num_endmembers)
        perturbation = self.perturbation(endmembers)
        if self.released:
            perturbation = torch.relu(perturbation)
            scaled = endmembers
        else:
            scaled = torch.logit(endmembers, eps=EDGE)
        moved = torch.bmm(scaling, scaled[:, :, None]).squeeze(2) + perturbation
        return Variation(
            endmembers=torch.sigmoid(moved), perturbation=perturbation, mean=mean, log_variance=log_variance
        )
