"""S2AMSnet's domain generator S2DGN: moves source patches into a generated domain.

Shape letters: B batch, C bands, P patch, N noise dimensions, F feature channels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError
from sceneshift.networks.batch_norm import BatchNorm2d
from sceneshift.networks.involution import Involution, computed_in

_NUM_BLOCKS = 3
_TINY = 1e-12


class AdaptiveInstanceNorm(nn.Module):
    """`(1 + gamma) * InstanceNorm(h) + beta`, with (gamma, beta) a linear map of noise.

    Part of S2DGN (Chen et al., TGRS 2024). Draws nothing itself.
    """

    def __init__(self, channels: int, noise_dim: int) -> None:
        """Build the layers.

        Args:
            channels: F, width of the map.
            noise_dim: N, length of a patch's noise vector.
        """
        super().__init__()
        self.linear = nn.Linear(noise_dim, 2 * channels)

    def forward(self, h: Tensor, noise: Tensor) -> Tensor:
        """Normalize each patch and channel over its pixels, then scale and shift by the noise.

        Args:
            h: (B, F, P, P).
            noise: (B, N).

        Returns:
            (B, F, P, P).
        """
        gamma, beta = self.linear(noise)[:, :, None, None].chunk(2, dim=1)
        out: Tensor = (1 + gamma) * F.instance_norm(h) + beta
        return out


class GeneratorBlock(nn.Module):
    """`Conv1x1(Involution(h)) + Conv3x3(h)`, convolutions without bias; the norms are the generator's.

    Part of S2DGN (Chen et al., TGRS 2024).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        has_spectral_branch: bool = True,
        has_spatial_branch: bool = True,
    ) -> None:
        """Build the layers.

        Args:
            in_channels: channels of the input map.
            out_channels: channels of the output map.
            has_spectral_branch: whether the first term is added.
            has_spatial_branch: whether the second term is added; at least one of the two.
        """
        super().__init__()
        self._has_branch = has_spectral_branch, has_spatial_branch
        self.involution = Involution(in_channels)
        self.spectral = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.spatial = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """(B, in_channels, P, P) to (B, out_channels, P, P)."""
        has_spectral, has_spatial = self._has_branch
        terms: list[Tensor] = []
        if has_spectral:
            terms.append(self.spectral(self.involution(h)))
        if has_spatial:
            terms.append(self.spatial(h))
        return terms[0] if len(terms) == 1 else terms[0] + terms[1]


class DomainGenerator(nn.Module):
    """Three spectral-spatial blocks with noise-driven norms, a decoder, and a learned blend with the input.

    `x_hat = w0 * x + w1 * decoder(h)`, (w0, w1) = softmax of two learned scalars that start equal. All
    convolution and linear weights start as N(0, init_std). S2DGN of Chen et al., TGRS 2024.
    """

    def __init__(
        self,
        bands: int,
        *,
        channels: int = 24,
        noise_dim: int = 2,
        init_std: float = 1.0,
        renormalize: bool = False,
        shared_norm: bool = False,
        has_spectral_branch: bool = True,
        has_spatial_branch: bool = True,
    ) -> None:
        """Build the layers.

        Args:
            bands: C, at least 1.
            channels: F, feature channels, at least 1.
            noise_dim: N, length of a patch's noise vector, at least 1.
            init_std: standard deviation of the initial weights, above 0.
            renormalize: scale each generated pixel to the L2 norm of the same source pixel.
            shared_norm: one BN and one AdaIN for all three blocks, as in the release, instead of one per block.
            has_spectral_branch: whether its blocks have their spectral branch.
            has_spatial_branch: whether its blocks have their spatial branch; at least one of the two.

        Raises:
            InvalidInputError: an argument is out of the range above.
        """
        super().__init__()
        for name, value in (("bands", bands), ("channels", channels), ("noise_dim", noise_dim)):
            if value < 1:
                raise InvalidInputError(f"got {name}={value}; expected at least 1; pass {name}=1 or more")
        if not (math.isfinite(init_std) and init_std > 0):
            raise InvalidInputError(
                f"got init_std={init_std}; expected a finite number above 0; "
                f"pass the release's init_std=1.0, or less for a generator that starts nearer the source"
            )
        self.bands = bands
        self.noise_dim = noise_dim
        self.renormalize = renormalize
        num_norms = 1 if shared_norm else _NUM_BLOCKS
        self.blocks = nn.ModuleList(
            GeneratorBlock(
                bands if index == 0 else channels,
                channels,
                has_spectral_branch=has_spectral_branch,
                has_spatial_branch=has_spatial_branch,
            )
            for index in range(_NUM_BLOCKS)
        )
        self.adains = nn.ModuleList(AdaptiveInstanceNorm(channels, noise_dim) for _ in range(num_norms))
        self.norms = nn.ModuleList(BatchNorm2d(channels) for _ in range(num_norms))
        self.decoder = nn.Conv2d(channels, bands, 3, padding=1)
        self.blend = nn.Parameter(torch.zeros(2))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.normal_(module.weight, std=init_std)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Generate one patch of the new domain for each source patch.

        Args:
            x: (B, C, P, P), P at least 2.
            noise: (3, B, N), one standard normal draw for each block's AdaIN; drawn here when None.

        Returns:
            (B, C, P, P).

        Raises:
            InvalidInputError: x or noise has another shape.
        """
        if x.ndim != 4 or x.shape[1] != self.bands:
            raise InvalidInputError(
                f"got x of shape {tuple(x.shape)}; expected (B, {self.bands}, P, P); "
                f"build DomainGenerator(bands=...) with the scene's number of bands"
            )
        noise_shape = (_NUM_BLOCKS, x.shape[0], self.noise_dim)
        if noise is None:
            noise = torch.randn(noise_shape, device=x.device, dtype=torch.float32)
        elif tuple(noise.shape) != noise_shape:
            raise InvalidInputError(
                f"got noise of shape {tuple(noise.shape)}; expected {noise_shape}, one draw per block and patch; "
                f"pass torch.randn{noise_shape}, or None to have it drawn"
            )
        noise = noise.to(self.blend.dtype)
        h = computed_in(x)
        for index, block in enumerate(self.blocks):
            adain, norm = self.adains[index % len(self.adains)], self.norms[index % len(self.norms)]
            h = F.leaky_relu(norm(adain(block(h), noise[index])), 0.01)
        keep, move = self.blend.softmax(0)
        x_hat: Tensor = keep * x + move * self.decoder(h)
        if self.renormalize:
            x_hat = x_hat * (_pixel_norm(x) / _pixel_norm(x_hat).clamp_min(_TINY))
        return x_hat


def _pixel_norm(x: Tensor) -> Tensor:
    """L2 norm over bands: (B, C, P, P) to (B, 1, P, P)."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return norm
