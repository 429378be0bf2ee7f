"""The scenes and scene pairs known by name, and how a recipe becomes a pair.

Cubes come as float32, in the unit that their entry states; where it states none, as their files have them. Nothing is
normalized here.

Shape letters: H rows, W columns, C bands, K classes, R materials.
"""

import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue import indian_pines
from sceneshift.catalogue.builtin import EMBEDDED_PAIRS, PAIRS, SCENES
from sceneshift.catalogue.data_folder import find_form
from sceneshift.catalogue.entries import Files, FileVariable, SceneEntry
from sceneshift.catalogue.in_scene import DividedScene, divide_scene, read_masks
from sceneshift.catalogue.one_acquisition import refuse_one_acquisition
from sceneshift.catalogue.pair_spec import InScene, NamedPair, Recipe, is_stored_scene
from sceneshift.catalogue.sides import EMBEDDED_SIDES, alignment_rule, is_embedded, own_rule
from sceneshift.catalogue.user_entries import NO_CATALOGUE, OwnCatalogue
from sceneshift.catalogue.user_scenes import load_own_scene, locate_own_scene
from sceneshift.errors import InvalidInputError, MissingDataError, nearest_name
from sceneshift.files.arrays import read_array, read_label_map
from sceneshift.files.arrow_scenes import open_scene
from sceneshift.files.formats.description import Description
from sceneshift.files.missing import leave_out_missing
from sceneshift.files.places import georeference_of, place_labels
from sceneshift.safe_files import sha256_of
from sceneshift.scenes.alignment import AlignedPair, align_sources
from sceneshift.scenes.class_numbers import to_class_ids
from sceneshift.scenes.measured import LeftOut
from sceneshift.scenes.scene import Scene, scaled
from sceneshift.scenes.unmixing_reference import UnmixingReference, labels_from_abundances, pixels_to_image
from sceneshift.splits.pair import ScenePair

__all__ = [
    "EMBEDDED_PAIRS",
    "PAIRS",
    "SCENES",
    "find_files",
    "load_both_labelled",
    "load_pair",
    "load_pair_and_labelled_target",
    "load_reference",
    "load_scene",
]

_log = logging.getLogger(__name__)


def load_pair(recipe: Recipe | str) -> ScenePair:
    """Make the pair of a recipe; the target comes without its labels.

    Args:
        recipe: The recipe, or the name of a pair that is embedded or published, such as ``west-east``, or of several
            such scenes, ``nw+sw-se``.

    Raises:
        InvalidInputError: No pair has that name, the files don't fit each other or hold the same pixels, or the scene
            can't be divided so.
        MissingDataError: The pair's data isn't there.
    """
    if isinstance(recipe, str):
        recipe = NamedPair(name=recipe)
    if isinstance(recipe, InScene):
        divided = _divide(recipe)
        return ScenePair(
            name=recipe.name,
            sources=(divided.source,),
            target=divided.target.without_labels(),
            test_split=divided.split,
            notes=divided.notes,
        )
    return load_pair_and_labelled_target(recipe)[0]


def load_pair_and_labelled_target(recipe: NamedPair) -> tuple[ScenePair, Scene]:
    """Make a pair of scenes, and also return the target with its labels: for ``scenes.py pair``.

    Raises:
        InvalidInputError: As for :func:`load_pair`.
        MissingDataError: As for :func:`load_pair`.
    """
    aligned = _load_aligned(recipe)
    sources, target = aligned.sources, aligned.target
    notes = (*aligned.notes, *_of_one_image(sources))
    pair = ScenePair(name=recipe.name, sources=sources, target=target.without_labels(), notes=notes)
    for source in sources:
        refuse_one_acquisition(recipe.name, source, target)
    for one, other in itertools.combinations(sources, 2):
        refuse_one_acquisition(recipe.name, one, other, is_source=True)
    return pair, target


