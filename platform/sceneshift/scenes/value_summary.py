"""What numbers a scene has, and whether another scene's numbers can be of the same kind.

A trained model wants the numbers it was trained on: counts or radiance or reflectance, as they were, not normalized.
Only what can be decided from the values is rejected:

- every spectrum has L2 norm 1, every band runs exactly from 0 to 1, or every band has mean 0 and deviation 1: the
  numbers went through a normalization already, which the source's numbers had not;
- a good part of them is negative where the source had none: something was subtracted;
- where the unit matters (all normalizations but :data:`~sceneshift.scenes.normalization.UNITLESS`, in which a factor
  goes out), spectra that are ten times darker than the source's darkest or ten times brighter than its brightest:
  another unit.

Reflectance of 0..1 shown to a model trained on other reflectance of 0..1 that means something else is not seen.

Shape letters: C bands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.measured import measured_pixels
from sceneshift.scenes.normalization import UNITLESS

#: So many times beyond the source's darkest and brightest spectra a scene's median spectrum may lie.
_UNIT_FACTOR = 10.0

#: The darkest and brightest spectra are these shares: a few dead or burnt-out pixels don't count.
_DARK, _BRIGHT = 0.001, 0.999

#: A share of negative numbers that no noise around zero makes, and one that it may make.
_MANY_NEGATIVE, _FEW_NEGATIVE = 0.25, 0.01

#: Fewer spectra may be of norm 1, or span 0 to 1, by chance.
_LEAST_SPECTRA = 9

#: What a normalization leaves, by the field that shows it.
_NORMALIZED = {
    "unit_norm": "every spectrum has L2 norm 1",
    "unit_range": "every band runs exactly from 0 to 1",
    "standardized": "every band has mean 0 and standard deviation 1",
}

#: Numbers worked on at once: 2 MB in float64.
_BLOCK = 2**18


@dataclass(frozen=True, kw_only=True)
class ValueSummary:
    """Figures of a cube's numbers. A spectrum's brightness is its root mean square over the bands.

    Args:
        num_spectra: Measured pixels, which are not zero in every band; the figures below are of these.
        low: The smallest number.
        high: The largest number.
        negative: Share of numbers below zero.
        dark: Brightness that one spectrum in a thousand lies below.
        median: The median brightness.
        bright: Brightness that one spectrum in a thousand lies above.
        unit_norm: Every spectrum has L2 norm 1.
        unit_range: Every band runs from 0 to 1, but for constant ones.
        standardized: Every band has mean 0 and standard deviation 1, but for constant ones.
    """

    num_spectra: int
    low: float
    high: float
    negative: float
    dark: float
    median: float
    bright: float
    unit_norm: bool
    unit_range: bool
    standardized: bool

    @classmethod
    def of(cls, cube: NDArray[np.generic]) -> Self:
        """Look through a cube, some rows at a time.

        Args:
            cube: (..., C), of any numeric type.

        Raises:
            InvalidInputError: It is empty, or holds NaN or infinity.
        """
        if cube.size == 0:
            raise InvalidInputError(f"an array of shape {cube.shape} holds no number; expected spectra of some bands.")
        bands = cube.shape[-1]
        low, high = np.full(bands, np.inf), np.full(bands, -np.inf)
        total, squares, negative, count = np.zeros(bands), np.zeros(bands), 0, 0
        brightness = []
        shift = None
        for block in _spectra(cube):
            if not np.isfinite(block).all():
                bad = np.flatnonzero(~np.isfinite(block).all(axis=0))
                raise InvalidInputError(
                    f"NaN or infinity in the input (band {bad[0]} for one); mask those pixels or leave the bands out."
                )
            block = block[measured_pixels(block)]
            if len(block) == 0:
                continue
            # Sums of squares lose no digits where they are of differences from a first mean.
            shift = block.mean(axis=0) if shift is None else shift
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
            total += (block - shift).sum(axis=0)
            squares += ((block - shift) ** 2).sum(axis=0)
            negative += int((block < 0).sum())
            count += len(block)
            brightness.append(np.sqrt((block**2).mean(axis=1)))
        if shift is None:
            raise InvalidInputError("every number of the input is zero; expected spectra. Is it another file?")
        mean = shift + total / count
        deviation = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
        varying = high > low
        of_spectra = np.concatenate(brightness)
        enough = count >= _LEAST_SPECTRA
        return cls(
            num_spectra=count,
            low=float(low.min()),
            high=float(high.max()),
            negative=negative / (count * bands),
            dark=float(np.quantile(of_spectra, _DARK)),
            median=float(np.median(of_spectra)),
            bright=float(np.quantile(of_spectra, _BRIGHT)),
            unit_norm=enough and bool((np.abs(of_spectra * np.sqrt(bands) - 1) < 1e-3).all()),
            unit_range=enough
            and bool(varying.any())
            and bool((np.abs(low[varying]) < 1e-6).all() and (np.abs(high[varying] - 1) < 1e-6).all()),
            standardized=enough
            and bool(varying.any())
            and bool((np.abs(mean[varying]) < 1e-2).all() and (np.abs(deviation[varying] - 1) < 1e-2).all()),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON, which :meth:`from_dict` takes back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a summary from what :meth:`as_dict` gave.

        Raises:
            InvalidInputError: The values are something else.
        """
        if not isinstance(values, Mapping) or set(values) != {f.name for f in fields(cls)}:
            raise InvalidInputError(f"{values!r} is no summary of a scene's numbers; the description was damaged.")
        return cls(**values)


