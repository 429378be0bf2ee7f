"""What numbers a scene has, and whether another scene's numbers can be of the same kind.

A trained model needs the kind of numbers it was trained on: counts, radiance or reflectance, not normalized. Values are
compared independently of bands and by quantiles, so that a few dead or saturated pixels have no effect:

- a factor on the whole scene: 99 % of the magnitudes are below a number that is more than :data:`FACTOR` times that of
  the other scene, or less than its inverse. Light and ground differ by less, most units by more: reflectance in percent
  by 100, 8 bits of reflectance times 10,000 by 39. Every spectrum of L2 norm 1, and a cube that as a whole runs exactly
  from 0 to 1 where the source's doesn't, are a factor as well;
- an offset on the whole scene: the darkest numbers of a spectrum (5 % of its bands are below) are another share of its
  brightest (5 % are above). That share is compared at the spectrum that a quarter is below, whatever light falls on
  it, and may differ by :data:`OFFSET`; by :data:`OWN_OFFSET` where the given cube was scaled from 0 to 1 as a whole,
  since then something was subtracted. How much that does depends on the scene: an offset of 0.005 of the brightest
  numbers changes 7 % of the map that an SVM on spectra of L2 norm 1 makes of Indian Pines, 18 % after
  ``l2-then-standardize``; one of 0.02 changes 35 and 49 %, but 1 to 4 % of Samson, Jasper Ridge and MUUFL;
- bands scaled one by one: every band runs exactly from 0 to 1, or has mean 0 and deviation 1, or a good part of the
  numbers is negative where the other scene had none.

A factor cancels in the normalizations that begin with the L2 norm
(:data:`~sceneshift.scenes.normalization.UNITLESS`), an offset in ``derivative``, and bands scaled one by one in none.
Fewer than :data:`LEAST_SPECTRA` spectra may all be water or shadow: of them only a factor is judged, by whether their
median is ten times darker than the other's darkest spectra, or ten times brighter than its brightest.

Reflectance of 0..1 shown to a model trained on other reflectance of 0..1 that means something else is not seen.

Shape letters: C bands.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.measured import measured_pixels
from sceneshift.scenes.normalization import UNITLESS
from sceneshift.scenes.sampled_spectra import SampledSpectra

#: How many times larger the numbers of one scene may be than those of another in the same unit.
FACTOR = 5.0

#: Largest difference between two scenes in one unit in the share that dark bands have of bright ones.
OFFSET = 0.1

#: The same if the given scene was scaled from 0 to 1 as a whole.
OWN_OFFSET = 0.005

#: With fewer spectra, an input is a patch, not a scene.
LEAST_SPECTRA = 256

#: How many times the median of a few spectra may exceed a scene's brightest, or fall below its darkest.
_PATCH_FACTOR = 10.0

#: The step that removes an offset of whole spectra.
_WITHOUT_OFFSET = "derivative"

#: The magnitude compared is the 99th percentile.
_HIGH = 0.99

#: A spectrum's dark and bright bands, not its two noisiest; and the spectrum whose share of one in the other counts.
_DARK_BANDS, _BRIGHT_BANDS, _FEW_SPECTRA = 0.05, 0.95, 0.25

#: Numbers that these are taken from; 8 MB.
_SAMPLE = 2**20

#: The darkest and brightest spectra are these shares: a few dead or burnt-out pixels don't count.
_DARK, _BRIGHT = 0.001, 0.999

#: A share of negative numbers that no noise around zero makes, and one that it may make.
_MANY_NEGATIVE, _FEW_NEGATIVE = 0.25, 0.01

#: Fewer spectra may be of norm 1, or span 0 to 1, by chance.
_LEAST_NORMALIZED = 9

#: What a normalization leaves, by the field that shows it.
_NORMALIZED = {
    "unit_norm": "every spectrum has L2 norm 1",
    "unit_range": "every band runs exactly from 0 to 1",
    "standardized": "every band has mean 0 and standard deviation 1",
}

#: Those of them that are a factor on each spectrum, the same for all its bands.
_FACTORS = ("unit_norm",)

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
        dark: Brightness that one spectrum in a thousand is below.
        median: The median brightness.
        bright: Brightness that one spectrum in a thousand is above.
        unit_norm: Every spectrum has L2 norm 1.
        unit_range: Every band runs from 0 to 1, except constant ones.
        standardized: Every band has mean 0 and standard deviation 1, except constant ones.
        magnitude: The magnitude that one number in a hundred is above, from spectra drawn at random where there are
            many; None in summaries of earlier versions.
        floor: Share of its brightest bands that a spectrum's darkest have, at the spectrum a quarter is below; None
            in summaries of earlier versions.
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
    magnitude: float | None = None
    floor: float | None = None

    @property
    def own_extremes(self) -> bool:
        """Whether the cube as a whole runs exactly from 0 to 1."""
        return self.num_spectra >= _LEAST_NORMALIZED and abs(self.low) < 1e-6 and abs(self.high - 1) < 1e-6

    @classmethod
    def of(
        cls,
        cube: NDArray[np.generic],
        *,
        prepare: Callable[[NDArray[np.generic]], NDArray[np.generic]] | None = None,
    ) -> Self:
        """Look through a cube, some rows at a time.

        Args:
            cube: (..., C), of any numeric type.
            prepare: Makes of (..., C) spectra those that are summarized, such as other bands; by default the same.

        Raises:
            InvalidInputError: It is empty, or holds NaN or infinity.
        """
        if cube.size == 0:
            raise InvalidInputError(f"an array of shape {cube.shape} holds no number; expected spectra of some bands.")
        bands = cube.shape[-1] if prepare is None else prepare(cube[(0,) * (cube.ndim - 1)]).shape[-1]
        sample = SampledSpectra(max(1, _SAMPLE // bands))
        low, high = np.full(bands, np.inf), np.full(bands, -np.inf)
        total, squares, negative, count = np.zeros(bands), np.zeros(bands), 0, 0
        brightness = []
        shift = None
        for block in _spectra(cube, prepare):
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
            sample.add(block)
            count += len(block)
            brightness.append(np.sqrt((block**2).mean(axis=1)))
        if shift is None:
            raise InvalidInputError("every number of the input is zero; expected spectra. Is it another file?")
        mean = shift + total / count
        deviation = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
        varying = high > low
        of_spectra = np.concatenate(brightness)
        enough = count >= _LEAST_NORMALIZED
        sampled = sample.spectra()
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
            magnitude=float(np.quantile(np.abs(sampled), _HIGH)),
            floor=_floor(sampled),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON, which :meth:`from_dict` takes back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a summary from what :meth:`as_dict` gave, or an earlier version, which had no quantiles.

        Raises:
            InvalidInputError: The values are something else.
        """
        known = {f.name for f in fields(cls)}
        if not isinstance(values, Mapping) or set(values) | {"magnitude", "floor"} != known:
            raise InvalidInputError(f"{values!r} is not a summary of a scene's numbers; the description was damaged.")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class ValueDifference:
    """What sets the values of two scenes apart; see the module.

    Args:
        factor: A factor is between them.
        offset: An offset is between them.
        bands: Bands of one were scaled one by one, and of the other not.
        reasons: What shows it, one clause each.
    """

    factor: bool = False
    offset: bool = False
    bands: bool = False
    reasons: tuple[str, ...] = ()

    def allows(self, normalization: str) -> bool:
        """Whether a normalization removes all differences."""
        return not (
            self.bands
            or (self.factor and normalization not in UNITLESS)
            or (self.offset and normalization != _WITHOUT_OFFSET)
        )