def load_both_labelled(recipe: Recipe) -> tuple[tuple[Scene, ...], Scene]:
    """Load sources and target with labels: for :mod:`sceneshift.catalogue.target`.

    ``tests/test_layout.py`` lists who may name this function; what trains is given what :func:`load_pair` makes.

    Within one scene, the source has the training side's labels only, the target the test side's only.

    Raises:
        InvalidInputError: As for :func:`load_pair`.
        MissingDataError: As for :func:`load_pair`.
    """
    match recipe:
        case InScene():
            divided = _divide(recipe)
            return (divided.source,), divided.target
        case NamedPair():
            aligned = _load_aligned(recipe)
            return aligned.sources, aligned.target


def _load_aligned(recipe: NamedPair) -> AlignedPair:
    """Sources and target with the same classes and bands, and what was done to have them so."""
    catalogue = recipe.catalogue
    own = catalogue.pairs.get(recipe.name)
    if own is None and recipe.name in EMBEDDED_PAIRS:
        entry = EMBEDDED_PAIRS[recipe.name]
        whole = indian_pines.load_indian_pines()
        return AlignedPair(
            sources=(indian_pines.cut_region(whole, entry.source_region, entry.class_names),),
            target=indian_pines.cut_region(whole, entry.target_region, entry.class_names),
            notes=(),  # two regions of one scene
        )
    sides = recipe.sides()
    rules = [
        alignment_rule(source, sides.target, catalogue) if own is None else own_rule(own) for source in sides.sources
    ]
    for side in (*sides.sources, sides.target):  # a missing file is reported before anything is read
        if not is_embedded(side, catalogue):
            find_files(side, recipe.data_dir, catalogue=catalogue)
    *sources, target = (
        indian_pines.cut_region(indian_pines.load_indian_pines(), side, EMBEDDED_SIDES[side])
        if is_embedded(side, catalogue)
        else load_scene(side, recipe.data_dir, catalogue=catalogue)
        for side in (*sides.sources, sides.target)
    )
    try:
        return align_sources(sources, target, rules)
    except InvalidInputError as error:
        where = f"pair {recipe.name!r}" if own is None else own.where
        raise InvalidInputError(f"{where}: {error}") from error


def _of_one_image(sources: Sequence[Scene]) -> list[str]:
    """A line about sources that are parts of one image, for each image."""
    parents = Counter(source.footprint.parent for source in sources)
    return [
        f"{count} sources are parts of one image ({parent}): a field that crosses their border may train in the one "
        "and validate in the other"
        for parent, count in parents.items()
        if count > 1
    ]


def find_files(name: str, data_dir: str | None, *, catalogue: OwnCatalogue = NO_CATALOGUE) -> dict[str, Path]:
    """Find the files of a scene without reading them; an embedded scene has none.

    Args:
        name: As for :func:`load_scene`.
        data_dir: As for :func:`load_scene`.
        catalogue: As for :func:`load_scene`.

    Raises:
        InvalidInputError: No scene has that name.
        MissingDataError: Files aren't there.
    """
    if name in catalogue.scenes:
        return locate_own_scene(catalogue.scenes[name], data_dir)
    entry = _entry(name, catalogue)
    if not entry.forms:
        return {}
    return _find(name, entry, data_dir, with_masks=entry.has_own_masks)[1]


