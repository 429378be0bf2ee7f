"""Normalization of cubes before a network sees them: one named step, fitted on the source scene alone.

Of several sources the step is fitted once, on the measured pixels of all of them together, and applied to each of them
and to the target. An unlabelled target can't be given its own step, so the sources can't each have
theirs: one transform for all domains, as image benchmarks of domain generalization have it (DomainBed: Gulrajani and
Lopez-Paz, ICLR 2021; from memory). Steps fitted scene by scene would need the target's statistics.

x is a pixel's number in one band, in the unit of the scene's file; y is what the network sees. Minimum, maximum, mean
and standard deviation (of the population) are those of the band over all measured pixels of the source scene, labelled
or not, those that validate among them. An unmeasured pixel, which is zero in every band, is in no figure, and becomes
zero in every band: what a convolution's padding holds, the mean of the standardized steps, and the same whatever piece
of a scene is mapped. So patches at the edge of the measured area look alike in training and in mapping.

- ``l2-per-pixel``: y = x / sqrt(sum over bands of x²); no unit; a pixel of zeros stays zero. Nothing is fitted.
- ``minmax-per-band``: y = (x - minimum) / (maximum - minimum); the source is in [0, 1], a target may go beyond.
- ``standardize-per-band``: y = (x - mean) / standard deviation.
- ``l2-then-standardize``: ``l2-per-pixel``, and ``standardize-per-band`` of what comes out, mean and deviation with it.
- ``derivative``: the first difference along bands, d_b = (x_(b+1) - x_(b-1)) / 2 and one-sided at both ends
  (``numpy.gradient``), and ``standardize-per-band`` of that. Differences are per band, not per nanometre: how far
  bands are apart cancels with the deviation. What is added to a whole spectrum, such as haze, cancels as well.
- ``none``: y = x.

A band that is constant over the source carries no information, and becomes 0 in every scene. The first three are
scikit-learn's ``Normalizer``, ``MinMaxScaler`` and ``StandardScaler`` (Pedregosa et al., JMLR 12, 2011), which leave a
target's constant band unscaled instead; derivative spectra are those of Tsai and Philpot (Remote Sensing of Environment
66, 1998), without their smoothing.

Shape letters: C bands, N pixels.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.scenes.measured import measured_pixels

NORMALIZATIONS = (
    "l2-per-pixel",
    "minmax-per-band",
    "standardize-per-band",
    "l2-then-standardize",
    "derivative",
    "none",
)

#: The steps that remove a factor on the whole scene, so that they do not depend on its unit.
UNITLESS = ("l2-per-pixel", "l2-then-standardize")

_FITTED = ("minmax-per-band", "standardize-per-band", "l2-then-standardize", "derivative")

#: Numbers worked on at once: 2 MB in float64, which stay in a core's cache.
_BLOCK = 2**18


def check_normalization(name: str) -> None:
    """Reject an unknown normalization.

    Raises:
        InvalidInputError: Naming the nearest, and those there are.
    """
    if name not in NORMALIZATIONS:
        raise InvalidInputError(
            f"normalization = {name!r}{nearest_name(name, NORMALIZATIONS)}; "
            f"expected one of {', '.join(NORMALIZATIONS)}."
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Normalization:
    """A step with what was fitted; :meth:`fit` makes one. The module says what each step computes.

    Args:
        name: One of :data:`NORMALIZATIONS`.
        offset: (C,) float64, subtracted from each band (of ``l2-then-standardize`` and ``derivative``: of what their
            first half makes of it), in the source's unit; None where nothing is fitted.
        scale: (C,) float64, what each band is then divided by, in the source's unit; 0 for a band that is constant
            over the source; None where nothing is fitted.

    Raises:
        InvalidInputError: The name is unknown, or offset and scale are not what the step needs.
    """

    name: str
    offset: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        check_normalization(self.name)
        if self.name not in _FITTED:
            if self.offset is not None or self.scale is not None:
                raise InvalidInputError(f"normalization {self.name!r} takes neither offset nor scale.")
            return
        offset, scale = (np.array(values, dtype=np.float64) for values in (self.offset, self.scale))
        fits = offset.ndim == 1 and offset.size > 0 and offset.shape == scale.shape
        if not fits or not np.isfinite([offset, scale]).all() or scale.min() < 0:
            raise InvalidInputError(
                f"normalization {self.name!r}: offset of shape {offset.shape} and scale of shape {scale.shape}; "
                "expected one finite offset and one finite scale >= 0 for each band."
            )
        for key, values in (("offset", offset), ("scale", scale)):
            values.setflags(write=False)
            object.__setattr__(self, key, values)

    @classmethod
    def fit(cls, name: str, *cubes: NDArray[np.generic]) -> Self:
        """Fit a step on a source scene, or on several together.

        Args:
            name: One of :data:`NORMALIZATIONS`.
            cubes: (..., C) each, of any numeric type, finite: the sources' cubes, never a target's. Unmeasured pixels,
                zero in every band, are ignored; all others count alike, whichever cube they are of.

        Raises:
            InvalidInputError: The name is unknown; or the step is fitted and a cube is empty or has other bands than
                the first, no pixel is measured, or there is NaN or infinity.
        """
        check_normalization(name)
        if name not in _FITTED:
            return cls(name=name)
        for cube in cubes:
            if cube.size == 0:
                raise InvalidInputError(
                    f"normalization {name!r}: a cube of shape {cube.shape} has nothing to fit it on."
                )
            if name == "derivative" and cube.shape[-1] < 2:
                raise InvalidInputError(f"normalization {name!r}: {cube.shape[-1]} band; expected two or more.")
            if cube.shape[-1] != cubes[0].shape[-1]:
                raise InvalidInputError(
                    f"normalization {name!r}: cubes of {cubes[0].shape[-1]} and {cube.shape[-1]} bands; align them "
                    "first."
                )
        low, high, num_pixels = _extremes(name, *cubes)
        if num_pixels == 0:
            raise InvalidInputError(
                f"normalization {name!r}: every pixel is zero in every band, so none is measured; expected spectra. Is "
                "it the right file?"
            )
        if not np.isfinite([low, high]).all():
            raise InvalidInputError(
                f"normalization {name!r}: NaN or infinity in the cube; mask those pixels or leave the bands out."
            )
        if name == "minmax-per-band":
            return cls(name=name, offset=low, scale=high - low)
        mean = sum(block.sum(axis=0) for block in _first_half(name, *cubes)) / num_pixels
        variance = sum(((block - mean) ** 2).sum(axis=0) for block in _first_half(name, *cubes)) / num_pixels
        # A constant band's mean may round, and its deviation with it: not to be divided by.
        return cls(name=name, offset=mean, scale=np.where(low == high, 0.0, np.sqrt(variance)))

    def apply(self, cube: NDArray[np.generic]) -> NDArray[np.float32]:
        """Normalize a cube or patches: of the source or of a target, by what was fitted on the source.

        A pixel that is zero in every band, and so unmeasured, becomes zero in every band.

        Computed block by block along the first axis, so that little memory is needed besides the result.

        Args:
            cube: (..., C) of any numeric type, in the source's unit (for :data:`UNITLESS` in any).

        Returns:
            (..., C) float32, always a new array.

        Raises:
            InvalidInputError: The cube has another number of bands than the step was fitted on.
        """
        if self.name == "l2-per-pixel":
            return normalize_l2_per_pixel(cube)
        if self.offset is None or self.scale is None:
            return np.array(cube, dtype=np.float32, order="C")
        if cube.shape[-1:] != self.offset.shape:
            raise InvalidInputError(
                f"got a cube of shape {cube.shape}; this normalization ({self.name}) was fitted on "
                f"{len(self.offset)} bands, which must come last: align the scene's bands with the source's."
            )
        # Anything finite divided by infinity is 0; a NaN stays one.
        offset, divisor = self.offset, np.where(self.scale == 0, np.inf, self.scale)

        def normalize(block: NDArray[np.generic], out: NDArray[np.float32]) -> None:
            # Wide, else the source's maximum comes out next to 1.
            wide = _halfway(self.name, block)
            wide -= offset
            wide /= divisor
            out[...] = wide
            out[~measured_pixels(block)] = 0

        return _by_blocks(normalize, cube)

    def undo(self, spectra: NDArray[np.floating]) -> NDArray[np.float64]:
        """Give normalized spectra back in the source's unit.

        A spectrum's L2 norm is not kept: what :data:`UNITLESS` made comes back of norm 1, with its angles but without
        its brightness. Nor is the level under a difference: what ``derivative`` made comes back as differences.

        Args:
            spectra: (..., C).

        Returns:
            (..., C) float64.
        """
        values = np.array(spectra, dtype=np.float64)
        return values if self.offset is None or self.scale is None else self.offset + self.scale * values

    def as_dict(self) -> dict[str, Any]:
        """The step as plain values, fit for JSON, which :meth:`from_dict` takes back without loss."""
        offset, scale = (None if values is None else values.tolist() for values in (self.offset, self.scale))
        return {"name": self.name, "offset": offset, "scale": scale}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a step from what :meth:`as_dict` gave.

        Raises:
            InvalidInputError: The values are something else.
        """
        known = {f.name for f in fields(cls)}
        if not isinstance(values, Mapping) or set(values) != known:
            raise InvalidInputError(
                f"{values!r} is not a normalization; expected a mapping of {', '.join(sorted(known))}."
            )
        return cls(**values)