def compare_values(
    source: ValueSummary,
    given: ValueSummary,
    *,
    names: tuple[str, str] = ("the source", "the input"),
    declared: bool = False,
    both_ways: bool = False,
    is_part: bool = False,
) -> ValueDifference:
    """Compare the values of two scenes.

    Args:
        source: Of one scene.
        given: Of another.
        names: What they are called in the reasons.
        declared: Whether both scenes state their unit. Then an offset is taken as known, and a cube that runs from 0 to
            1 as one that was meant to; a factor is not, since a unit's text doesn't scale anything.
        both_ways: Whether a normalization is looked for in the source as well, where the other's values are not.
            Without, the given values may be a part of what the source's file was normalized with.
        is_part: Whether the given values are patches of a scene, however many.
    """
    factor = offset = bands = False
    reasons = []
    ways = [((given, names[1]), (source, names[0]))]
    for (one, own), (other, theirs) in (*ways, ways[0][::-1]) if both_ways else ways:
        for field, words in _NORMALIZED.items():
            if getattr(one, field) and not getattr(other, field):
                factor, bands = factor or field in _FACTORS, bands or field not in _FACTORS
                reasons.append(f"{own} was normalized already: {words}")
        if one.negative > _MANY_NEGATIVE and other.negative < _FEW_NEGATIVE:
            bands = True
            reasons.append(
                f"{one.negative:.0%} of the numbers of {own} are negative, of {theirs} {other.negative:.0%}, as if "
                "a mean was subtracted"
            )
    stretched = given.own_extremes and not (given.unit_range or source.own_extremes or declared)
    if stretched:
        factor = True
        reasons.append(f"{names[1]} was normalized already: as a whole it runs exactly from 0 to 1")
    if is_part or min(source.num_spectra, given.num_spectra) < LEAST_SPECTRA:
        if _is_other_brightness(source, given):
            factor = True
            reasons.append(
                f"the median spectrum of {names[1]} has a brightness (root mean square over bands) of "
                f"{given.median:.4g}, those of {names[0]} have {source.dark:.4g} to {source.bright:.4g}"
            )
        return ValueDifference(factor=factor, offset=offset, bands=bands, reasons=tuple(reasons))
    high, other_high = _high(source, given)
    if not high / FACTOR <= other_high <= high * FACTOR:
        factor = True
        reasons.append(
            f"99 % of the numbers are below {high:.4g} in {names[0]} and below {other_high:.4g} in {names[1]}, more "
            f"than {FACTOR:g} times apart"
        )
    shares = _floors(source, given, by_extremes=stretched)
    if shares is not None and not declared:
        most = OWN_OFFSET if stretched else OFFSET
        if abs(shares[0] - shares[1]) > most:
            offset = True
            reasons.append(
                f"the darkest bands have {shares[0]:.3f} of the brightest in {names[0]} and {shares[1]:.3f} in "
                f"{names[1]}, more than {most:g} apart, as if something was added or subtracted"
            )
    return ValueDifference(factor=factor, offset=offset, bands=bands, reasons=tuple(reasons))


