"""The whole S2VNet: a patch is unmixed, classified at pixel level, and both are fused.

Shape letters: B batch, C bands, P patch, K classes, R endmembers (= K), N = B P P pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.networks.batch_norm import BatchNorm2d
from sceneshift.networks.s2vnet.retentive import GaussianForm, PixelClassifier
from sceneshift.networks.s2vnet.unmixing import EDGE, AbundanceEncoder, MixingDecoder, constrain
from sceneshift.networks.s2vnet.variability import EndmemberVariability, Variation
from sceneshift.networks.shared_batch import summed

#: The smallest patch whose abundances the fusion's 3x3 convolution of stride 2 still takes.
SMALLEST_PATCH = 3

#: Initial value of the endmembers' second layer: it adds little to the first at the start.
_SECOND_LAYER = 0.01


@dataclass(frozen=True, kw_only=True)
class Departures:
    """Single differences in which a network behaves like the authors' release, to measure what each costs.

    Args:
        endmembers: `sigmoid(S E + delta)`, which can't fall below one half, from random endmembers.
        decoder_input: the decoder's input is the encoder's raw scores instead of abundances.
        batch_axis: Gaussian weights are normalized over the batch: a patch's class depends on the rest of the batch.
        batch_cosine: the cosine is divided by the square of one norm over the whole batch.
        offset: offsets of Gaussian weights are in a map's own units instead of in standard deviations.
    """

    endmembers: bool = False
    decoder_input: bool = False
    batch_axis: bool = False
    batch_cosine: bool = False
    offset: bool = False


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Which parts a network has; each can be left out to measure what it adds. Parameters are the same without.

    Args:
        variability: endmembers vary; without it they are the matrix's own, and nothing is drawn.
        nonlinear: the reconstruction has its nonlinear part.
        cosine: the fusion sees cosines between reconstructed spectra and endmembers; without it, zeros.
        unmixing: logits come from the fusion; without it they are the pixel-level classifier's features, and what is
            unmixed has no effect on them.
    """

    variability: bool = True
    nonlinear: bool = True
    cosine: bool = True
    unmixing: bool = True


@dataclass(frozen=True, kw_only=True)
class View:
    """All outputs of the network for a batch of patches.

    Args:
        logits: (B, K), at least float32, under autocast too, as the loss needs it.
        abundances: (N, R), non-negative, summing to one.
        reconstruction: (N, C).
        abundance_features: (B, R, S, S), the output of the fusion's convolution.
        variation: the adjusted endmembers and what they were computed from.
    """

    logits: Tensor
    abundances: Tensor
    reconstruction: Tensor
    abundance_features: Tensor
    variation: Variation


