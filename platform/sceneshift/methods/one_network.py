"""Base classes of methods with one network and one loss.

Shape letters: B batch, C bands, P patch size, K classes, D sources of a pair.
"""

import functools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from sceneshift.methods.method import DomainBatch, Method
from sceneshift.networks.shared_batch import part_of_mean


class OneNetwork(Method):
    """A network that is trained as a whole by one Adam, and kept as a whole for prediction.

    A subclass says what its network is (:meth:`build_classifier`) and what its loss is (:meth:`losses`).
    """

    network: nn.Module
    #: What checkpoints call the network.
    network_name: ClassVar[str] = "network"

    def build(self) -> None:
        """Build the network and its Adam."""
        self.network = self.add(
            self.network_name, self.build_classifier(self.config, bands=self.bands, classes=self.classes)
        )

    @property
    def classifier(self) -> nn.Module:
        """The network."""
        return self.network

    @abstractmethod
    def losses(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms of the loss, by name.

        Args:
            patches: (B, C, P, P) float32.
            labels: (B,) int64 class indices 0..K-1.

        Returns:
            Scalars, each a mean over the batch's patches, or a number that depends on none of them.
        """

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """What is minimized, of the terms: by default their sum."""
        return functools.reduce(torch.add, terms.values())

    def step(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One step on the loss.

        Args:
            patches: (B, C, P, P) float32.
            labels: (B,) int64 class indices 0..K-1.

        Returns:
            The terms before weighting; where there are several, after what is minimized, as ``loss``.
        """
        self.network.train()
        # Of a shared batch each worker adds its part of the mean, also to a number that depends on no patch.
        return self._minimize({name: part_of_mean(term) for name, term in self.losses(patches, labels).items()})

    def _minimize(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One step of Adam on the terms' total; returns what is reported."""
        loss = self.total(terms)
        self._descend(loss, self.network_name)
        reported = terms if len(terms) == 1 else {"loss": loss, **terms}
        return {name: value.detach() for name, value in reported.items()}


class NetworkOverDomains(OneNetwork):
    """A network whose loss looks at each source apart, such as at the distance of their features or the worst of them.

    A subclass says what its network is (:meth:`build_classifier`) and what its loss is (:meth:`domain_losses`).
    """

    takes_domains = True

    @abstractmethod
    def domain_losses(self, domains: Sequence[DomainBatch]) -> dict[str, Tensor]:
        """The terms of the loss, by name, as :meth:`losses`.

        Args:
            domains: D batches of equal size, in the order of the pair's sources.
        """

    def losses(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms of the loss on a batch of one source."""
        return self.domain_losses([DomainBatch(patches, labels)])

    def step_on_domains(self, domains: Sequence[DomainBatch]) -> dict[str, Tensor]:
        """One step on the loss over all sources."""
        self.network.train()
        return self._minimize(self.domain_losses(domains))