def refuse_other_values(
    source: ValueSummary,
    given: ValueSummary,
    *,
    normalization: str,
    unit: str | None = None,
    declared: bool = False,
    is_part: bool = False,
) -> None:
    """Reject values that can't be of the source's kind; the module's docstring says which.

    Args:
        source: Of the scene a model was trained on.
        given: Of what it is shown.
        normalization: The step the model applies itself.
        unit: What the source's numbers are, where that is known.
        declared: As for :func:`compare_values`.
        is_part: As for :func:`compare_values`.

    Raises:
        InvalidInputError: Saying what was got, what is expected, and what to do.
    """
    difference = compare_values(source, given, declared=declared, is_part=is_part)
    if difference.allows(normalization):
        return
    kind = "numbers as the source's file has them" if unit is None else f"{unit} as in the source"
    raise InvalidInputError(
        f"the input runs from {given.low:g} to {given.high:g}: {'; '.join(difference.reasons)}. The model normalizes "
        f"itself ({normalization}); expected {kind}, {source.low:g} to {source.high:g}. Declare what the input's "
        "numbers are divided by (--scale, or in its file or the catalogue), convert it to the source's unit, or pass "
        "--accept-values if it is right all the same."
    )


def _is_other_brightness(source: ValueSummary, given: ValueSummary) -> bool:
    return not source.dark / _PATCH_FACTOR <= given.median <= source.bright * _PATCH_FACTOR


def _high(source: ValueSummary, given: ValueSummary) -> tuple[float, float]:
    """The high end of both: their magnitudes, else what summaries of earlier versions have too."""
    if source.magnitude is None or given.magnitude is None:
        return source.bright, given.bright
    return source.magnitude, given.magnitude


def _floors(source: ValueSummary, given: ValueSummary, *, by_extremes: bool) -> tuple[float, float] | None:
    """The low end of both as a share of their high end; None where a summary of an earlier version lacks it."""
    if source.floor is not None and given.floor is not None:
        return source.floor, given.floor
    if by_extremes:
        return source.low / max(abs(source.low), abs(source.high)), given.low / max(abs(given.low), abs(given.high))
    return None


def _floor(spectra: NDArray[np.float64]) -> float:
    """Of (N, C) spectra that are not zero."""
    dark = np.quantile(spectra, _DARK_BANDS, axis=1)
    bright = np.quantile(np.abs(spectra), _BRIGHT_BANDS, axis=1)
    shares = dark / np.maximum(np.maximum(np.abs(dark), bright), np.finfo(np.float64).tiny)
    return float(np.quantile(shares, _FEW_SPECTRA))


def _spectra(
    cube: NDArray[np.generic], prepare: Callable[[NDArray[np.generic]], NDArray[np.generic]] | None
) -> Iterator[NDArray[np.float64]]:
    rows = cube[None] if cube.ndim == 1 else cube
    step = max(1, _BLOCK * len(rows) // rows.size)
    for start in range(0, len(rows), step):
        block = rows[start : start + step].reshape(-1, cube.shape[-1])
        yield (block if prepare is None else prepare(block)).astype(np.float64)