def load_scene(name: str, data_dir: str | None = None, *, catalogue: OwnCatalogue = NO_CATALOGUE) -> Scene:
    """Load a scene by name.

    The cube is divided by the scale that the scene's entry states, if any. A file of another shape, other counts or
    another SHA-256 than the entry's is another release: a warning says so. Berlin and Augsburg, which have no label map
    of their own, come without a labelled pixel.

    Args:
        name: One of :data:`SCENES` or of the catalogue's, or the ``.arrow`` file of a stored scene.
        data_dir: The folder its files are in, or in a folder of the scene's name there; by default what the
            environment variable SCENESHIFT_DATA says.
        catalogue: The user's own scenes.

    Raises:
        InvalidInputError: No scene has that name, a file is broken, or cube and labels don't fit each other.
        MissingDataError: Files aren't there.
    """
    if (own := catalogue.scenes.get(name)) is not None:
        scene = load_own_scene(own, data_dir)
        _tell_other_release(
            scene, shape=None, counts=own.pixels_per_class, figures=f"those of {own.where}, pixels_per_class"
        )
        return scene
    if is_stored_scene(name):
        return open_scene(name).without_unmeasured_labels()
    entry = _entry(name, catalogue)
    if name == indian_pines.NAME:
        return indian_pines.load_indian_pines()
    form, paths = _find(name, entry, data_dir)
    read = leave_out_missing(_read_values(entry, form, paths), Description(), where=str(paths[form.cube.file]))
    cube = scaled(read.cube, entry.scale)
    if form.abundances is not None:
        labels = labels_from_abundances(_read_abundances(entry, form, paths))
    elif form.labels is not None:
        path = paths[form.labels.file]
        labels = to_class_ids(
            read_label_map(path, form.labels.name),
            class_names=entry.class_names,
            label_values=entry.label_values,
            path=path,
        )
    else:
        labels = np.zeros(cube.shape[:2], dtype=np.int64)
    if labels.shape != cube.shape[:2]:
        raise InvalidInputError(
            f"scene {name!r}: the cube has {cube.shape[:2]} pixels, the label map {labels.shape}; they are not "
            f"of the same release ({', '.join(map(str, paths.values()))})."
        )
    wavelengths = read.of_kept(entry.wavelengths_nm)
    scene = Scene(
        name=name,
        cube=cube,
        labels=labels,
        class_names=entry.class_names,
        wavelengths_nm=np.array(wavelengths) if wavelengths and len(wavelengths) == cube.shape[2] else None,
        unit=entry.unit,
        left_out=read.left_out,
    )
    _tell_other_release(scene, shape=entry.shape, counts=entry.counts, figures=entry.figures)
    _tell_other_files(name, entry, form, paths)
    return scene


def load_reference(name: str, data_dir: str | None = None) -> UnmixingReference:
    """Load the reference abundances and endmembers of Samson, Jasper Ridge or the MUUFL crop.

    Args:
        name: A scene that has them.
        data_dir: As for :func:`load_scene`.

    Raises:
        InvalidInputError: The scene has none, or a file is broken.
        MissingDataError: Files aren't there.
    """
    entry = _entry(name, NO_CATALOGUE)
    if not entry.has_reference:
        known = [scene for scene, other in SCENES.items() if other.has_reference]
        raise InvalidInputError(f"scene {name!r} has no reference abundances; those with some: {', '.join(known)}.")
    form, paths = _find(name, entry, data_dir)
    assert form.endmembers is not None
    endmembers = read_array(paths[form.endmembers.file], form.endmembers.name, ndim=2)
    if endmembers.shape[0] == len(entry.class_names) != endmembers.shape[1]:
        endmembers = endmembers.T
    return UnmixingReference(
        materials=entry.class_names,
        abundances=_read_abundances(entry, form, paths),
        endmembers=np.ascontiguousarray(endmembers, dtype=np.float64),
    )


def _find(
    name: str, entry: SceneEntry, data_dir: str | None, *, with_masks: bool = False
) -> tuple[Files, dict[str, Path]]:
    """The form of a published scene whose files are there, and where they are."""
    try:
        return find_form(name, entry.forms, data_dir, with_masks=with_masks)
    except MissingDataError as error:
        raise MissingDataError(f"{error} Where to get them: {entry.offered}.") from error


def _entry(name: str, catalogue: OwnCatalogue) -> SceneEntry:
    if name not in SCENES:
        known = (*SCENES, *catalogue.scenes)
        raise InvalidInputError(
            f"no scene is called {name!r}{nearest_name(name, known)}. Known: {', '.join(known)}." + catalogue.advice()
        )
    return SCENES[name]


