"""A fixed bank of shifts of raw spectra: how a network answers when light, air and sensor differ from the source's.

The bank is the same for every training on a scene, whatever its seed, so that answers of trainings can be compared.
Each shift changes a spectrum by itself, in the unit of the scene's file, before normalization:

- ``haze``: :class:`~sceneshift.simulation.sensor_shifts.Atmosphere` at its defaults, optical depth 0.2 and 3 % path
  radiance at 550 nm.
- ``red light``: ``x' = (1 + 0.2 (2 u - 1)) x``, u a band's place between the first (0) and the last (1) by wavelength:
  another colour of the light, as from a lower sun.
- ``band gains``: ``x'_k = (1 + 0.05 ε_k) x_k``, ε_k ~ N(0, 1) for each band: a radiometric calibration that is off. The
  5 % is of the order stated for airborne sensors; the figure is from memory.
- ``band response``: :class:`~sceneshift.simulation.sensor_shifts.SensorResponse`, centres moved by 5 nm and bands 20 nm
  wider: a spectral calibration that is off.
- ``noise``: :class:`~sceneshift.simulation.sensor_shifts.AddedNoise` of a signal-to-noise ratio of 25 at white.

Where a scene's wavelengths are unknown, its bands are assumed to be evenly spaced from 400 to 2500 nm. What happens on
the ground (season, class balance, slopes, larger pixels) is left to simulated pairs: those made of these kinds alone
share no kind of shift with the bank, :data:`BANK_KINDS`.

Shape letters: H rows, W columns, C bands, N spectra.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.seeding import derive_seed
from sceneshift.simulation.ground_shifts import Shift
from sceneshift.simulation.sensor_shifts import AddedNoise, Atmosphere, SensorResponse

#: The kinds of shifts of simulated pairs that the bank draws on.
BANK_KINDS: tuple[type[Shift], ...] = (Atmosphere, SensorResponse, AddedNoise)

_HAZE = Atmosphere(strength=1.0)
_RESPONSE = SensorResponse(strength=1.0, shift_nm=5.0, fwhm_nm=20.0)
_NOISE = AddedNoise(strength=1.0)
_TILT, _GAIN = 0.2, 0.05

#: Assumed range of the bands if nothing is known, in nanometres.
_NOMINAL_NM = (400.0, 2500.0)

#: Pixels from which a scene's white is read.
_WHITE_PIXELS = 20_000


@dataclass(frozen=True, kw_only=True, eq=False)
class ShiftBank:
    """The bank for one sensor.

    Args:
        wavelengths_nm: (C,) band centres.
        white: The value of a bright surface, above 0: path radiance and noise are relative to it.
    """

    wavelengths_nm: NDArray[np.float64]
    white: float

    @classmethod
    def of_scene(cls, scene: UnlabelledScene) -> "ShiftBank":
        """The bank for a scene; white is the 99th percentile of its values' magnitude, over evenly spread pixels."""
        wavelengths = scene.wavelengths_nm
        if wavelengths is None:
            wavelengths = np.linspace(*_NOMINAL_NM, scene.num_bands)
        spectra = scene.cube.reshape(-1, scene.num_bands)
        white = float(np.quantile(np.abs(spectra[:: max(1, len(spectra) // _WHITE_PIXELS)]), 0.99))
        return cls(wavelengths_nm=wavelengths, white=white if white > 0 else 1.0)

    def apply(self, name: str, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shift spectra.

        Args:
            name: One of :data:`SHIFT_NAMES`.
            spectra: (N, C), in the unit of the scene's file. Noise is drawn for the N in their order, from a fixed
                seed.

        Returns:
            (N, C), a new array.

        Raises:
            InvalidInputError: No shift has that name, or the spectra have other bands.
        """
        if name not in _SHIFTS:
            raise InvalidInputError(
                f"no shift of the bank is called {name!r}{nearest_name(name, _SHIFTS)}; expected one of "
                f"{', '.join(_SHIFTS)}."
            )
        if spectra.ndim != 2 or spectra.shape[1] != len(self.wavelengths_nm):
            raise InvalidInputError(
                f"spectra of shape {spectra.shape}; expected (N, {len(self.wavelengths_nm)}). Pass spectra of the "
                "scene the bank was made for."
            )
        return _SHIFTS[name](self, spectra).astype(np.float32)

    def _haze(self, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        gain, offset = _HAZE.transmittance(self.wavelengths_nm), _HAZE.path_radiance(self.wavelengths_nm, self.white)
        return _times(spectra, gain) + offset.astype(np.float32)

    def _red(self, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        low, high = self.wavelengths_nm.min(), self.wavelengths_nm.max()
        place: NDArray[np.float64] = (self.wavelengths_nm - low) / max(high - low, 1e-9)
        return _times(spectra, 1 + _TILT * (2 * place - 1))

    def _gains(self, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        rng = np.random.default_rng(derive_seed("shift bank", "band gains"))
        gains: NDArray[np.float64] = 1 + _GAIN * rng.standard_normal(spectra.shape[1:])
        return _times(spectra, gains)

    def _response(self, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        # The matrix is for ascending centres; some sensors' bands are not in order.
        order = np.argsort(self.wavelengths_nm, kind="stable")
        shifted = np.empty_like(spectra)
        shifted[:, order] = spectra[:, order] @ _RESPONSE.matrix(self.wavelengths_nm[order]).T.astype(np.float32)
        return shifted

    def _noise(self, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        constant, slope = (np.float32(part) for part in _NOISE.variance(self.white))
        rng = np.random.default_rng(derive_seed("shift bank", "noise"))
        deviation = np.sqrt(constant + slope * np.maximum(spectra, 0))
        noisy: NDArray[np.float32] = spectra + deviation * rng.standard_normal(spectra.shape, dtype=np.float32)
        return noisy


def _times(spectra: NDArray[np.float32], factors: NDArray[np.float64]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = spectra * factors.astype(np.float32)
    return scaled


_SHIFTS: dict[str, Callable[[ShiftBank, NDArray[np.float32]], NDArray[np.float32]]] = {
    "haze": ShiftBank._haze,
    "red light": ShiftBank._red,
    "band gains": ShiftBank._gains,
    "band response": ShiftBank._response,
    "noise": ShiftBank._noise,
}

#: The shifts, in the order in which records have them.
SHIFT_NAMES = tuple(_SHIFTS)
