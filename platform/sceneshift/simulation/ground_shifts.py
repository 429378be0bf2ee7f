"""Shifts of the ground and its illumination: season, class balance, illumination.

Every shift has a strength from 0 (none: the target is drawn like the source) to 1 (what its other settings say).

Shape letters: H rows, W columns, C bands, R materials.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.seeding import derive_seed
from sceneshift.simulation.checks import check_within
from sceneshift.simulation.fields import gaussian_field
from sceneshift.simulation.library import EndmemberLibrary

#: A band is taken as red or near infrared if its centre is this near to 670 or 800 nm.
_NEAR_NM = 30.0


@dataclass(frozen=True, kw_only=True)
class Shift:
    """A change from source to target.

    Args:
        strength: 0 (none) to 1.

    Raises:
        InvalidInputError: A value is out of range.
    """

    name: ClassVar[str]
    needs_wavelengths: ClassVar[bool] = False

    strength: float

    def __post_init__(self) -> None:
        check_within(f"shift {self.name}", "strength", self.strength, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Season(Shift):
    """Materials that look more alike, and vegetation that dries.

    ``m'_r = [(1 - s share) m_r + s share m_q(r)] * (1 + s browning v_r g)``, s the strength; ``q(r)`` is what
    ``toward`` names, or else the material of the smallest spectral angle to r. ``v_r`` is the material's NDVI,
    (m(800) - m(670)) / (m(800) + m(670)), cut to 0..1, so that bare ground hardly changes. ``g(λ)`` is

    ``exp(-((λ - 670) / 40)² / 2) - 0.3 S((λ - 720) / 15) S((1300 - λ) / 40)
    + 0.4 exp(-((λ - 1450) / 70)² / 2) + 0.4 exp(-((λ - 1940) / 90)² / 2)``, S the logistic function:

    chlorophyll's absorption fills, the near-infrared plateau falls, the leaf's water bands fill. The directions are
    those of drying leaves (Knipling, "Physical and physiological basis for the reflectance of visible and near-infrared
    radiation from vegetation", Remote Sensing of Environment 1, 1970); the curve is drawn, not measured. Without
    wavelengths, or bands near 670 and 800 nm, ``v_r`` is 0. Variations stay as they are.

    Args:
        strength: 0 to 1.
        share: How much of the other spectrum a material takes on, 0 to 0.5.
        browning: How much of ``g`` a full canopy takes on, 0 to 1.
        toward: Material by material, the one it moves toward; those not named move toward their nearest.
    """

    name: ClassVar[str] = "season"

    share: float = 0.3
    browning: float = 0.5
    toward: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_within("shift season", "share", self.share, 0.0, 0.5)
        check_within("shift season", "browning", self.browning, 0.0, 1.0)
        object.__setattr__(self, "toward", dict(self.toward))

    def endmembers(self, library: EndmemberLibrary) -> NDArray[np.float32]:
        """(R, C) mean spectra of the target.

        Raises:
            InvalidInputError: ``toward`` names a material the library does not have.
        """
        partners = self._partners(library)
        if self.strength == 0:
            return library.spectra
        spectra = library.spectra.astype(np.float64)
        taken = self.strength * self.share
        mixed = (1 - taken) * spectra + taken * spectra[partners]
        dried = self.strength * self.browning * vegetation(library)[:, None] * _drying_curve(library.wavelengths_nm)
        shifted: NDArray[np.float32] = (mixed * (1 + dried)).astype(np.float32)
        return shifted

    def _partners(self, library: EndmemberLibrary) -> list[int]:
        for name in (*self.toward, *self.toward.values()):
            if name not in library.names:
                raise InvalidInputError(
                    f"shift season: toward names {name!r}{nearest_name(name, library.names)}; the library has "
                    f"{', '.join(library.names)}."
                )
        unit = library.spectra / np.linalg.norm(library.spectra, axis=1, keepdims=True)
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, -np.inf)
        nearest = cosines.argmax(axis=1).tolist()
        return [
            library.names.index(self.toward[name]) if name in self.toward else nearest[place]
            for place, name in enumerate(library.names)
        ]


@dataclass(frozen=True, kw_only=True)
class ClassBalance(Shift):
    """Other shares of the classes.

    ``π'_r ∝ π_r ratio^(-s k_r / (R - 1))``, k a seeded ranking 0..R - 1 of the materials: at strength s the first has
    gained ``ratio^s`` times on the last.

    Args:
        strength: 0 to 1.
        ratio: At strength 1; at least 1.
    """

    name: ClassVar[str] = "class balance"

    ratio: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_within("shift class balance", "ratio", self.ratio, 1.0, 1e6)

    def proportions(self, proportions: NDArray[np.float64], names: tuple[str, ...], seed: int) -> NDArray[np.float64]:
        """(R,) the target's shares for (R,) the source's."""
        if self.strength == 0:
            return proportions
        ranks = np.argsort(np.argsort([derive_seed(seed, name) for name in names]))
        changed = proportions * self.ratio ** (-self.strength * ranks / (len(names) - 1))
        shares: NDArray[np.float64] = changed / changed.sum()
        return shares


@dataclass(frozen=True, kw_only=True)
class Illumination(Shift):
    """A lower sun over sloping ground.

    Every spectrum is multiplied by ``f = d + (1 - d) max(cos i, 0) / cos θ0``, d the diffuse share and i the angle
    between the sun and the ground's normal: ``cos i = cos θ cos β + sin θ sin β cos(φ - aspect)`` with slope β and sun
    zenith ``θ = θ0 + s added_zenith`` (Teillet, Guindon and Goodenough, "On the slope-aspect correction of
    multispectral scanner data", Canadian Journal of Remote Sensing 8 (2), 1982). The ground is a smooth random field
    whose gradient has the root mean square ``s tan(slope)``. The source is flat under a sun at θ0: f = 1. No cast
    shadows, and light from the sky has the sun's colour.

    Args:
        strength: 0 to 1.
        slope_deg: Slope at strength 1, 0 to 60 degrees.
        zenith_deg: Sun zenith θ0 of the source, 0 to 80 degrees.
        added_zenith_deg: Added at strength 1; together at most 85 degrees.
        azimuth_deg: Of the sun, clockwise from up in the image.
        diffuse: Share of light from the whole sky, 0 to 1.
        length: Correlation length of the ground in pixels.
    """

    name: ClassVar[str] = "illumination"

    slope_deg: float = 20.0
    zenith_deg: float = 30.0
    added_zenith_deg: float = 20.0
    azimuth_deg: float = 135.0
    diffuse: float = 0.15
    length: float = 40.0

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = "shift illumination"
        check_within(owner, "slope_deg", self.slope_deg, 0.0, 60.0)
        check_within(owner, "zenith_deg", self.zenith_deg, 0.0, 80.0)
        check_within(owner, "added_zenith_deg", self.added_zenith_deg, 0.0, 85.0 - self.zenith_deg)
        check_within(owner, "azimuth_deg", self.azimuth_deg, -360.0, 360.0)
        check_within(owner, "diffuse", self.diffuse, 0.0, 1.0)
        check_within(owner, "length", self.length, 1.0, 10_000.0)

    def factor(self, shape: tuple[int, int], seed: int) -> NDArray[np.float32] | None:
        """(H, W) what every spectrum is multiplied by; None for 1 everywhere."""
        if self.strength == 0:
            return None
        height = gaussian_field((shape[0] + 2, shape[1] + 2), self.length, seed)
        # A Gaussian covariance of this length makes each derivative's standard deviation 1 / length.
        steepness = self.strength * math.tan(math.radians(self.slope_deg)) * self.length / math.sqrt(2)
        # Central differences, half the distance between a pixel's two neighbours.
        height *= np.float32(steepness / 2)
        return self.factor_of(height[2:, 1:-1] - height[:-2, 1:-1], height[1:-1, 2:] - height[1:-1, :-2])

    def factor_of(self, down: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
        """The factor for the ground's derivatives along the rows' and the columns' axis, both (H, W)."""
        zenith = math.radians(self.zenith_deg + self.strength * self.added_zenith_deg)
        azimuth = math.radians(self.azimuth_deg)
        to_sun_right, to_sun_down = math.sin(azimuth) * math.sin(zenith), -math.cos(azimuth) * math.sin(zenith)
        cos_incidence = math.cos(zenith) - right * to_sun_right - down * to_sun_down
        cos_incidence = cos_incidence / np.sqrt(1 + right**2 + down**2)
        direct = np.maximum(cos_incidence, 0) / math.cos(math.radians(self.zenith_deg))
        factor: NDArray[np.float32] = (self.diffuse + (1 - self.diffuse) * direct).astype(np.float32)
        return factor


def vegetation(library: EndmemberLibrary) -> NDArray[np.float64]:
    """(R,) NDVI of the materials, cut to 0..1; zeros where the library has no bands near 670 and 800 nm."""
    wavelengths = library.wavelengths_nm
    if wavelengths is None:
        return np.zeros(library.num_materials)
    bands = [int(np.abs(wavelengths - centre).argmin()) for centre in (670, 800)]
    if any(abs(wavelengths[band] - centre) > _NEAR_NM for band, centre in zip(bands, (670, 800), strict=True)):
        return np.zeros(library.num_materials)
    red, infrared = (library.spectra[:, band].astype(np.float64) for band in bands)
    total = np.maximum(np.abs(red + infrared), 1e-12)
    cut: NDArray[np.float64] = np.clip((infrared - red) / total, 0, 1)
    return cut


def _drying_curve(wavelengths: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if wavelengths is None:
        return np.zeros(1)

    def hump(centre: float, width: float) -> NDArray[np.float64]:
        bell: NDArray[np.float64] = np.exp(-(((wavelengths - centre) / width) ** 2) / 2)
        return bell

    def step(argument: NDArray[np.float64]) -> NDArray[np.float64]:
        rise: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(argument, -60, 60)))
        return rise

    plateau = step((wavelengths - 720) / 15) * step((1300 - wavelengths) / 40)
    return hump(670, 40) - 0.3 * plateau + 0.4 * hump(1450, 70) + 0.4 * hump(1940, 90)
