"""Two scenes of different sensors or class lists brought to the same bands and the same classes.

Of two sensors the coarser decides: the finer one's spectra are resampled to its band centres, within the range both
have. Without band widths that is linear interpolation; with them (``fwhm_nm``) each band of the coarser sensor is a
Gaussian response

    w_i ∝ exp(-4 ln 2 (λ_i - centre)² / fwhm²) Δλ_i,   Σ w_i = 1,

summed over the finer sensor's bands λ_i, whose own widths are taken as narrow. Bands of the coarser sensor that are in
a gap of the finer one (bands of water vapour taken out, say) are left out.

Two files of one sensor, of which different bands were left out because they are empty or bad, keep the bands that both
have, as they are: by their centres where those are known, else by their place in files of the same number of bands.
Unmeasured pixels, zero in every band, stay so.

Shape letters: H rows, W columns, C bands, D bands of the finer sensor, S shared bands, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.common_bands import keep_common
from sceneshift.scenes.common_classes import share_classes
from sceneshift.scenes.measured import LeftOut
from sceneshift.scenes.scene import Scene

#: Numbers worked on at once: 2 MB in float64.
_BLOCK = 2**18

#: The share of a Gaussian response's area that must be on bands of the finer sensor.
_LEAST_COVERED = 0.9

#: A gap is wider than this many steps of both sensors.
_GAP_STEPS = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedPair:
    """Sources and a target with the same bands and the same classes, all with their labels.

    Args:
        sources: The source scenes, one in most pairs.
        target: The target scene; its classes have the sources' ids.
        notes: What was done, one line each.
    """

    sources: tuple[Scene, ...]
    target: Scene
    notes: tuple[str, ...]

    @property
    def source(self) -> Scene:
        """The source of a pair that has one."""
        (source,) = self.sources
        return source


@dataclass(frozen=True, kw_only=True)
class AlignmentRule:
    """How a source and the target correspond, as for :func:`align`.

    Args:
        class_matches: Which class of the source each class of the target is, by name; None goes by name.
        merged: New names of source classes.
        fwhm_nm: Band widths of the coarser of the two sensors; None resamples linearly.
    """

    class_matches: Mapping[str, str] | None = None
    merged: Mapping[str, str] = field(default_factory=dict)
    fwhm_nm: ArrayLike | None = None


def align(
    source: Scene,
    target: Scene,
    *,
    class_matches: Mapping[str, str] | None = None,
    merged: Mapping[str, str] | None = None,
    fwhm_nm: ArrayLike | None = None,
) -> AlignedPair:
    """Give two scenes the same classes and the same bands; see the module for how bands are resampled.

    Footprint, georeference and pixels stay what they were; labels of classes that are left out become 0.

    Args:
        source: The source.
        target: The target.
        class_matches: Which class of the source each class of the target is, by name; several may be one. What isn't
            named in it is left out. By default classes of the same name are the same.
        merged: New names of source classes; those of one name become one class, by which ``class_matches`` knows it.
        fwhm_nm: Band widths at half maximum of the coarser sensor in nanometres, one or one for each of its bands.

    Raises:
        InvalidInputError: Fewer than two classes or bands are shared; the band counts differ and wavelengths are
            unknown; or an argument is of no use.
    """
    return align_sources(
        [source], target, [AlignmentRule(class_matches=class_matches, merged=merged or {}, fwhm_nm=fwhm_nm)]
    )


def align_sources(sources: Sequence[Scene], target: Scene, rules: Sequence[AlignmentRule]) -> AlignedPair:
    """Give several sources and a target the same classes and the same bands.

    Only classes that every scene has are kept, by the first source's names. The sensor that is the coarsest of all
    decides on the bands, as between two scenes: whatever is resampled is resampled once.

    Args:
        sources: The sources.
        target: The target.
        rules: How each source and the target correspond.

    Raises:
        InvalidInputError: As for :func:`align`; or two sources take the target's classes together in different ways, or
            no sensor is the coarsest wherever all have bands.
    """
    sources, target, class_notes = share_classes(
        sources, target, [rule.class_matches for rule in rules], [rule.merged for rule in rules]
    )
    # From the coarsest sensor to the finest: the target is at its centres before a finer one is resampled.
    order = sorted(range(len(sources)), key=lambda number: sources[number].num_bands)
    aligned = list(sources)
    band_notes: list[str] = []
    for number in order:
        aligned[number], target, notes = _align_bands(sources[number], target, rules[number].fwhm_nm)
        band_notes += notes
    # Bands a later source lacks were dropped from the target, and are dropped from the sources before it.
    aligned = [_with_bands_of(target, source) for source in aligned]
    return AlignedPair(sources=tuple(aligned), target=target, notes=(*class_notes, *dict.fromkeys(band_notes)))


@dataclass(frozen=True, kw_only=True, eq=False)
class BandResampling:
    """How another sensor's bands become those a trained model knows: linear interpolation; see :func:`resample_to`.

    Args:
        left: (S,) which band is below each centre.
        right: (S,) which is above.
        share: (S,) the right one's share, 0..1.
        note: What is done, in a line.
    """

    left: NDArray[np.intp]
    right: NDArray[np.intp]
    share: NDArray[np.float64]
    note: str

    def apply(self, cube: NDArray[np.generic]) -> NDArray[np.float32]:
        """(..., D) to (..., S) float32; a pixel gives the same digits in every piece of a scene."""
        low, high = cube[..., self.left].astype(np.float64), cube[..., self.right].astype(np.float64)
        low += (high - low) * self.share
        return low.astype(np.float32)


def resample_to(centres_nm: NDArray[np.float64], scene: str, wavelengths_nm: NDArray[np.float64]) -> BandResampling:
    """How a scene's bands are brought to the band centres of a model, which can't be changed any more.

    The scene's sensor must be at least as fine as the model's. A centre less than half a step of the scene's bands
    beyond the last of them takes that band.

    Args:
        centres_nm: (S,) the model's.
        scene: The scene's name, for messages.
        wavelengths_nm: (D,) the scene's.

    Raises:
        InvalidInputError: The scene's bands are coarser, don't reach as far, or have a gap where the model has bands.
    """
    wanted = f"the model needs {len(centres_nm)} bands from {centres_nm.min():g} to {centres_nm.max():g} nm"
    has = f"scene {scene!r} has {len(wavelengths_nm)} from {wavelengths_nm.min():g} to {wavelengths_nm.max():g} nm"
    ascending = np.unique(wavelengths_nm)
    if len(ascending) < 2 or not (np.isfinite(ascending).all() and ascending[0] > 0):
        raise InvalidInputError(f"{has}; expected at least two positive band centres. Correct them in the file.")
    reach = float(np.median(np.diff(ascending))) / 2
    beyond = (centres_nm < ascending[0] - reach) | (centres_nm > ascending[-1] + reach)
    if beyond.any():
        raise InvalidInputError(
            f"{wanted}; {has}, and {int(beyond.sum())} of the model's are beyond those. Are all in nanometres? Train a "
            "model on the bands both sensors have."
        )
    inside = (ascending >= centres_nm.min() - reach) & (ascending <= centres_nm.max() + reach)
    if int(inside.sum()) < len(np.unique(centres_nm)):
        raise InvalidInputError(
            f"{wanted}; {has}, {int(inside.sum())} of them there: too coarse for this model. Train one on the bands "
            "both sensors have."
        )
    if (gap := _in_gap(centres_nm, wavelengths_nm) & (centres_nm > ascending[0]) & (centres_nm < ascending[-1])).any():
        raise InvalidInputError(
            f"{wanted}; {has}, with a gap at {int(gap.sum())} of the model's (at {centres_nm[gap][0]:g} nm for one). "
            "Train a model on the bands both sensors have."
        )
    left, right, share = _neighbours(centres_nm, wavelengths_nm)
    note = f"{has}, resampled to the model's {len(centres_nm)} by linear interpolation"
    return BandResampling(left=left, right=right, share=np.clip(share, 0, 1), note=note)


def _align_bands(source: Scene, target: Scene, fwhm_nm: ArrayLike | None) -> tuple[Scene, Scene, tuple[str, ...]]:
    if fwhm_nm is None and (common := keep_common(source, target)) is not None:
        return common
    if source.wavelengths_nm is None or target.wavelengths_nm is None:
        unknown = " and ".join(scene.name for scene in (source, target) if scene.wavelengths_nm is None)
        if source.num_bands != target.num_bands:
            raise InvalidInputError(
                f"source {source.name!r} has {source.num_bands} bands, target {target.name!r} {target.num_bands}, and "
                f"the wavelengths of {unknown} are unknown; expected the same bands, or wavelengths on both sides."
            )
        if fwhm_nm is not None:
            raise InvalidInputError(f"fwhm_nm is given, and the wavelengths of {unknown} are unknown; leave it out.")
        return source, target, (f"the wavelengths of {unknown} are unknown: {source.num_bands} bands, as they are",)
    _check_wavelengths(source, source.wavelengths_nm)
    _check_wavelengths(target, target.wavelengths_nm)
    if np.array_equal(source.wavelengths_nm, target.wavelengths_nm):
        return source, target, (f"{source.num_bands} bands of the same centres, as they are",)
    low = max(source.wavelengths_nm.min(), target.wavelengths_nm.min())
    high = min(source.wavelengths_nm.max(), target.wavelengths_nm.max())
    of_source, of_target = (
        int(((low <= centres) & (centres <= high)).sum()) for centres in (source.wavelengths_nm, target.wavelengths_nm)
    )
    if min(of_source, of_target) < 2:
        raise InvalidInputError(
            f"source {source.name!r} has bands from {source.wavelengths_nm.min():g} to "
            f"{source.wavelengths_nm.max():g} nm, target {target.name!r} from {target.wavelengths_nm.min():g} to "
            f"{target.wavelengths_nm.max():g} nm; expected two of each in a range both have. Are all in nanometres?"
        )
    source_is_coarser = of_source <= of_target
    coarse, fine = (source, target) if source_is_coarser else (target, source)
    resampled_coarse, resampled_fine, note = _resample(coarse, fine, low, high, fwhm_nm)
    return (
        (resampled_coarse, resampled_fine, (note,))
        if source_is_coarser
        else (resampled_fine, resampled_coarse, (note,))
    )


def _with_bands_of(target: Scene, source: Scene) -> Scene:
    """The source with those of its bands that the target, to which it was aligned before, has kept."""
    if source.num_bands == target.num_bands and _have_same_centres(source, target):
        return source
    again, as_it_was, _ = _align_bands(source, target, None)
    known, kept = source.wavelengths_nm, target.wavelengths_nm
    is_part = known is None or kept is None or bool(np.isin(kept, known).all())
    if not is_part or as_it_was.num_bands != target.num_bands or not _have_same_centres(again, target):
        raise InvalidInputError(
            f"source {source.name!r} and another source can't be brought to common bands with target {target.name!r}: "
            "neither sensor is the coarser one wherever all have bands. Pair their sources with the target one by one."
        )
    return again


def _have_same_centres(one: Scene, other: Scene) -> bool:
    if one.wavelengths_nm is None or other.wavelengths_nm is None:
        return one.wavelengths_nm is other.wavelengths_nm or one.num_bands == other.num_bands
    return np.array_equal(one.wavelengths_nm, other.wavelengths_nm)


def _check_wavelengths(scene: Scene, centres: NDArray[np.float64]) -> None:
    if not (np.isfinite(centres).all() and (centres > 0).all() and len(np.unique(centres)) > 1):
        raise InvalidInputError(
            f"scene {scene.name!r}: wavelengths from {centres.min():g} to {centres.max():g} nm; expected at least two "
            "positive ones. Correct them, or set wavelengths_nm=None."
        )


def _resample(
    coarse: Scene, fine: Scene, low: float, high: float, fwhm_nm: ArrayLike | None
) -> tuple[Scene, Scene, str]:
    """Both scenes at the coarser one's centres, from short to long, and a line about it."""
    assert coarse.wavelengths_nm is not None
    assert fine.wavelengths_nm is not None
    inside = np.flatnonzero((low <= coarse.wavelengths_nm) & (coarse.wavelengths_nm <= high))
    bands = inside[np.argsort(coarse.wavelengths_nm[inside], kind="stable")]
    centres, fine_centres = coarse.wavelengths_nm[bands], fine.wavelengths_nm
    if fwhm_nm is None:
        weights, how = _linear_weights(centres, fine_centres), "linear interpolation"
        kept = ~_in_gap(centres, fine_centres)
    else:
        widths = _widths(coarse, fwhm_nm)[bands]
        weights, covered = _gaussian_weights(centres, fine_centres, widths)
        kept = covered & ~_in_gap(centres, fine_centres)
        how = f"Gaussian responses {widths.min():g} to {widths.max():g} nm wide"
    if kept.sum() < 2:
        raise InvalidInputError(
            f"{int(kept.sum())} of {len(bands)} bands of {coarse.name!r} between {low:g} and {high:g} nm can be "
            f"computed from bands of {fine.name!r}; expected at least two. Check wavelengths and fwhm_nm."
        )
    centres, bands, weights = centres[kept], bands[kept], weights[:, kept]
    note = (
        f"bands: {len(bands)} of {coarse.name}'s {coarse.num_bands}, {centres[0]:.0f} to {centres[-1]:.0f} nm; "
        f"{fine.name}'s {fine.num_bands} resampled to them by {how}"
    )
    if left_out := int((~kept).sum()):
        note += f"; {left_out} left out where {fine.name} has none"
    return (
        replace(
            coarse,
            cube=np.ascontiguousarray(coarse.cube[..., bands]),
            wavelengths_nm=centres,
            left_out=_as_resampled(coarse),
        ),
        replace(fine, cube=_weighted(fine.cube, weights), wavelengths_nm=centres, left_out=_as_resampled(fine)),
        note,
    )


