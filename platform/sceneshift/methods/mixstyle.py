"""MixStyle: the plain discriminator, between whose blocks patches take a mixture of two patches' feature statistics.

Zhou, Yang, Qiao, Xiang, "Domain Generalization with MixStyle", ICLR 2021, arXiv 2104.02008. Written from memory of the
paper: section 2.2 mixes mean and standard deviation of each patch with those of another one of the batch by a weight
lambda ~ Beta(alpha, alpha) per patch, alpha = 0.1, in half of the passes, after low blocks of a residual network, and
takes no gradient through the statistics. Partners are drawn from the whole batch ("without domain labels"). Here it
acts after the first and after the second of the discriminator's three blocks, in training alone.

Shape letters: B batch, C bands, P patch size, K classes, d projection width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig
from sceneshift.methods.mixing_weights import MixingWeights
from sceneshift.networks.discriminator import NUM_BLOCKS
from sceneshift.networks.feature_statistics import FeatureStatistics, restyle


@dataclass(frozen=True, kw_only=True)
class MixStyleConfig(CrossEntropyConfig):
    """Settings of MixStyle; see :class:`MethodConfig` for what all methods share.

    Args:
        width: d, the discriminator's projection width.
        alpha: Of Beta(alpha, alpha), from which the share of a patch's own statistics is drawn; 0 mixes nothing.
        probability: Of mixing, at each of the two places in each step.

    Raises:
        InvalidInputError: A value is out of range.
    """

    alpha: float = 0.1
    probability: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.alpha >= 0, "alpha", "zero or a positive number")
        self._require(0 <= self.probability <= 1, "probability", "a probability, 0 to 1")


class MixStyle(CrossEntropy):
    """The discriminator trained by cross-entropy, with mixed feature statistics between its blocks."""

    name = "mixstyle"
    config_type = MixStyleConfig
    graph_safe = shardable = compilable = False
    config: MixStyleConfig

    def build(self) -> None:
        """Build the discriminator, its Adam and the draws of the weights."""
        super().build()
        shape = (NUM_BLOCKS - 1, self.config.batch_size, 1, 1, 1)
        self._shares = self.keep("mixing", MixingWeights(self.config.alpha, shape, seed=self.seed, device=self.device))

    def draw_on_host(self) -> None:
        """Draw the weights of all patches at both places."""
        self._shares.draw()

    def losses(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The cross-entropy."""
        shares = iter(self._shares.values)
        logits = self.network(patches, lambda h: self.mixed(h, next(shares)[: len(h)]))
        return {"ce": functional.cross_entropy(logits, labels)}

    def mixed(self, h: Tensor, shares: Tensor) -> Tensor:
        """Mix the statistics of each patch with those of another, or leave all as they are.

        Args:
            h: (B, d, P, P).
            shares: (B, 1, 1, 1), the weights of the patches' own statistics.
        """
        chosen = torch.rand((), generator=self.generator, device=self.device) < self.config.probability
        other = torch.randperm(len(h), generator=self.generator, device=self.device)
        own = FeatureStatistics.over_pixels(h).detached()
        return torch.where(chosen, restyle(h, own, own.mixed(own.taken(other), shares)), h)
