"""Scores of unmixing for scenes with reference abundances, compared with least squares.

Shape letters: N pixels, H rows, W columns, C bands, R endmembers, M materials (R = M if they are matched).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, nnls

from sceneshift.errors import InvalidInputError

#: Weight of the sum-to-one row, as a multiple of the endmembers' largest norm: it holds the sum to about 1e-5.
_SUM_WEIGHT = 1e3


@dataclass(frozen=True, kw_only=True, eq=False)
class UnmixingScores:
    """Scores of one unmixing method against the reference.

    Args:
        name: The method.
        materials: The M names.
        abundance_rmse: Root mean squared error of abundances over all pixels and materials, 0..1.
        rmse_per_material: (M,).
        angles: (M,) radians between each material's reference spectrum and the endmember matched to it.
    """

    name: str
    materials: tuple[str, ...]
    abundance_rmse: float
    rmse_per_material: NDArray[np.float64]
    angles: NDArray[np.float64]


def score_unmixing(
    name: str,
    *,
    endmembers: NDArray[np.floating],
    abundances: NDArray[np.floating],
    reference_endmembers: NDArray[np.floating],
    reference_abundances: NDArray[np.floating],
    materials: tuple[str, ...],
) -> UnmixingScores:
    """Match endmembers to materials by spectral angle, one to one, then compare abundances.

    Args:
        name: The method.
        endmembers: (C, M), in the reference's units, since an angle depends on the origin.
        abundances: (N, M), with columns in the order of the endmembers.
        reference_endmembers: (C, M).
        reference_abundances: (N, M).
        materials: The M names.

    Raises:
        InvalidInputError: Shapes don't fit each other.
    """
    if endmembers.shape != reference_endmembers.shape or abundances.shape != reference_abundances.shape:
        raise InvalidInputError(
            f"endmembers {endmembers.shape} and abundances {abundances.shape} against a reference of "
            f"{reference_endmembers.shape} and {reference_abundances.shape}; expected the same shapes."
        )
    angles = _angles(endmembers, reference_endmembers)
    found, of_material = linear_sum_assignment(angles)
    order = found[np.argsort(of_material)]
    squared = (abundances[:, order].astype(np.float64) - reference_abundances) ** 2
    return UnmixingScores(
        name=name,
        materials=materials,
        abundance_rmse=float(np.sqrt(squared.mean())),
        rmse_per_material=np.sqrt(squared.mean(axis=0)),
        angles=angles[order, np.arange(len(materials))],
    )


def least_squares_abundances(spectra: NDArray[np.floating], endmembers: NDArray[np.floating]) -> NDArray[np.float64]:
    """Non-negative abundances that sum to one (fully constrained least squares; Heinz and Chang, TGRS 39, 2001).

    The sum is enforced by a heavily weighted row added to the bands; scipy's non-negative least squares does the rest.

    Args:
        spectra: (N, C).
        endmembers: (C, R).

    Returns:
        (N, R).
    """
    weight = _SUM_WEIGHT * float(np.linalg.norm(endmembers, axis=0).max())
    system = np.vstack([endmembers, np.full((1, endmembers.shape[1]), weight)]).astype(np.float64)
    # Reduced once to R + 1 rows or fewer: each pixel's problem keeps its solution but no longer depends on its bands.
    q, r = np.linalg.qr(system)
    right = np.hstack([spectra, np.full((len(spectra), 1), weight)]).astype(np.float64) @ q
    return np.stack([nnls(r, pixel)[0] for pixel in right])


def find_endmembers(spectra: NDArray[np.floating], num_endmembers: int) -> NDArray[np.float64]:
    """Find the purest pixels without any label (successive projection; Araujo et al., 2001).

    Repeatedly, the spectrum with the largest norm is taken and all others are projected onto its orthogonal complement.

    Args:
        spectra: (N, C).
        num_endmembers: R, at most min(N, C).

    Returns:
        (C, R), spectra of R of the pixels.

    Raises:
        InvalidInputError: There are fewer pixels or bands than endmembers.
    """
    if not 1 <= num_endmembers <= min(spectra.shape):
        raise InvalidInputError(
            f"{num_endmembers} endmembers out of {spectra.shape[0]} pixels, {spectra.shape[1]} bands."
        )
    rest = spectra.astype(np.float64)
    chosen = []
    for _ in range(num_endmembers):
        purest = int(np.argmax(np.einsum("nc,nc->n", rest, rest)))
        chosen.append(purest)
        direction = rest[purest] / max(float(np.linalg.norm(rest[purest])), np.finfo(np.float64).tiny)
        rest -= np.outer(rest @ direction, direction)
    return spectra[chosen].astype(np.float64).T


def class_means(spectra: NDArray[np.floating], classes: NDArray[np.integer], num_classes: int) -> NDArray[np.float64]:
    """Mean spectrum of each class: (N, C) and (N,) class indices to (C, K)."""
    return np.stack([spectra[classes == k].mean(axis=0, dtype=np.float64) for k in range(num_classes)], axis=1)


def render_unmixing(scores: list[UnmixingScores]) -> str:
    """Render a Markdown table, with angles in degrees."""
    materials = scores[0].materials
    header = ["unmixing", "abundance RMSE", *(f"RMSE {m}" for m in materials), *(f"angle {m} (deg)" for m in materials)]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in scores:
        figures = [row.abundance_rmse, *row.rmse_per_material]
        cells = [row.name, *(f"{f:.3f}" for f in figures), *(f"{a:.1f}" for a in np.degrees(row.angles))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _angles(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """(C, R) against (C, M): (R, M) radians."""
    unit, other_unit = (s / np.maximum(np.linalg.norm(s, axis=0), np.finfo(np.float64).tiny) for s in (one, other))
    angles: NDArray[np.float64] = np.arccos(np.clip(unit.T.astype(np.float64) @ other_unit, -1, 1))
    return angles
