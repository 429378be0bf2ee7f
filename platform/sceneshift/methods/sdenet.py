"""SDEnet: the plain discriminator, trained on an extended domain that a generator makes of the source.

Zhang, Li, Sun, Tao, Du, "Single-Source Domain Expansion Network for Cross-Scene Hyperspectral Image Classification",
IEEE Transactions on Image Processing 32 (2023), pp. 1498-1512, arXiv 2209.01634. Written from the abstract and from
memory of the paper, section III: the discriminator classifies patches of the source and of the extended domain, and
draws each class together over the source, the extended domain and mixtures of the two (supervised contrast, on a
projection). The generator keeps the extended patches' classes and drives source and extended patches of a class apart.
The weights of the terms are from memory and uncertain. Here the discriminator is S2AMSnet's, as in every other method,
and the generator raises the same contrast that the discriminator lowers, over source and extended domain.

Shape letters: B batch, C bands, P patch size, K classes, d features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig
from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.domain_expansion import DomainExpansion
from sceneshift.networks.losses import supervised_contrast


@dataclass(frozen=True, kw_only=True)
class SDEnetConfig(CrossEntropyConfig):
    """Settings of SDEnet; see :class:`MethodConfig` for what all methods share.

    Args:
        width: d, the discriminator's projection width.
        generator_channels: Channels of the generator's encoders.
        projection: Length of the features that are contrasted.
        temperature: tau of the contrast.
        lambda_contrast: Weight of the contrast in the discriminator's step.
        lambda_adv: Weight of the contrast in the generator's step, which raises it.

    Raises:
        InvalidInputError: A value is out of range.
    """

    generator_channels: int = 24
    projection: int = 128
    temperature: float = 0.07
    lambda_contrast: float = 1.0
    lambda_adv: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("generator_channels", "projection"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        self._require(self.temperature > 0, "temperature", "a positive number")
        for name in ("lambda_contrast", "lambda_adv"):
            self._require(getattr(self, name) >= 0, name, "zero or a positive number")


class SDEnet(CrossEntropy):
    """The discriminator and the generator of the extended domain, one against the other."""

    name = "sdenet"
    config_type = SDEnetConfig
    graph_safe = shardable = compilable = False
    config: SDEnetConfig
    network: Discriminator

    def build(self) -> None:
        """Build the discriminator, its projection, the generator, and an Adam each."""
        super().build()
        self.projection = self.add("projection", nn.Linear(self.config.width, self.config.projection))
        self.generate = self.add("generator", DomainExpansion(self.bands, channels=self.config.generator_channels))

    def step(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One step of the discriminator, and one of the generator.

        Args:
            patches: (B, C, P, P).
            labels: (B,) class indices.

        Returns:
            ``min``, ``ce`` and ``contrast`` of the discriminator's step; ``max``, ``extended_ce`` and
            ``adversarial_contrast`` of the generator's.
        """
        for module in self.modules().values():
            module.train()
        extended = self.extended(patches)
        return self.min_step(patches, labels, extended.detach()) | self.max_step(patches, labels, extended)

    def min_step(self, patches: Tensor, labels: Tensor, extended: Tensor) -> dict[str, Tensor]:
        """Move the discriminator and its projection."""
        share = torch.rand(len(patches), 1, 1, 1, generator=self.generator, device=self.device).to(patches.dtype)
        domains = (patches, extended, torch.lerp(patches, extended, share))
        features = [self.network.embed(domain) for domain in domains]
        final = self.network.head[-1]
        loss = functional.cross_entropy(final(features[0]), labels) + functional.cross_entropy(
            final(features[1]), labels
        )
        contrast = self._contrast(features, labels)
        total = loss + self.config.lambda_contrast * contrast
        self._descend(total, self.network_name, "projection")
        return {"min": total.detach(), "ce": loss.detach(), "contrast": contrast.detach()}

    def max_step(self, patches: Tensor, labels: Tensor, extended: Tensor) -> dict[str, Tensor]:
        """Move the generator alone; the discriminator, which has just moved, is frozen."""
        with torch.no_grad():
            source = self.network.embed(patches)
        features = self.network.embed(extended)
        loss = functional.cross_entropy(self.network.head[-1](features), labels)
        contrast = self._contrast([source, features], labels)
        total = loss - self.config.lambda_adv * contrast
        self._descend(total, "generator", along=list(self.generate.parameters()))
        terms = {"max": total, "extended_ce": loss, "adversarial_contrast": contrast}
        return {name: term.detach() for name, term in terms.items()}

    def extended(self, patches: Tensor) -> Tensor:
        """Generate patches (B, C, P, P) of the extended domain; in float32 under autocast too."""
        partners = torch.stack(
            [torch.randperm(len(patches), generator=self.generator, device=self.device) for _ in range(2)]
        )
        with torch.autocast(self.device.type, enabled=False):
            extended: Tensor = self.generate(patches, partners)
        return extended

    def _contrast(self, features: list[Tensor], labels: Tensor) -> Tensor:
        """The contrast between classes over all domains' features (B, d)."""
        projected = self.projection(torch.cat(features))
        return supervised_contrast(projected, labels.repeat(len(features)), temperature=self.config.temperature)
