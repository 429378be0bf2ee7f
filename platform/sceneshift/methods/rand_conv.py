"""RandConv: the plain discriminator, before which each batch goes through a random convolution.

Xu, Liu, Yang, Raffel, Niethammer, "Robust and Generalizable Visual Representation Learning via Random Convolutions",
ICLR 2021, arXiv 2007.13003. What a random convolution of a hyperspectral patch is:
:class:`sceneshift.methods.augmentations.RandomConvolution`. The paper's optional loss, which asks for like predictions
on several random views of a patch, is left out.
"""

from dataclasses import dataclass

from sceneshift.methods.augmentations import Augmentation, RandomConvolution
from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig


@dataclass(frozen=True, kw_only=True)
class RandConvConfig(CrossEntropyConfig):
    """Settings of RandConv; see :class:`MethodConfig` for what all methods share.

    Args:
        width: d, the discriminator's projection width.
        kernel_pixels: Largest side of a random kernel in rows and columns; odd. The paper's images are many kernels
            wide: of a small patch, keep it small.
        kernel_bands: Largest side of a random kernel along bands; odd.
        unchanged: Probability that a batch stays as it is.
        mix: Blend the convolved patches with the patches by a random share.

    Raises:
        InvalidInputError: A value is out of range.
    """

    kernel_pixels: int = 3
    kernel_bands: int = 7
    unchanged: float = 0.5
    mix: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("kernel_pixels", "kernel_bands"):
            side = getattr(self, name)
            self._require(side >= 1 and side % 2 == 1, name, "an odd number >= 1")
        self._require(0 <= self.unchanged <= 1, "unchanged", "a probability, 0 to 1")

    def augmentations(self, *, rms: float) -> tuple[Augmentation, ...]:
        """What all methods do, then the random convolution, which the paper puts right before the network."""
        convolution = RandomConvolution(
            pixels=self.kernel_pixels, bands=self.kernel_bands, unchanged=self.unchanged, mix=self.mix
        )
        return (*super().augmentations(rms=rms), convolution)


class RandConv(CrossEntropy):
    """The discriminator trained by cross-entropy on randomly convolved source patches."""

    name = "rand_conv"
    config_type = RandConvConfig
    graph_safe = shardable = compilable = True