class S2VNetwork(nn.Module):
    """Unmixing, variability, classifier and fusion.

    The forward pass has no side effects: the endmember matrix stays a parameter and its adjusted form is computed from
    it, so that a patch's logits depend only on the patch and the weights. (In the authors' release the forward pass
    writes the adjusted endmembers back into the parameter, so that it changes the weights.)
    """

    def __init__(
        self,
        bands: int,
        classes: int,
        *,
        patch_size: int,
        width: int = 32,
        heads: int = 4,
        z_dim: int = 4,
        departures: Departures | None = None,
        parts: Parts | None = None,
    ) -> None:
        """Build the parts.

        Args:
            bands: C.
            classes: K; there are as many endmembers.
            patch_size: P, odd, 3 or more.
            width: of the pixel-level classifier.
            heads: of its attention.
            z_dim: latent dimensions of the endmembers' variability.
            departures: which parts are built as in the authors' release; none by default.
            parts: which parts there are; all by default.

        Raises:
            InvalidInputError: a size is out of range.
        """
        super().__init__()
        if patch_size < SMALLEST_PATCH or patch_size % 2 == 0:
            raise InvalidInputError(f"patch_size = {patch_size}; expected an odd number >= {SMALLEST_PATCH}.")
        self.bands, self.classes, self.patch_size = bands, classes, patch_size
        self.departures = departures or Departures()
        self.parts = parts or Parts()
        side = (patch_size - 3) // 2 + 1
        self.encoder = AbundanceEncoder(bands, classes)
        self.endmembers = nn.Parameter(torch.empty(2 * bands, classes).uniform_(EDGE, classes**-0.5))
        self.variability = EndmemberVariability(classes, z_dim=z_dim, released=self.departures.endmembers)
        self.decoder = MixingDecoder(bands, signed=self.departures.decoder_input, is_nonlinear=self.parts.nonlinear)
        self.pixel_classifier = PixelClassifier(
            bands,
            classes,
            width=width,
            heads=heads,
            gaussian=GaussianForm(over_batch=self.departures.batch_axis, scaled_offset=self.departures.offset),
        )
        self.abundance_features = nn.Sequential(
            nn.Conv2d(classes, classes, 3, stride=2), BatchNorm2d(classes), nn.ReLU()
        )
        self.joint = nn.Linear(classes * side * side + classes, classes)
        self.head = nn.Linear(2 * classes, classes)

    @torch.no_grad()
    def start_from(self, spectra: Tensor) -> None:
        """Initialize the endmembers with given spectra, their second layer near zero.

        Args:
            spectra: (K, C), in the units of the network's input, about [0, 1]; other values are clamped.
        """
        second = torch.full_like(spectra, _SECOND_LAYER)
        self.endmembers.copy_(torch.cat([spectra, second], dim=1).T)
        self.keep_endmembers_in_range()

    @torch.no_grad()
    def keep_endmembers_in_range(self) -> None:
        """Clamp the endmember matrix to [1e-6, 1 - 1e-6], where a logit is finite; call this after every step."""
        self.endmembers.clamp_(EDGE, 1 - EDGE)

    def unmix(self, spectra: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Variation]:
        """Unmix single pixels.

        Args:
            spectra: (N, C).
            noise: (2C, z) for the variability's reparameterization, or None for its mean.

        Returns:
            Abundances (N, R), reconstruction (N, C), and the endmembers they were made with.
        """
        variation = self._vary(noise)
        scores = self.encoder(spectra)
        abundances = constrain(scores)
        fed = scores if self.departures.decoder_input else abundances
        return abundances, self.decoder(fed, variation.endmembers), variation

    def _vary(self, noise: Tensor | None) -> Variation:
        if self.parts.variability:
            varied: Variation = self.variability(self.endmembers, noise)
            return varied
        # No perturbation, and the divergence of a standard normal from itself.
        none = self.endmembers.new_zeros(len(self.endmembers), self.variability.z_dim)
        return Variation(
            endmembers=self.endmembers,
            perturbation=torch.zeros_like(self.endmembers),
            mean=none,
            log_variance=none,
        )

    def view(self, patches: Tensor, noise: Tensor | None = None) -> View:
        """Run the whole network and return all outputs.

        Args:
            patches: (B, C, P, P).
            noise: (2C, z), or None.

        Raises:
            InvalidInputError: the patches have another shape.
        """
        batch, side = len(patches), self.patch_size
        if patches.shape[1:] != (self.bands, side, side):
            raise InvalidInputError(
                f"patches of shape {tuple(patches.shape)}; expected (B, {self.bands}, {side}, {side})."
            )
        spectra = patches.permute(0, 2, 3, 1).reshape(-1, self.bands)
        # In float32 under autocast too: in bfloat16 abundances don't sum to one and similar spectra have the same
        # cosine.
        with torch.autocast(patches.device.type, enabled=False):
            abundances, reconstruction, variation = self.unmix(spectra, noise)
            mean_spectra = reconstruction.view(batch, side * side, -1).mean(dim=1)
            cosines = self._cosines(mean_spectra, variation.endmembers)
        maps = abundances.view(batch, side, side, -1).permute(0, 3, 1, 2)
        features = self.abundance_features(maps)
        logits = self.pixel_classifier(patches)
        if self.parts.unmixing:
            joint = torch.relu(self.joint(torch.cat([features.flatten(1), logits], dim=1)))
            logits = self.head(torch.cat([joint, cosines if self.parts.cosine else torch.zeros_like(cosines)], dim=1))
        return View(
            logits=logits.float() if logits.dtype.itemsize < torch.float32.itemsize else logits,
            abundances=abundances,
            reconstruction=reconstruction,
            abundance_features=features,
            variation=variation,
        )

    def forward(self, patches: Tensor) -> Tensor:
        """(B, C, P, P) to logits (B, K)."""
        return self.view(patches).logits

    def _cosines(self, spectra: Tensor, endmembers: Tensor) -> Tensor:
        # (B, C) with (2C, R), the two layers summed, to (B, R).
        first, second = endmembers.chunk(2)
        layers = (first + second).T
        if self.departures.batch_cosine:
            return spectra @ layers.T / summed(spectra.square().sum())
        return functional.normalize(spectra, dim=1) @ functional.normalize(layers, dim=1).T
