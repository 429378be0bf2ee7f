"""Mixup: the plain discriminator, trained on convex combinations of two patches and of their losses.

Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv 1710.09412. Written from
memory of the paper: section 2 draws one weight lambda ~ Beta(alpha, alpha) for a batch and mixes the batch with a
permutation of itself; mixing one-hot labels gives the mixture of two cross-entropies that is computed here. On ImageNet
it recommends an alpha from 0.1 to 0.4. Mixed spectra are also the linear mixing model of hyperspectral pixels.

Shape letters: B batch, C bands, P patch size, K classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig
from sceneshift.methods.mixing_weights import MixingWeights


@dataclass(frozen=True, kw_only=True)
class MixupConfig(CrossEntropyConfig):
    """Settings of Mixup; see :class:`MethodConfig` for what all methods share.

    Args:
        width: d, the discriminator's projection width.
        alpha: Of Beta(alpha, alpha), from which the share of a batch's own patches is drawn; 0 mixes nothing.

    Raises:
        InvalidInputError: A value is out of range.
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.alpha >= 0, "alpha", "zero or a positive number")


class Mixup(CrossEntropy):
    """The discriminator trained by the mixed cross-entropy of mixed patches."""

    name = "mixup"
    config_type = MixupConfig
    graph_safe = shardable = compilable = False
    config: MixupConfig

    def build(self) -> None:
        """Build the discriminator, its Adam and the draws of lambda."""
        super().build()
        self._share = self.keep("mixing", MixingWeights(self.config.alpha, (), seed=self.seed, device=self.device))

    def draw_on_host(self) -> None:
        """Draw lambda."""
        self._share.draw()

    def losses(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The cross-entropy of both labels, each weighted by its patch's share."""
        share = self._share.values
        other = torch.randperm(len(patches), generator=self.generator, device=self.device)
        logits = self.network(torch.lerp(patches[other], patches, share.to(patches.dtype)))
        own_loss, other_loss = (functional.cross_entropy(logits, of_patch) for of_patch in (labels, labels[other]))
        return {"ce": share * own_loss + (1 - share) * other_loss}
