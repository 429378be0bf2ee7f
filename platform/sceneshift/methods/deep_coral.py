"""Deep CORAL between sources: cross-entropy, and a penalty on how far the sources' features differ.

Sun and Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV 2016 workshops, arXiv 1607.01719,
align source and target; as a method of domain generalization (Gulrajani and Lopez-Paz, "In Search of Lost Domain
Generalization", ICLR 2021) the penalty is between each pair of sources. Written from memory of both: the distance is
the mean squared difference of the features' covariances, to which the latter adds that of their means.

Shape letters: B batch, C bands, P patch size, K classes, D sources of a pair, d features.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig
from sceneshift.methods.method import DomainBatch
from sceneshift.methods.one_network import NetworkOverDomains
from sceneshift.networks.discriminator import Discriminator


@dataclass(frozen=True, kw_only=True)
class DeepCoralConfig(CrossEntropyConfig):
    """Settings of Deep CORAL; see :class:`MethodConfig` for what all methods share.

    Args:
        width: d, the discriminator's projection width.
        lambda_coral: Weight of the distance between sources.

    Raises:
        InvalidInputError: A value is out of range.
    """

    lambda_coral: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.lambda_coral >= 0, "lambda_coral", "zero or a positive number")


class DeepCoral(NetworkOverDomains, CrossEntropy):
    """The discriminator trained by cross-entropy, with like features of all sources."""

    name = "deep_coral"
    config_type = DeepCoralConfig
    graph_safe = shardable = compilable = False
    least_sources = 2
    config: DeepCoralConfig
    network: Discriminator

    def domain_losses(self, domains: Sequence[DomainBatch]) -> dict[str, Tensor]:
        """The cross-entropy of all sources, and the mean distance between two of them."""
        features = self.network.embed(torch.cat([domain.patches for domain in domains]))
        logits = self.network.head[-1](features)
        loss = functional.cross_entropy(logits, torch.cat([domain.labels for domain in domains]))
        pairs = list(itertools.combinations(features.chunk(len(domains)), 2))
        distances = [coral_distance(one, other) for one, other in pairs]
        return {"ce": loss, "coral": torch.stack(distances).mean() if distances else loss.new_zeros(())}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The cross-entropy and the weighted distance."""
        return terms["ce"] + self.config.lambda_coral * terms["coral"]


def coral_distance(one: Tensor, other: Tensor) -> Tensor:
    """Mean squared difference of two batches' means, plus that of their covariances; 0 of equal batches.

    Args:
        one: (B, d) features, 2 or more.
        other: Likewise.

    Returns:
        Scalar.
    """
    means = functional.mse_loss(one.mean(dim=0), other.mean(dim=0))
    return means + functional.mse_loss(one.T.cov(), other.T.cov())
