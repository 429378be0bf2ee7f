"""What a trained S2VNet sees inside the pixels of a scene.

Shape letters: H rows, W columns, C bands, R endmembers.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sceneshift.networks.s2vnet.network import S2VNetwork

#: Pixels unmixed at once.
_PIXELS = 16_384


@dataclass(frozen=True, kw_only=True, eq=False)
class Subpixels:
    """A scene unmixed.

    Args:
        abundances: (H, W, R) float32, non-negative, summing to one.
        error: (H, W) float32, angle in radians between a pixel and its reconstruction.
        measured: (H, W) which pixels are measured; at all others, abundances and error are 0.
        endmembers: (C, R) float64, what the decoder makes of a pixel that is all one endmember, its nonlinear part
            included, in the units the network is shown.
        spread: (C, R) float64, their standard deviation over draws of the variability's latent variables.
        linear_part: (C, R) float64, the adjusted endmembers alone, both layers summed: what the fusion's cosine sees.
    """

    abundances: NDArray[np.float32]
    error: NDArray[np.float32]
    measured: NDArray[np.bool_]
    endmembers: NDArray[np.float64]
    spread: NDArray[np.float64]
    linear_part: NDArray[np.float64]


@torch.inference_mode()
def unmix_scene(
    network: S2VNetwork,
    cube: NDArray[np.float32],
    *,
    device: torch.device | str,
    measured: NDArray[np.bool_] | None = None,
    draws: int = 100,
    seed: int = 0,
) -> Subpixels:
    """Unmix every measured pixel of a cube by itself.

    Args:
        network: Trained; put into eval mode.
        cube: (H, W, C) float32, normalized as the source was.
        device: Where the network is.
        measured: (H, W) which pixels are measured; by default all.
        draws: Samples behind the endmembers' spread, 2 or more.
        seed: Of those samples.
    """
    network.eval()
    height, width, bands = cube.shape
    spectra = cube.reshape(-1, bands)
    abundances = np.empty((len(spectra), network.classes), dtype=np.float32)
    error = np.empty(len(spectra), dtype=np.float32)
    for start in range(0, len(spectra), _PIXELS):
        rows = slice(start, start + _PIXELS)
        chunk = torch.tensor(spectra[rows], device=device)
        shares, reconstruction, _ = network.unmix(chunk)
        abundances[rows] = shares.cpu().numpy()
        error[rows] = _angles(chunk, reconstruction).cpu().numpy()
    measured = np.ones((height, width), dtype=bool) if measured is None else measured
    abundances[~measured.ravel()], error[~measured.ravel()] = 0, 0
    noise = torch.Generator().manual_seed(seed)
    samples = torch.stack(
        [
            _pure_spectra(network, torch.randn(2 * bands, network.variability.z_dim, generator=noise).to(device))
            for _ in range(draws)
        ]
    )
    first, second = network.variability(network.endmembers).endmembers.chunk(2)
    return Subpixels(
        abundances=abundances.reshape(height, width, -1),
        error=error.reshape(height, width),
        measured=measured,
        endmembers=_pure_spectra(network, None).double().cpu().numpy(),
        spread=samples.double().std(dim=0).cpu().numpy(),
        linear_part=(first + second).double().cpu().numpy(),
    )


def _pure_spectra(network: S2VNetwork, noise: torch.Tensor | None) -> torch.Tensor:
    endmembers = network.variability(network.endmembers, noise).endmembers
    pure = torch.eye(network.classes, device=endmembers.device)
    spectra: torch.Tensor = network.decoder(pure, endmembers)
    return spectra.T


def _angles(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    # By the tangent: the cosine of a small angle has no digits left in float32. Zeros are at no angle to anything.
    one, other = (torch.nn.functional.normalize(spectra, dim=1) for spectra in (one, other))
    return 2 * torch.atan2((one - other).norm(dim=1), (one + other).norm(dim=1))
