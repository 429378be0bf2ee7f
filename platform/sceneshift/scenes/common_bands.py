"""The bands that two files of one sensor both have, where each lacks others because they are empty or bad.

Shape letters: H rows, W columns, C bands.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.measured import LeftOut, as_ranges
from sceneshift.scenes.scene import Scene

#: Of the bands of the scene with fewer, so many have the other's centres if the sensor is the same: others meet by
#: chance.
_LEAST_COMMON = 0.5


def keep_common(source: Scene, target: Scene) -> tuple[Scene, Scene, tuple[str, ...]] | None:
    """Leave out of each scene the bands that the other lacks.

    Bands are identified by their centres where those of both are known, else by their place in files of the same number
    of bands.

    Args:
        source: The source.
        target: The target.

    Returns:
        Both with the same bands of their files, as they are, and a line about it; None where nothing was left out of
        either file, both have the same bands, or they are of different sensors.

    Raises:
        InvalidInputError: Files of the same number of bands and unknown centres have fewer than two in common.
    """
    if not any(scene.left_out is not None and scene.left_out.bands for scene in (source, target)):
        return None
    of_source, of_target = source.wavelengths_nm, target.wavelengths_nm
    if of_source is not None and of_target is not None:
        if len(np.unique(of_source)) < len(of_source) or len(np.unique(of_target)) < len(of_target):
            return None  # overlapping spectrometers: a centre does not say which band
        common, in_source, in_target = np.intersect1d(of_source, of_target, return_indices=True)
        if len(common) < max(2, _LEAST_COMMON * min(len(of_source), len(of_target))):
            return None
    else:
        (whole, kept), (other_whole, other_kept) = _places_in_file(source), _places_in_file(target)
        if whole != other_whole or kept is None or other_kept is None:
            return None
        common, in_source, in_target = np.intersect1d(kept, other_kept, return_indices=True)
        if len(common) < 2:
            raise InvalidInputError(
                f"source {source.name!r} and target {target.name!r} share {len(common)} bands that have values in both "
                "files; expected at least two."
            )
    if len(common) == source.num_bands == target.num_bands:
        return None
    order = np.argsort(in_source)
    note = f"bands: the {len(common)} that both files have, as they are"
    for scene, other in ((source, target), (target, source)):
        if unshared := scene.num_bands - len(common):
            note += f"; {unshared} of {scene.name}'s left out, which {other.name} lacks"
    return _with_bands(source, in_source[order]), _with_bands(target, in_target[order]), (note,)


@dataclass(frozen=True, kw_only=True, eq=False)
class BandChoice:
    """The bands of a file that a model trained without some of its source's bands uses.

    Args:
        places: (S,) which bands of a cube they are.
        note: What is done, in a line.
    """

    places: NDArray[np.intp]
    note: str

    def apply(self, cube: NDArray[np.generic]) -> NDArray[np.float32]:
        """(..., C) to (..., S) float32."""
        return cube[..., self.places].astype(np.float32)


def choose_bands(
    of_model: LeftOut | None, *, bands_in_file: int | None, kept: NDArray[np.intp] | None
) -> BandChoice | None:
    """Find a model's bands in a file of as many bands as its source's, where no centres are known.

    Args:
        of_model: What was left out of the source's file.
        bands_in_file: Bands of the file at hand.
        kept: (C,) which of them its cube has; None for all.

    Returns:
        The choice; None where the cube's bands are the model's already, or the file has another number of bands.

    Raises:
        InvalidInputError: The cube lacks some of the model's bands.
    """
    wanted = None if of_model is None else of_model.kept
    if bands_in_file is None or of_model is None or wanted is None or of_model.bands_in_file != bands_in_file:
        return None
    kept = np.arange(bands_in_file) if kept is None else kept
    if np.array_equal(wanted, kept):
        return None
    if len(lacking := np.setdiff1d(wanted, kept)):
        raise InvalidInputError(
            f"{len(lacking)} bands that the model was trained on are empty or bad in this file "
            f"({as_ranges(lacking.tolist())}); expected values there. Train a model on the bands both files have."
        )
    note = f"{len(wanted)} of {bands_in_file} bands are used, those the model was trained on"
    return BandChoice(places=np.searchsorted(kept, wanted), note=note)


def _places_in_file(scene: Scene) -> tuple[int | None, NDArray[np.intp] | None]:
    """How many bands a scene's file has, and (C,) which of them the scene has."""
    if scene.left_out is None:
        return scene.num_bands, np.arange(scene.num_bands)
    return scene.left_out.bands_in_file, scene.left_out.kept


def _with_bands(scene: Scene, bands: NDArray[np.intp]) -> Scene:
    """The scene with some of its bands."""
    if len(bands) == scene.num_bands:
        return scene
    left_out = scene.left_out or LeftOut(bands_in_file=scene.num_bands)
    if (kept := left_out.kept) is not None:
        unshared = (*left_out.unshared, *np.delete(kept, bands).tolist())
        left_out = replace(left_out, unshared=tuple(sorted(unshared)))
    centres = scene.wavelengths_nm
    return replace(
        scene,
        cube=np.ascontiguousarray(scene.cube[..., bands]),
        wavelengths_nm=None if centres is None else centres[bands],
        left_out=left_out,
    )
