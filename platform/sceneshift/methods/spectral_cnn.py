"""A small spectral network: a one-dimensional convolutional network on the spectrum of a patch's centre pixel.

Hu, Huang, Wei, Zhang, Li, "Deep Convolutional Neural Networks for Hyperspectral Image Classification", Journal of
Sensors 2015, doi 10.1155/2015/258619. The layers are the paper's
(:class:`sceneshift.networks.spectral_cnn.SpectralCNN`); the training is that of the other networks here, with Adam,
where the paper has plain gradient descent with rate 0.01.

Shape letters: B batch, C bands, P patch size, K classes.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from sceneshift.methods.method import MethodConfig
from sceneshift.methods.one_network import OneNetwork
from sceneshift.networks.spectral_cnn import SpectralCNN


@dataclass(frozen=True, kw_only=True)
class SpectralCNNConfig(MethodConfig):
    """Settings of the spectral network; see :class:`MethodConfig` for what all methods share.

    Args:
        patch_size: P; odd. The centre pixel alone is looked at; a larger patch is for a split that networks share.
        normalization: Named step the cube goes through, fitted on the source scene; the paper scales each scene to
            values between -1 and 1.
        kernels: Number of kernels.
        hidden: Number of hidden units.

    Raises:
        InvalidInputError: A value is out of range, or a setting without effect was changed.
    """

    patch_size: int = 1
    flips: bool = False
    noise_scale: float = 0.0
    calibrate_bn: bool = False
    normalization: str = "minmax-per-band"
    kernels: int = 20
    hidden: int = 100

    smallest_patch = 1
    without_effect = frozenset({"flips", "calibrate_bn"})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("kernels", "hidden"):
            self._require(getattr(self, name) >= 1, name, "at least 1")


class SpectralNetwork(OneNetwork):
    """The spectral network trained by cross-entropy."""

    name = "spectral_cnn"
    config_type = SpectralCNNConfig
    published_epochs = 400

    @classmethod
    def build_classifier(cls, config: SpectralCNNConfig, *, bands: int, classes: int) -> nn.Module:
        """Build the network."""
        return SpectralCNN(bands, classes, kernels=config.kernels, hidden=config.hidden)

    def losses(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The cross-entropy."""
        return {"ce": functional.cross_entropy(self.network(patches), labels)}
