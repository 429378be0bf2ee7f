"""SagNet: the plain discriminator, kept from relying on feature statistics by a second head that does nothing else.

Nam, Lee, Park, Yoon, Yoo, "Reducing Domain Gap by Reducing Style Bias", CVPR 2021, arXiv 1910.11645. Written from
memory of the paper, section 3: a feature extractor feeds two networks. The content network classifies features whose
style (mean and standard deviation per channel) is blended with another patch's by a random share (style randomization).
The style network classifies, by the style's label, features that have a patch's style and another one's content
(content randomization). The extractor then learns, in a step of its own with weight lambda_adv = 0.1, features from
which the style network can tell no class: its output is pulled towards the uniform distribution. That step moves only
the weights and biases of the extractor's norms, which set the style.

Here the extractor is the discriminator's first two blocks, and the content network its third block and head; the style
network has the content network's layers. In the paper the extractor is the lower half of a residual network.

Shape letters: B batch, C bands, P patch size, K classes, d projection width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig
from sceneshift.networks.branches import max_pool
from sceneshift.networks.discriminator import NUM_BLOCKS, Discriminator
from sceneshift.networks.feature_statistics import FeatureStatistics, restyle
from sceneshift.networks.style_network import StyleNetwork

#: Blocks of the discriminator that extract the features.
_EXTRACTOR = NUM_BLOCKS - 1


@dataclass(frozen=True, kw_only=True)
class SagNetConfig(CrossEntropyConfig):
    """Settings of SagNet; see :class:`MethodConfig` for what all methods share.

    Args:
        width: d, the discriminator's projection width.
        lambda_adv: Weight of the extractor's step against the style network.

    Raises:
        InvalidInputError: A value is out of range.
    """

    lambda_adv: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.lambda_adv >= 0, "lambda_adv", "zero or a positive number")


class SagNet(CrossEntropy):
    """The discriminator, trained on randomized styles and against a style network."""

    name = "sagnet"
    config_type = SagNetConfig
    graph_safe = shardable = compilable = False
    config: SagNetConfig
    network: Discriminator

    def build(self) -> None:
        """Build the discriminator, the style network, and an Adam each."""
        super().build()
        style = StyleNetwork(self.config.width, self.classes, patch_size=self.config.patch_size)
        self.style = self.add("style", style)
        blocks = self.network.features.blocks[:_EXTRACTOR]
        norms = [module for module in blocks.modules() if isinstance(module, _BatchNorm)]
        self._affine = [parameter for norm in norms for parameter in norm.parameters()]

    def step(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One step each of the content path, of the style network, and of the extractor against the latter.

        Args:
            patches: (B, C, P, P).
            labels: (B,) class indices.

        Returns:
            ``ce`` of the content path, ``style_ce``, and ``adversarial``, the extractor's loss before its weight.
        """
        self.network.train()
        self.style.train()
        return self.content_step(patches, labels) | self.style_steps(patches, labels)

    def losses(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The cross-entropy of the content path, on randomized styles."""
        h = self._randomized_style(self._extracted(patches))
        logits = self.network.head(max_pool(self.network.features.run_blocks(h, first=_EXTRACTOR)))
        return {"ce": functional.cross_entropy(logits, labels)}

    def content_step(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Move the discriminator by the content path's cross-entropy."""
        return self._minimize(self.losses(patches, labels))

    def style_steps(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Move the style network, and then the extractor's norms against it."""
        h = self._randomized_content(self._extracted(patches))
        style_loss = functional.cross_entropy(self.style(h.detach()), labels)
        self._descend(style_loss, "style")
        # The cross-entropy between the uniform distribution and the style network's output.
        adversarial = -self.style(h).log_softmax(dim=1).mean()
        if self.config.lambda_adv > 0:
            # Along the norms alone: Adam leaves a parameter without a gradient as it is.
            self._descend(self.config.lambda_adv * adversarial, self.network_name, along=self._affine)
        return {"style_ce": style_loss.detach(), "adversarial": adversarial.detach()}

    def _extracted(self, patches: Tensor) -> Tensor:
        """(B, d, P, P) features."""
        return self.network.features.run_blocks(patches, end=_EXTRACTOR)

    def _randomized_style(self, h: Tensor) -> Tensor:
        """Blend each patch's style with that of another one."""
        own = FeatureStatistics.over_pixels(h)
        share = torch.rand(len(h), 1, 1, 1, generator=self.generator, device=self.device)
        return restyle(h, own, own.mixed(own.taken(self._others(h)), share))

    def _randomized_content(self, h: Tensor) -> Tensor:
        """Keep each patch's style, and take the content of another one."""
        own, others = FeatureStatistics.over_pixels(h), self._others(h)
        return restyle(h[others], own.taken(others), own)

    def _others(self, h: Tensor) -> Tensor:
        """(B,) a random permutation of the batch."""
        return torch.randperm(len(h), generator=self.generator, device=self.device)
