"""S2VNet: classification with subpixel information.

Han, Yang, Gao, Zeng, Zhang, Chanussot, "Subpixel Spectral Variability Network for Hyperspectral Image
Classification", IEEE TGRS 63 (2025), doi 10.1109/TGRS.2025.3535749.

Shape letters: B batch, C bands, P patch size, K classes, N training pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sceneshift.methods.method import MethodConfig
from sceneshift.methods.one_network import OneNetwork
from sceneshift.networks.s2vnet.losses import band_variation, gaussian_divergence, spatial_variation, spectral_angle
from sceneshift.networks.s2vnet.network import Departures, Parts, S2VNetwork

#: Number of equal parts of a training; the learning rate falls from each to the next.
_DECAYS = 10


@dataclass(frozen=True, kw_only=True)
class S2VNetConfig(MethodConfig):
    """Settings of S2VNet; the defaults are the paper's.

    Args:
        patch_size: P; odd, 5 or more.
        batch_size: Most patches in a step; 2 or more, though a step takes a single one.
        lr: Adam's learning rate in the first tenth of the training.
        flips: Flip training patches at random; the paper does not.
        noise_scale: Radiation noise on training patches; the paper has none.
        normalization: The paper scales each band to [0, 1].
        lr_decay: What the learning rate is multiplied by at every further tenth of the training.
        width: Of the pixel-level classifier; an even multiple of heads.
        heads: Of its attention.
        z_dim: Latent dimensions of the endmembers' variability.
        lambda_sad: Weight of the spectral angle between pixels and their reconstruction.
        lambda_kl: Weight of the variability's divergence from a standard normal; mean over rows, so that it means the
            same at every batch size and band count.
        lambda_tv_e: Weight of the perturbation's variation along bands.
        lambda_tv_a: Weight of the abundance features' variation along both axes.
        released_endmembers: Release: `sigmoid(S E + delta)` from random endmembers, values of one half and more.
        released_decoder_input: Release: the decoder is fed the encoder's scores before the constraint.
        released_batch_axis: Release: Gaussian weights run over the batch, so classes depend on the batch.
        released_cosine: Release: one norm over the whole batch.
        released_offset: Release: offsets of Gaussian weights are in a map's own units, `(x - mean - offset) / std`.
        variability: Endmembers vary; without it, and likewise without each of the next three, to see what it adds.
        nonlinear: The reconstruction has its nonlinear part.
        cosine: The fusion sees cosines between reconstructed spectra and endmembers.
        unmixing: Logits come from the fusion, not from the pixel-level classifier alone.

    Raises:
        InvalidInputError: A value is out of range.
    """

    patch_size: int = 7
    batch_size: int = 64
    flips: bool = False
    noise_scale: float = 0.0
    normalization: str = "minmax-per-band"
    lr_decay: float = 0.9
    width: int = 32
    heads: int = 4
    z_dim: int = 4
    lambda_sad: float = 1.0
    lambda_kl: float = 0.01
    lambda_tv_e: float = 0.01
    lambda_tv_a: float = 0.01
    released_endmembers: bool = False
    released_decoder_input: bool = False
    released_batch_axis: bool = False
    released_cosine: bool = False
    released_offset: bool = False
    variability: bool = True
    nonlinear: bool = True
    cosine: bool = True
    unmixing: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(0 < self.lr_decay <= 1, "lr_decay", "more than 0 and at most 1")
        self._require(self.heads >= 1, "heads", "at least 1")
        self._require(self.z_dim >= 1, "z_dim", "at least 1")
        is_even_multiple = self.width >= 2 and self.width % 2 == 0 and self.width % self.heads == 0
        self._require(is_even_multiple, "width", f"an even multiple of heads = {self.heads}")
        for name in ("lambda_sad", "lambda_kl", "lambda_tv_e", "lambda_tv_a"):
            self._require(getattr(self, name) >= 0, name, "zero or a positive number")


class S2VNet(OneNetwork):
    """The whole network with its five-term loss (paper, section III)."""

    name = "s2vnet"
    config_type = S2VNetConfig
    published_epochs = 500
    graph_safe = shardable = compilable = True
    config: S2VNetConfig
    network: S2VNetwork

    @classmethod
    def build_classifier(cls, config: S2VNetConfig, *, bands: int, classes: int) -> S2VNetwork:
        """Build the network: all parts are kept for prediction."""
        return S2VNetwork(
            bands,
            classes,
            patch_size=config.patch_size,
            width=config.width,
            heads=config.heads,
            z_dim=config.z_dim,
            departures=Departures(
                endmembers=config.released_endmembers,
                decoder_input=config.released_decoder_input,
                batch_axis=config.released_batch_axis,
                batch_cosine=config.released_cosine,
                offset=config.released_offset,
            ),
            parts=Parts(
                variability=config.variability,
                nonlinear=config.nonlinear,
                cosine=config.cosine,
                unmixing=config.unmixing,
            ),
        )

    def compile(self) -> None:
        """Compile the network and its parts.

        A training step asks the network for more than its logits, past what a compiled network is entered by.

        Raises:
            InvalidInputError: The method is on a CPU.
        """
        super().compile()
        for part in self.network.children():
            part.compile(dynamic=False)

    def begin(self, spectra: Tensor, labels: Tensor) -> None:
        """Let each endmember start at the mean spectrum of a class's training pixels.

        A class without a training pixel starts at the mean of all.
        """
        if self.config.released_endmembers:
            return
        members = functional.one_hot(labels, self.classes).to(spectra.dtype)
        counts = members.sum(dim=0)[:, None]
        means = torch.where(counts > 0, members.T @ spectra / counts.clamp_min(1), spectra.mean(dim=0))
        self.network.start_from(means)

    def begin_epoch(self, epoch: int, *, epochs: int) -> None:
        """Lower the learning rate at every tenth of the training."""
        lr = self.config.lr * self.config.lr_decay ** (_DECAYS * (epoch - 1) // epochs)
        for group in self._optimizers["network"].param_groups:
            group["lr"] = lr

    def losses(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The five terms of the loss before weighting (section III).

        Args:
            patches: (B, C, P, P).
            labels: (B,) class indices.

        Returns:
            ``ce``, ``sad`` (radians), ``kl``, ``tv_e``, ``tv_a``.
        """
        noise = torch.randn(2 * self.bands, self.config.z_dim, generator=self.generator, device=self.device)
        view = self.network.view(patches, noise)
        variation = view.variation
        return {
            "ce": functional.cross_entropy(view.logits, labels),
            "sad": spectral_angle(patches.permute(0, 2, 3, 1).reshape(-1, self.bands), view.reconstruction),
            "kl": gaussian_divergence(variation.mean, variation.log_variance),
            "tv_e": band_variation(variation.perturbation),
            "tv_a": spatial_variation(view.abundance_features),
        }

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum."""
        config = self.config
        return (
            terms["ce"]
            + config.lambda_sad * terms["sad"]
            + config.lambda_kl * terms["kl"]
            + config.lambda_tv_e * terms["tv_e"]
            + config.lambda_tv_a * terms["tv_a"]
        )

    def step(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One step on the five-term loss, after which the endmembers are brought back into their range."""
        terms = super().step(patches, labels)
        self.network.keep_endmembers_in_range()
        return terms
