"""The baseline every domain-generalization method is compared with: S2AMSnet's discriminator, plain cross-entropy.

Empirical risk minimization on the source alone (ERM; Gulrajani and Lopez-Paz, "In Search of Lost Domain
Generalization", ICLR 2021).
"""

from torch import Tensor, nn
from torch.nn import functional

from sceneshift.methods.method import DiscriminatorConfig
from sceneshift.methods.one_network import OneNetwork
from sceneshift.networks.discriminator import Discriminator


class CrossEntropyConfig(DiscriminatorConfig):
    """Settings of the plain discriminator; see :class:`MethodConfig` for what all methods share.

    Args:
        width: d, the discriminator's projection width.

    Raises:
        InvalidInputError: A value is out of range.
    """


class CrossEntropy(OneNetwork):
    """S2AMSnet's discriminator trained by cross-entropy on augmented source patches."""

    name = "cross_entropy"
    config_type = CrossEntropyConfig
    network_name = "discriminator"
    published_epochs = 400
    graph_safe = shardable = compilable = True

    @classmethod
    def build_classifier(cls, config: CrossEntropyConfig, *, bands: int, classes: int) -> nn.Module:
        """Build the discriminator."""
        return Discriminator(bands, classes, patch_size=config.patch_size, width=config.width)

    def losses(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The cross-entropy."""
        return {"ce": functional.cross_entropy(self.network(patches), labels)}
