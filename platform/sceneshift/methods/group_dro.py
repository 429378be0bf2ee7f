"""GroupDRO: cross-entropy of several sources, weighted towards the source that is answered worst.

Sagawa, Koh, Hashimoto, Liang, "Distributionally Robust Neural Networks for Group Shifts: On the Importance of
Regularization for Worst-Case Generalization", ICLR 2020, arXiv 1911.08731. Written from memory of the paper: in each
step of its online algorithm (section 2.3) a group's weight is multiplied by the exponential of its loss times a step
size, 0.01, and the weights are divided by their sum. Groups are the sources of a pair. The paper samples one group per
step and adds a strong L2 penalty; here each step has a batch of every source, as in DomainBed (Gulrajani and Lopez-Paz,
ICLR 2021), and there is no penalty.

Shape letters: B batch, C bands, P patch size, K classes, D sources of a pair.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig
from sceneshift.methods.method import DomainBatch
from sceneshift.methods.one_network import NetworkOverDomains


@dataclass(frozen=True, kw_only=True)
class GroupDROConfig(CrossEntropyConfig):
    """Settings of GroupDRO; see :class:`MethodConfig` for what all methods share.

    Args:
        width: d, the discriminator's projection width.
        weights_step: eta, the step size of the sources' weights; 0 keeps them equal.

    Raises:
        InvalidInputError: A value is out of range.
    """

    weights_step: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.weights_step >= 0, "weights_step", "zero or a positive number")


class GroupDRO(NetworkOverDomains, CrossEntropy):
    """The discriminator trained by the sources' cross-entropies, each with a weight that follows it."""

    name = "group_dro"
    config_type = GroupDROConfig
    graph_safe = shardable = compilable = False
    least_sources = 2
    config: GroupDROConfig
    #: (D,) weights of the sources, which sum to 1; None before the first step.
    weights: Tensor | None = None

    def domain_losses(self, domains: Sequence[DomainBatch]) -> dict[str, Tensor]:
        """Move the weights by the sources' losses, and weight the losses."""
        logits = self.network(torch.cat([domain.patches for domain in domains])).chunk(len(domains))
        each = zip(logits, (domain.labels for domain in domains), strict=True)
        losses = torch.stack([functional.cross_entropy(of_domain, labels) for of_domain, labels in each])
        self.weights = self.moved(losses.detach())
        return {"weighted_ce": self.weights @ losses}

    def moved(self, losses: Tensor) -> Tensor:
        """The weights after a step.

        Args:
            losses: (D,) of the sources.

        Returns:
            (D,), which sum to 1.
        """
        weights = torch.ones_like(losses) / len(losses) if self.weights is None else self.weights
        # The softmax of the logarithms: multiplied by the exponentials, and divided by the sum.
        return (weights.log() + self.config.weights_step * losses).softmax(dim=0)

    def state_dict(self) -> dict[str, Any]:
        """As of all methods, and the sources' weights."""
        return super().state_dict() | {"source_weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        super().load_state_dict(state)
        weights = state["source_weights"]
        self.weights = None if weights is None else weights.to(self.device)