def constant_bands(*cubes: NDArray[np.generic]) -> NDArray[np.intp]:
    """Indices of the bands of cubes (..., C) that have one value at all measured pixels of all of them."""
    low, high, _ = _extremes("none", *cubes)
    return np.flatnonzero(low == high)


def normalize_l2_per_pixel(cube: NDArray[np.generic]) -> NDArray[np.float32]:
    """Divide every pixel's spectrum by its L2 norm; a pixel of zeros stays zero.

    Args:
        cube: (..., C) of any numeric type.

    Returns:
        (..., C) float32.
    """

    def normalize(block: NDArray[np.generic], out: NDArray[np.float32]) -> None:
        out[...] = block
        # Band by band, not with numpy's sum, whose order depends on the memory layout: a pixel gets the
        # same digits in a cube, in a part of it and in a patch.
        squares = np.zeros(out.shape[:-1], dtype=np.float32)
        for band in range(out.shape[-1]):
            squares += out[..., band] * out[..., band]
        squares[squares == 0] = np.inf
        out /= np.sqrt(squares)[..., None]

    return _by_blocks(normalize, cube)


def _by_blocks(
    normalize: Callable[[NDArray[np.generic], NDArray[np.float32]], None], cube: NDArray[np.generic]
) -> NDArray[np.float32]:
    """Fill a new float32 array of the cube's shape, some rows of the first axis at a time."""
    result = np.empty(cube.shape, dtype=np.float32)
    rows, out = np.atleast_2d(cube), np.atleast_2d(result)
    for part in _parts(rows):
        normalize(rows[part], out[part])
    return result