def _as_resampled(scene: Scene) -> LeftOut | None:
    return None if scene.left_out is None else scene.left_out.resampled()


def _linear_weights(centres: NDArray[np.float64], fine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D, S): what each band of the finer sensor adds to each centre within its range."""
    left, right, share = _neighbours(centres, fine)
    weights = np.zeros((len(fine), len(centres)))
    columns = np.arange(len(centres))
    weights[left, columns] = 1 - share
    weights[right, columns] += share
    return weights


def _neighbours(
    centres: NDArray[np.float64], fine: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """For each centre the finer sensor's bands on both sides, and the right one's share."""
    order = np.argsort(fine, kind="stable")
    ascending = fine[order]
    right = np.clip(np.searchsorted(ascending, centres), 1, len(fine) - 1)
    left = right - 1
    step = ascending[right] - ascending[left]
    # Two bands of one centre (overlapping spectrometers) share what falls on it.
    share = np.where(step > 0, (centres - ascending[left]) / np.where(step > 0, step, 1.0), 0.5)
    return order[left], order[right], share


def _gaussian_weights(
    centres: NDArray[np.float64], fine: NDArray[np.float64], widths: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(D, S) weights that add up to 1, and (S,) whether the finer sensor's bands cover the response."""
    order = np.argsort(fine, kind="stable")
    steps = np.empty(len(fine))
    steps[order] = np.gradient(fine[order])
    response = np.exp(-4 * np.log(2) * ((fine[:, None] - centres) / widths) ** 2) * steps[:, None]
    area = response.sum(axis=0)
    whole = widths * np.sqrt(np.pi / (4 * np.log(2)))
    covered: NDArray[np.bool_] = np.abs(area / whole - 1) <= 1 - _LEAST_COVERED
    return response / np.where(area > 0, area, 1.0), covered


