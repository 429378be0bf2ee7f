"""How a pixel's spectrum comes from its materials: mixing models and the materials' variability.

Every model here is linear in a fixed set of spectra, the *basis*: the endmembers, their variations, and the products of
two endmembers. A block of pixels is one matrix product, coefficients (N, B) times basis (B, C).

Shape letters: N pixels, C bands, R materials, Q variations per material, P = R (R - 1) / 2 pairs, B = R (1 + Q) + P.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.simulation.checks import check_within

MIXING_MODELS = ("linear", "fan", "gbm")


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How the spectra of a pixel's materials are put together.

    * ``linear``: ``x = sum_r a_r m_r``.
    * ``fan``: ``x = sum_r a_r m_r + sum_{i<j} a_i a_j (m_i * m_j) / white``: light that has met two materials. Fan, Hu,
      Miller and Li, "Comparative study between a new nonlinear model and common linear model for analysing laboratory
      simulated-forest hyperspectral data", International Journal of Remote Sensing 30 (11), 2009.
    * ``gbm``: the second sum's terms times ``gamma_ij``, drawn for every pixel and pair, uniform on (0, ``gamma``).
      Halimi, Altmann, Dobigeon and Tourneret, "Nonlinear unmixing of hyperspectral images using a generalized bilinear
      model", IEEE TGRS 49 (11), 2011.

    ``*`` is band by band; ``white`` makes reflectances of the library's units. Products are taken of the materials'
    mean spectra times their scalings (:class:`Variability`), without their perturbations.

    Args:
        model: One of :data:`MIXING_MODELS`.
        gamma: Largest interaction of ``gbm``, 0 (linear) to 1.

    Raises:
        InvalidInputError: Another model, or ``gamma`` out of range.
    """

    model: str = "linear"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if self.model not in MIXING_MODELS:
            raise InvalidInputError(
                f"mixing: model = {self.model!r}{nearest_name(str(self.model), MIXING_MODELS)}; expected one of "
                f"{', '.join(MIXING_MODELS)}."
            )
        check_within("mixing", "gamma", self.gamma, 0.0, 1.0)

    @property
    def is_bilinear(self) -> bool:
        """Whether products of two endmembers take part."""
        return self.model != "linear"


@dataclass(frozen=True, kw_only=True)
class Variability:
    """How much a material's spectrum differs from pixel to pixel.

    ``m_r(n) = psi_r(n) (m_r + perturbation sum_q z_rq(n) f_rq)``, ``psi = exp(scaling u - scaling² / 2)``, u and z
    N(0, 1): scaling as in the extended linear mixing model (Drumetz et al., IEEE TIP 25 (8), 2016), perturbation as in
    the perturbed one (Thouvenin, Dobigeon and Tourneret, IEEE TSP 64 (2), 2016), along the library's variations ``f``.
    The mean of psi is 1, so neither moves a material's mean. Nothing keeps a strongly perturbed value above zero.

    Args:
        scaling: Standard deviation of log psi.
        perturbation: Times the library's variations; 1 gives what the library has seen.
        length: Correlation length of u and z over the scene, in pixels; with 0, every pixel is drawn independently.

    Raises:
        InvalidInputError: A value is out of range.
    """

    scaling: float = 0.0
    perturbation: float = 0.0
    length: float = 0.0

    def __post_init__(self) -> None:
        check_within("variability", "scaling", self.scaling, 0.0, 1.0)
        check_within("variability", "perturbation", self.perturbation, 0.0, 10.0)
        check_within("variability", "length", self.length, 0.0, 10_000.0)


def pair_indices(num_materials: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The P pairs i < j, in order."""
    first, second = np.triu_indices(num_materials, k=1)
    return first, second


def mixing_basis(
    spectra: NDArray[np.float32], variations: NDArray[np.float32] | None, *, bilinear: bool, white: float
) -> NDArray[np.float32]:
    """The spectra that :func:`mixing_coefficients` weights.

    Args:
        spectra: (R, C).
        variations: (R, Q, C), or None where nothing is perturbed.
        bilinear: Whether the products of pairs take part.
        white: The value of a reflectance of 1.

    Returns:
        (B, C): endmembers, then material by material its variations, then pair by pair the products over ``white``.
    """
    parts = [spectra]
    if variations is not None:
        parts.append(variations.reshape(-1, spectra.shape[1]))
    if bilinear:
        first, second = pair_indices(len(spectra))
        parts.append(spectra[first] * spectra[second] / np.float32(white))
    return np.concatenate(parts)


def mixing_coefficients(
    abundances: NDArray[np.float32],
    *,
    scalings: NDArray[np.float32] | None = None,
    perturbations: NDArray[np.float32] | None = None,
    interactions: NDArray[np.float32] | float | None = None,
) -> NDArray[np.float32]:
    """What every spectrum of the basis is weighted by.

    Args:
        abundances: (N, R).
        scalings: (N, R) psi, or None for 1.
        perturbations: (N, R, Q) times the variations, or None for a basis without them.
        interactions: (N, P) gamma, or one for all; None for a basis without products.

    Returns:
        (N, B).
    """
    scaled = abundances if scalings is None else abundances * scalings
    parts = [scaled]
    if perturbations is not None:
        parts.append((scaled[:, :, None] * perturbations).reshape(len(scaled), -1))
    if interactions is not None:
        # Slices, in the order of pair_indices: indexing by arrays takes several times as long.
        products = [scaled[:, i : i + 1] * scaled[:, i + 1 :] for i in range(abundances.shape[1] - 1)]
        parts.append(np.concatenate(products, axis=1) * np.asarray(interactions, dtype=np.float32))
    return np.concatenate(parts, axis=1)