def _extremes(name: str, *cubes: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """(C,) each: the lowest and highest number of each band after a step's first half; and of how many pixels."""
    bands = cubes[0].shape[-1]
    low, high, num_pixels = np.full(bands, np.inf), np.full(bands, -np.inf), 0
    for block in _first_half(name, *cubes):
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        num_pixels += len(block)
    return low, high, num_pixels


def _first_half(name: str, *cubes: NDArray[np.generic]) -> Iterator[NDArray[np.float64]]:
    """The measured spectra as (N, C) float64, some at a time, as the fitted half of a step is given them."""
    for rows in map(np.atleast_2d, cubes):
        for part in _parts(rows):
            spectra = rows[part].reshape(-1, rows.shape[-1])
            measured = measured_pixels(spectra)
            if measured.any():
                yield _halfway(name, spectra if measured.all() else spectra[measured])


def _halfway(name: str, block: NDArray[np.generic]) -> NDArray[np.float64]:
    """A new float64 array of the block's shape: what is fitted, and then scaled band by band."""
    with np.errstate(invalid="ignore"):  # infinity / infinity, infinity - infinity; the fit reports it
        match name:
            case "l2-then-standardize":
                return normalize_l2_per_pixel(block).astype(np.float64)
            case "derivative":
                return np.asarray(np.gradient(block.astype(np.float64), axis=-1))
            case _:
                return block.astype(np.float64)


def _parts(rows: NDArray[np.generic]) -> Iterator[slice]:
    step = max(1, _BLOCK * len(rows) // max(1, rows.size))
    return (slice(start, start + step) for start in range(0, len(rows), step))
