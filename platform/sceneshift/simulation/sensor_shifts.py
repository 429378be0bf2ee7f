"""Shifts between the ground and the file: atmosphere, band response, noise, pixel size.

Shape letters: H rows, W columns, C bands.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sceneshift.simulation.checks import check_count, check_positive, check_within
from sceneshift.simulation.ground_shifts import Shift

#: Full width at half maximum of a Gaussian, in standard deviations.
_FWHM = 2 * math.sqrt(2 * math.log(2))


@dataclass(frozen=True, kw_only=True)
class Atmosphere(Shift):
    """Haze: ``x' = t(λ) x + p(λ)``.

    ``t = exp(-s depth (λ / 550)^-exponent)``, ``p = s path white (λ / 550)^-exponent``, s the strength: optical depth
    after Ångström, path radiance after the power laws of Chavez ("An improved dark-object subtraction technique for
    atmospheric scattering correction of multispectral data", Remote Sensing of Environment 24, 1988), whose exponents
    run from 4 (very clear, Rayleigh) to 0.5 (very hazy). The source is as its spectra are. No water vapour, no
    dependence on the view angle or on neighbours.

    Args:
        strength: 0 to 1.
        depth: Optical depth at 550 nm, sun to ground to sensor, at strength 1; 0 to 5.
        path: Path radiance at 550 nm as a share of ``white``, at strength 1; 0 to 1.
        exponent: α, 0 to 4.
    """

    name: ClassVar[str] = "atmosphere"
    needs_wavelengths: ClassVar[bool] = True

    depth: float = 0.2
    path: float = 0.03
    exponent: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_within("shift atmosphere", "depth", self.depth, 0.0, 5.0)
        check_within("shift atmosphere", "path", self.path, 0.0, 1.0)
        check_within("shift atmosphere", "exponent", self.exponent, 0.0, 4.0)

    def transmittance(self, wavelengths_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """(C,) t."""
        law = (wavelengths_nm / 550) ** -self.exponent
        return np.asarray(np.exp(-self.strength * self.depth * law), dtype=np.float64)

    def path_radiance(self, wavelengths_nm: NDArray[np.float64], white: float) -> NDArray[np.float64]:
        """(C,) p, in the spectra's units."""
        law = (wavelengths_nm / 550) ** -self.exponent
        return np.asarray(self.strength * self.path * white * law, dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class SensorResponse(Shift):
    """Band centres that have moved and bands that have grown wider.

    ``x' = L G x``: G blurs along the bands, ``G_kj ∝ Δλ_j exp(-(λ_j - λ_k)² / (2 σ²))``, ``σ = s fwhm_nm / 2.355``,
    rows of sum 1, Δλ_j half the distance between a band's neighbours; L reads the blurred spectrum at
    ``λ_k + s shift_nm``, linear between band centres, the outermost value beyond them. The target's file still claims
    the source's wavelengths: that is the shift. The blur comes on top of the width the library's own bands have.

    Args:
        strength: 0 to 1.
        shift_nm: Of the centres at strength 1, -200 to 200.
        fwhm_nm: Added width at strength 1, full width at half maximum; 0 to 500.
    """

    name: ClassVar[str] = "sensor response"
    needs_wavelengths: ClassVar[bool] = True

    shift_nm: float = 10.0
    fwhm_nm: float = 40.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_within("shift sensor response", "shift_nm", self.shift_nm, -200.0, 200.0)
        check_within("shift sensor response", "fwhm_nm", self.fwhm_nm, 0.0, 500.0)

    def matrix(self, wavelengths_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """(C, C) what a spectrum, as a column, is multiplied by; the identity at strength 0."""
        num_bands = len(wavelengths_nm)
        if self.strength == 0 or num_bands == 1:
            return np.eye(num_bands)
        blur = np.eye(num_bands)
        if self.fwhm_nm > 0:
            sigma = self.strength * self.fwhm_nm / _FWHM
            distance = (wavelengths_nm[None, :] - wavelengths_nm[:, None]) / sigma
            blur = np.gradient(wavelengths_nm) * np.exp(-(distance**2) / 2)
            blur /= blur.sum(axis=1, keepdims=True)
        wanted = np.clip(wavelengths_nm + self.strength * self.shift_nm, wavelengths_nm[0], wavelengths_nm[-1])
        below = np.clip(np.searchsorted(wavelengths_nm, wanted, side="right") - 1, 0, num_bands - 2)
        weight = (wanted - wavelengths_nm[below]) / (wavelengths_nm[below + 1] - wavelengths_nm[below])
        mixed: NDArray[np.float64] = (1 - weight)[:, None] * blur[below] + weight[:, None] * blur[below + 1]
        return mixed


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A sensor's noise: ``x' = x + sqrt(v(x)) ε``, ε ~ N(0, 1) for every value.

    ``v(x) = (white / snr)² [read + (1 - read) max(x, 0) / white]``: a part that is always there and one that grows with
    the signal, as in Acito, Diani and Corsini ("Signal-dependent noise modeling and model parameter estimation in
    hyperspectral images", IEEE TGRS 49 (8), 2011). At x = white the signal-to-noise ratio is ``snr``.

    Args:
        snr: Above 0, a ratio and no decibels; None for no noise.
        read: Share of read noise in the variance at white, 0 to 1.

    Raises:
        InvalidInputError: A value is out of range.
    """

    snr: float | None = 300.0
    read: float = 0.5

    def __post_init__(self) -> None:
        if self.snr is not None:
            check_positive("noise", "snr", self.snr)
        check_within("noise", "read", self.read, 0.0, 1.0)

    def variance(self, white: float) -> tuple[float, float]:
        """What v(x) = first + second · max(x, 0) is made of."""
        if self.snr is None:
            return 0.0, 0.0
        return self.read * (white / self.snr) ** 2, (1 - self.read) * white / self.snr**2


@dataclass(frozen=True, kw_only=True)
class AddedNoise(Shift):
    """A noisier sensor: to the variance of the source's noise is added ``s² v(x)``, v as in :class:`Noise`.

    Args:
        strength: 0 to 1.
        snr: Of the added noise at white at strength 1, above 0.
        read: Share of read noise in it, 0 to 1.
    """

    name: ClassVar[str] = "noise"

    snr: float = 25.0
    read: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("shift noise", "snr", self.snr)
        check_within("shift noise", "read", self.read, 0.0, 1.0)

    def variance(self, white: float) -> tuple[float, float]:
        """What s² v(x) = first + second · max(x, 0) is made of."""
        constant, slope = Noise(snr=self.snr, read=self.read).variance(white)
        return self.strength**2 * constant, self.strength**2 * slope


@dataclass(frozen=True, kw_only=True)
class Resolution(Shift):
    """Larger pixels: the mean over blocks of n x n, ``n = 1 + round(s (factor - 1))``.

    Radiances and abundances are averaged, rows and columns left over are cut off, and the label is that of the largest
    mean abundance, or none where that is below the threshold. Noise comes after, as much a pixel as before.

    Args:
        strength: 0 to 1.
        factor: n at strength 1; at least 1.
    """

    name: ClassVar[str] = "resolution"

    factor: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("shift resolution", "factor", self.factor, 1)

    @property
    def block(self) -> int:
        """N."""
        return 1 + round(self.strength * (self.factor - 1))


def block_mean(values: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """(H // n, W // n, ...) means of (H, W, ...) over n x n blocks; what is left over at the far sides is cut off."""
    if block == 1:
        return values
    height, width = values.shape[0] // block, values.shape[1] // block
    cut = values[: height * block, : width * block]
    means: NDArray[np.float32] = cut.reshape(height, block, width, block, *values.shape[2:]).mean(axis=(1, 3))
    return means