def _in_gap(centres: NDArray[np.float64], fine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the finer sensor has no band near: its next on both sides are further apart than both sensors' steps."""
    ascending = np.unique(fine)
    right = np.clip(np.searchsorted(ascending, centres), 1, len(ascending) - 1)
    opening = ascending[right] - ascending[right - 1]
    step = max(float(np.median(np.diff(ascending))), float(np.median(np.diff(centres))) if len(centres) > 1 else 0.0)
    on_a_band = np.isin(centres, ascending)
    gap: NDArray[np.bool_] = (opening > _GAP_STEPS * step) & ~on_a_band
    return gap


def _widths(coarse: Scene, fwhm_nm: ArrayLike) -> NDArray[np.float64]:
    widths = np.asarray(fwhm_nm, dtype=np.float64)
    kept = None if coarse.left_out is None else coarse.left_out.kept
    if kept is not None and coarse.left_out is not None and widths.shape == (coarse.left_out.bands_in_file,):
        widths = widths[kept]
    if widths.shape not in ((), (coarse.num_bands,)) or not (np.isfinite(widths).all() and (widths > 0).all()):
        raise InvalidInputError(
            f"fwhm_nm of shape {widths.shape}; expected one positive width, or one for each of the {coarse.num_bands} "
            f"bands of {coarse.name!r}, the coarser sensor."
        )
    return np.broadcast_to(widths, (coarse.num_bands,))


def _weighted(cube: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """(H, W, S) sums over the bands of (H, W, D), some rows at a time."""
    height, width, num_bands = cube.shape
    result = np.empty((height, width, weights.shape[1]), dtype=np.float32)
    rows = max(1, _BLOCK // (width * num_bands))
    for start in range(0, height, rows):
        result[start : start + rows] = cube[start : start + rows].astype(np.float64) @ weights
    return result
