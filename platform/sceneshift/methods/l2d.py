"""L2D: the plain discriminator, trained on patches whose style a module learns to make as unlike the source as it can.

Wang, Luo, Qiu, Huang, Baktashmotlagh, "Learning to Diversify for Single Domain Generalization", ICCV 2021, arXiv
2108.11726. Written from memory of the paper, section 3: two steps take turns. The network classifies source patches and
changed ones, and draws the features of each class together (supervised contrast). The style-complement module then
lowers an upper bound on the information that changed features share with the source's, and keeps each class's mean
feature where it is. The weights of the terms are from memory and uncertain; what differs for spectra:
:mod:`sceneshift.networks.style_complement`.

Shape letters: B batch, C bands, P patch size, K classes, d features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig
from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.losses import supervised_contrast
from sceneshift.networks.style_complement import FeaturePredictor, StyleComplement, class_distance


@dataclass(frozen=True, kw_only=True)
class L2DConfig(CrossEntropyConfig):
    """Settings of L2D; see :class:`MethodConfig` for what all methods share.

    Args:
        width: d, the discriminator's projection width.
        temperature: tau of the contrast between classes.
        lambda_contrast: Weight of that contrast in the network's step.
        lambda_mi: Weight of the shared information in the module's step.
        lambda_class: Weight of the class means' distance in the module's step.

    Raises:
        InvalidInputError: A value is out of range.
    """

    temperature: float = 0.07
    lambda_contrast: float = 1.0
    lambda_mi: float = 1.0
    lambda_class: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.temperature > 0, "temperature", "a positive number")
        for name in ("lambda_contrast", "lambda_mi", "lambda_class"):
            self._require(getattr(self, name) >= 0, name, "zero or a positive number")


class L2D(CrossEntropy):
    """The discriminator and the style-complement module in turns."""

    name = "l2d"
    config_type = L2DConfig
    graph_safe = shardable = compilable = False
    config: L2DConfig
    network: Discriminator

    def build(self) -> None:
        """Build the discriminator, the style-complement module, the predictor of features, and an Adam each."""
        super().build()
        self.complement = self.add("complement", StyleComplement(self.bands, patch_size=self.config.patch_size))
        self.predictor = self.add("predictor", FeaturePredictor(self.config.width))

    def step(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One step of the network, and one of the style-complement module.

        Args:
            patches: (B, C, P, P).
            labels: (B,) class indices.

        Returns:
            ``min``, ``ce``, ``contrast`` of the network's step, ``prediction`` of the predictor's; ``max``,
            ``shared`` and ``class_distance`` of the module's.
        """
        for module in self.modules().values():
            module.train()
        changed = self.changed(patches)
        return self.network_step(patches, labels, changed.detach()) | self.complement_step(patches, labels, changed)

    def network_step(self, patches: Tensor, labels: Tensor, changed_patches: Tensor) -> dict[str, Tensor]:
        """Move the network and the predictor of features."""
        source, changed = (self.network.embed(seen) for seen in (patches, changed_patches))
        final = self.network.head[-1]
        loss = functional.cross_entropy(final(source), labels) + functional.cross_entropy(final(changed), labels)
        contrast = supervised_contrast(
            torch.cat([source, changed]), torch.cat([labels, labels]), temperature=self.config.temperature
        )
        total = loss + self.config.lambda_contrast * contrast
        z, changed_z = (_scaled(features.detach()) for features in (source, changed))
        prediction = self.predictor.negative_log_likelihood(z, changed_z)
        self._descend([total, prediction], self.network_name, "predictor")
        terms = {"min": total, "ce": loss, "contrast": contrast, "prediction": prediction}
        return {name: term.detach() for name, term in terms.items()}

    def complement_step(self, patches: Tensor, labels: Tensor, changed_patches: Tensor) -> dict[str, Tensor]:
        """Move the style-complement module alone; the network, which has just moved, is frozen."""
        with torch.no_grad():
            z = _scaled(self.network.embed(patches))
        changed_z = _scaled(self.network.embed(changed_patches))
        shared = self.predictor.shared_information(z, changed_z)
        distance = class_distance(z, changed_z, labels, classes=self.classes)
        total = self.config.lambda_mi * shared + self.config.lambda_class * distance
        self._descend(total, "complement", along=list(self.complement.parameters()))
        terms = {"max": total, "shared": shared, "class_distance": distance}
        return {name: term.detach() for name, term in terms.items()}

    def changed(self, patches: Tensor) -> Tensor:
        """Give patches (B, C, P, P) another style, the transformations weighted anew."""
        weights = torch.randn(self.complement.num_weights, generator=self.generator, device=self.device).abs()
        with torch.autocast(self.device.type, enabled=False):
            changed: Tensor = self.complement(patches, weights)
        return changed


def _scaled(features: Tensor) -> Tensor:
    """Features (B, d) of mean square 1, of the order of the variances that are predicted for them."""
    return functional.rms_norm(features, features.shape[1:])
