"""The baseline every domain-generalization method is held against: S2AMSnet's discriminator, plain cross-entropy.

Empirical risk minimization on the source alone (ERM; Gulrajani and Lopez-Paz, "In Search of Lost Domain
Generalization", ICLR 2021).

Shape letters: B batch, C bands, P patch size, K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sceneshift.methods.method import Method, MethodConfig
from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.shared_batch import part_of_mean


@dataclass(frozen=True, kw_only=True)
class CrossEntropyConfig(MethodConfig):
    """Settings of the plain discriminator; see :class:`MethodConfig` for what all methods share.

    Args:
        width: d, the discriminator's projection width.

    Raises:
        InvalidInputError: A value is out of range.
    """

    width: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.width >= 1, "width", "at least 1")


class CrossEntropy(Method):
    """S2AMSnet's discriminator trained by cross-entropy on augmented source patches."""

    name = "cross_entropy"
    config_type = CrossEntropyConfig
    published_epochs = 400
    config: CrossEntropyConfig

    @classmethod
    def build_classifier(cls, config: CrossEntropyConfig, *, bands: int, classes: int) -> nn.Module:
        """Build the discriminator."""
        return Discriminator(bands, classes, patch_size=config.patch_size, width=config.width)

    def build(self) -> None:
        """Build the discriminator and its Adam."""
        classifier = self.build_classifier(self.config, bands=self.bands, classes=self.classes)
        self.discriminator = classifier.to(self.device)
        self._optimizer = self._adam(self.discriminator)

    @property
    def classifier(self) -> nn.Module:
        """The discriminator."""
        return self.discriminator

    def modules(self) -> Mapping[str, nn.Module]:
        """The discriminator."""
        return {"discriminator": self.discriminator}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Its Adam."""
        return {"discriminator": self._optimizer}

    def step(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One step on the cross-entropy of a batch."""
        self.discriminator.train()
        loss = part_of_mean(functional.cross_entropy(self.discriminator(patches), labels))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._sum_gradients(self.discriminator)
        self._optimizer.step()
        return {"ce": loss.detach()}