def _divide(recipe: InScene) -> DividedScene:
    files = _mask_files(recipe) if recipe.split == "fixed" else None
    read = None if files is None else read_masks(*files)
    scene = load_scene(recipe.scene, recipe.data_dir, catalogue=recipe.catalogue)
    masks = None
    if files is not None and read is not None:
        train, test = (
            place_labels(
                mask.numbers,
                georeference_of(path, mask.described),
                what=f"mask {path}",
                on=scene,
                cut_to_overlap=recipe.cut_to_overlap,
            )
            for mask, (path, _) in zip(read, files, strict=True)
        )
        masks = train, test
    published_as_masks = recipe.scene in SCENES and SCENES[recipe.scene].has_own_masks
    return divide_scene(recipe, scene, masks=masks, has_own_labels=not published_as_masks)


def _mask_files(recipe: InScene) -> tuple[tuple[Path, FileVariable | None], tuple[Path, FileVariable | None]]:
    if recipe.train_mask is not None and recipe.test_mask is not None:
        return (Path(recipe.train_mask), None), (Path(recipe.test_mask), None)
    entry = SCENES[recipe.scene]
    form, paths = _find(recipe.scene, entry, recipe.data_dir, with_masks=True)
    assert form.train_mask is not None
    assert form.test_mask is not None
    return (paths[form.train_mask.file], form.train_mask), (paths[form.test_mask.file], form.test_mask)


def _read_values(entry: SceneEntry, form: Files, paths: dict[str, Path]) -> NDArray[np.generic]:
    path = paths[form.cube.file]
    if form.bands_by_pixels:
        matrix = read_array(path, form.cube.name, ndim=2)
        return pixels_to_image(matrix, entry.shape[:2], f"{path}, {form.cube.name}")
    return read_array(path, form.cube.name, ndim=3)


def _read_abundances(entry: SceneEntry, form: Files, paths: dict[str, Path]) -> NDArray[np.float64]:
    assert form.abundances is not None
    path, name = paths[form.abundances.file], form.abundances.name
    values: NDArray[np.generic] = read_array(path, name)
    if values.ndim == 2:
        values = pixels_to_image(values, entry.shape[:2], f"{path}, {name}")
    return np.ascontiguousarray(values, dtype=np.float64)


def _tell_other_files(name: str, entry: SceneEntry, form: Files, paths: dict[str, Path]) -> None:
    for file, path in paths.items():
        if file not in entry.sha256 or (found := sha256_of(path)) == entry.sha256[file]:
            continue
        message = (
            f"scene {name!r}: {path} has SHA-256 {found}, the file that was counted {entry.sha256[file]}: another "
            "release, whose figures can't be compared as they are"
        )
        if file == form.cube.file and entry.scale != 1:
            message += f". Its numbers are divided by {entry.scale:g} and taken as {entry.unit} all the same"
        elif file == form.cube.file and entry.unit is not None:
            message += f". Its numbers are taken as {entry.unit} all the same"
        _warn_once(message)


def _tell_other_release(
    scene: Scene, *, shape: tuple[int, ...] | None, counts: tuple[int, ...] | None, figures: str
) -> None:
    left_out = scene.left_out or LeftOut(bands_in_file=scene.num_bands)
    in_file = (*scene.shape, left_out.bands_in_file)
    if shape is not None and in_file != shape:
        _warn_once(
            f"scene {scene.name!r}: the cube has shape {in_file}, {figures} is {shape}: another release, "
            "whose figures can't be compared as they are"
        )
    found = tuple(scene.class_counts.tolist())
    # Unmeasured pixels have lost their label, whatever its class.
    if counts is not None and left_out.labels and sum(found) + left_out.labels == sum(counts):
        return
    if counts is not None and found != counts:
        _warn_once(
            f"scene {scene.name!r}: labelled pixels per class {found} ({sum(found)} together), {figures} are {counts} "
            f"({sum(counts)}): another release, whose figures can't be compared as they are"
        )


@cache
def _warn_once(message: str) -> None:
    # A scene is read again when a study closes.
    _log.warning(message)
