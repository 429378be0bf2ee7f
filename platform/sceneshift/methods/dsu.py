"""DSU: the plain discriminator, between whose blocks feature statistics are drawn from a normal distribution.

Li, Dai, Ge, Liu, Shan, Duan, "Uncertainty Modeling for Out-of-Distribution Generalization", ICLR 2022, arXiv
2202.03958. Written from memory of the paper: section 3.2 estimates the uncertainty of a patch's mean and standard
deviation by how these scatter over the batch (equations 4 and 5), draws new ones around the patch's own, beta = mu +
eps * Sigma_mu and gamma = sigma + eps * Sigma_sigma with eps ~ N(0, 1) per patch and channel (equations 6 and 7), and
gives the patch these (equation 8), with probability 0.5 at each place. In the paper's residual networks there are six
places; here there are two, after the first and after the second of the discriminator's three blocks, in training alone.

Shape letters: B batch, C bands, P patch size, K classes, d projection width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig
from sceneshift.networks.feature_statistics import FeatureStatistics, restyle


@dataclass(frozen=True, kw_only=True)
class DSUConfig(CrossEntropyConfig):
    """Settings of DSU; see :class:`MethodConfig` for what all methods share.

    Args:
        width: d, the discriminator's projection width.
        probability: Of new statistics, at each of the two places in each step.
        uncertainty: Factor of the scatter over the batch; the paper's is 1, and 0 leaves statistics as they are.

    Raises:
        InvalidInputError: A value is out of range.
    """

    probability: float = 0.5
    uncertainty: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(0 <= self.probability <= 1, "probability", "a probability, 0 to 1")
        self._require(self.uncertainty >= 0, "uncertainty", "zero or a positive number")


class DSU(CrossEntropy):
    """The discriminator trained by cross-entropy, with uncertain feature statistics between its blocks."""

    name = "dsu"
    config_type = DSUConfig
    graph_safe = shardable = compilable = False
    config: DSUConfig

    def losses(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The cross-entropy."""
        return {"ce": functional.cross_entropy(self.network(patches, self.uncertain), labels)}

    def uncertain(self, h: Tensor) -> Tensor:
        """Draw new statistics for each patch of a map (B, d, P, P), or leave all as they are."""
        chosen = torch.rand((), generator=self.generator, device=self.device) < self.config.probability
        own = FeatureStatistics.over_pixels(h)
        return torch.where(chosen, restyle(h, own, FeatureStatistics(self._drawn(own.mean), self._drawn(own.std))), h)

    def _drawn(self, values: Tensor) -> Tensor:
        """(B, d, 1, 1) a normal draw around each value, as wide as the values scatter over the batch."""
        noise = torch.randn(values.shape, generator=self.generator, device=self.device).to(values.dtype)
        scatter = values.std(dim=0, correction=0, keepdim=True)
        return values + self.config.uncertainty * noise * scatter