def normalized_already(source: ValueSummary, given: ValueSummary) -> dict[str, str]:
    """Evidence that values went through a normalization that the source's had not: descriptions by field.

    Args:
        source: Of one scene.
        given: Of another.
    """
    return {name: words for name, words in _NORMALIZED.items() if getattr(given, name) and not getattr(source, name)}


def is_other_brightness(source: ValueSummary, given: ValueSummary) -> bool:
    """Whether a scene's median spectrum is too dark or too bright for the source's unit, by more than a factor of ten.

    Args:
        source: Of one scene.
        given: Of another.
    """
    return not source.dark / _UNIT_FACTOR <= given.median <= source.bright * _UNIT_FACTOR


def refuse_other_values(
    source: ValueSummary, given: ValueSummary, *, normalization: str, unit: str | None = None
) -> None:
    """Reject values that can't be of the source's kind; the module's docstring says which.

    Args:
        source: Of the scene a model was trained on.
        given: Of what it is shown.
        normalization: The step the model applies itself.
        unit: What the source's numbers are, where that is known.

    Raises:
        InvalidInputError: Saying what was got, what is expected, and what to do.
    """
    kind = "numbers as the source's file has them" if unit is None else f"{unit} as in the source"
    expected = f"expected {kind}, {source.low:g} to {source.high:g}"
    unit_matters = normalization not in UNITLESS
    for name, words in normalized_already(source, given).items():
        if unit_matters or name != "unit_norm":  # the L2 norm leaves such spectra as they are
            raise InvalidInputError(
                f"the input was normalized already: {words}. The model normalizes itself ({normalization}); {expected}."
            )
    if given.negative > _MANY_NEGATIVE and source.negative < _FEW_NEGATIVE:
        raise InvalidInputError(
            f"{given.negative:.0%} of the input's numbers are negative, of the source's {source.negative:.0%}: was "
            f"a mean subtracted? The model normalizes itself ({normalization}); {expected}."
        )
    if unit_matters and is_other_brightness(source, given):
        raise InvalidInputError(
            f"the input's median spectrum has a brightness (root mean square over bands) of {given.median:.4g}, the "
            f"source's have {source.dark:.4g} to {source.bright:.4g}; {normalization} keeps the unit, so {expected}. "
            "Is one counts and the other reflectance, or scaled by another factor? Convert it to the source's unit."
        )


def _spectra(cube: NDArray[np.generic]) -> Iterator[NDArray[np.float64]]:
    rows = cube[None] if cube.ndim == 1 else cube
    step = max(1, _BLOCK * len(rows) // rows.size)
    for start in range(0, len(rows), step):
        yield rows[start : start + step].reshape(-1, cube.shape[-1]).astype(np.float64)
