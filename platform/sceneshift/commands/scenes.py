"""Inspecting scenes before anything is trained. The results describe scenes; nothing is chosen with them.

Shape letters: H rows, W columns, C bands, K classes.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from sceneshift.catalogue import indian_pines
from sceneshift.catalogue.builtin import EMBEDDED_PAIRS, PAIRS, SCENES
from sceneshift.catalogue.entries import FilePairEntry
from sceneshift.catalogue.load import find_files, load_pair_and_labelled_target, load_scene
from sceneshift.catalogue.pair_spec import NamedPair, is_stored_scene
from sceneshift.catalogue.units import UnitDifference, allowed_normalizations, describe_units, unit_difference
from sceneshift.catalogue.user_entries import NO_CATALOGUE, OwnCatalogue, OwnPair
from sceneshift.catalogue.user_scenes import load_own_scene
from sceneshift.catalogue.user_toml import open_catalogue, scene_from_flags
from sceneshift.commands.scene_arguments import Check, Export, Import, List, Pair, SceneCommand, Show
from sceneshift.commands.scene_checks import check_file, stated_unit
from sceneshift.commands.scene_guesses import guesses_of
from sceneshift.commands.simulate import simulate_to_folder
from sceneshift.commands.simulate_arguments import Simulate
from sceneshift.errors import InvalidInputError, MissingDataError, NoClassNamesError, SceneshiftError, first_line
from sceneshift.files.arrays import array_shapes
from sceneshift.files.arrow_scenes import open_scene, open_stored, write_scene
from sceneshift.files.inside import is_file
from sceneshift.files.scenes import export_scene, read_scene, read_unlabelled_scene
from sceneshift.methods.floors import FLOOR_NORMALIZATIONS, fit_floor
from sceneshift.methods.spectral import LogisticRegression
from sceneshift.own_folders import ensure_home
from sceneshift.report.pair_advice import advise
from sceneshift.report.scene_gap import TRAINING_PIXELS, SceneGap, measure_gap, render_gap
from sceneshift.report.scene_pictures import draw_scene
from sceneshift.safe_files import expanded, replacing, writable
from sceneshift.scenes.measured import describe_missing
from sceneshift.scenes.scene import Scene, UnlabelledScene, renamed
from sceneshift.scores import Scores
from sceneshift.splits.pair import ScenePair
from sceneshift.training.data import DataSpec

_STORED, _PICTURE = ".arrow", (".png",)

#: Keys of a scene in a catalogue that say something about its labels.
_ABOUT_LABELS = ("labels", "labels_variable", "class_names", "label_values", "unlabelled_values", "cut_to_overlap")


def run_command(command: SceneCommand) -> int:
    """Run a command and print its results; returns the exit status."""
    ensure_home()
    match command:
        case List():
            print("\n".join(list_scenes(command.data_dir, open_catalogue(command.catalogue, command.data_dir))))
        case Check():
            failed = False
            for file in command.files:
                try:
                    print("\n".join(check_file(Path(file))))
                except SceneshiftError as error:
                    failed = True
                    print(f"{file}\n  error: {error}", file=sys.stderr)
            return 2 if failed else 0
        case Import():
            print(import_scene(command))
        case Export():
            scene = find_any_scene(command.scene, command.data_dir, _catalogue_of(command), command.described())
            export_scene(scene, command.out, command.format)
            print(f"wrote {scene.name} as {command.format} to {command.out}")
        case Show():
            path, shown = show_scene(command)
            print(f"wrote {path}" + ("" if shown.unit is None else f"; the numbers are {shown.unit}"))
            print("".join(f"{line}\n" for line in describe_missing(shown)), end="")
        case Pair():
            pair, target = load_pair_and_labelled_target(
                NamedPair(name=command.pair, data_dir=command.data_dir, catalogue=_catalogue_of(command))
            )
            print(
                f"{command.pair}: {target.num_classes} shared classes, {target.num_bands} shared bands. The target's "
                "labels are read for this."
            )
            missing = [line for scene in (*pair.sources, target) for line in describe_missing(scene)]
            print("\n".join([*missing, *pair.notes, *_about_units(pair), ""]))
            gaps = {source.name: measure_gap(source, target, seed=command.seed) for source in pair.sources}
            print("\n\n".join(render_gap(gap, source=name, target=target.name) for name, gap in gaps.items()))
            print("\n".join(["", *_advice(command, pair, target, gaps)]))
        case Simulate():
            spectra = None
            if command.library is None:
                spectra = find_scene(command.scene or indian_pines.NAME, command.data_dir, _catalogue_of(command))
            print("\n".join(simulate_to_folder(command, spectra)))
    return 0


def _catalogue_of(command: Import | Export | Show | Pair | Simulate) -> OwnCatalogue:
    catalogue = open_catalogue(command.catalogue, command.data_dir)
    for line in catalogue.announcement():
        print(line)
    return catalogue


def list_scenes(data_dir: str | None, catalogue: OwnCatalogue = NO_CATALOGUE) -> list[str]:
    """One line per scene and pair: whether it is available, or what is missing and where to get it; and stated units.

    Args:
        data_dir: The data folder; None uses SCENESHIFT_DATA.
        catalogue: The user's own scenes and pairs.
    """
    missing = {name: _what_is_missing(name, data_dir, catalogue) for name in (*SCENES, *catalogue.scenes)}
    width = max(map(len, [*missing, *PAIRS, *EMBEDDED_PAIRS, *catalogue.pairs]))
    lines = [*catalogue.announcement(), "scenes"]
    about: dict[str, str] = {}
    for name, entry in SCENES.items():
        height, columns, bands = entry.shape
        about[name] = f"{height} x {columns} x {bands}, {len(entry.class_names)} classes{stated_unit(entry)}"
    for name, own in catalogue.scenes.items():
        classes = "classes as its file says" if own.class_names is None else f"{len(own.class_names)} classes"
        about[name] = f"your own, {classes}{stated_unit(own)}"
    about_width = max(map(len, about.values()))
    lines += [f"  {name:<{width}}  {about[name]:<{about_width}}  {missing[name] or 'here'}" for name in about]
    lines.append("pairs")
    lines += [f"  {name:<{width}}  embedded" for name in EMBEDDED_PAIRS]
    pairs: dict[str, FilePairEntry | OwnPair] = {**PAIRS, **catalogue.pairs}
    for name, pair in pairs.items():
        sides = (pair.source, pair.target)
        lacking = [side for side in sides if missing[side]]
        sides_text = f"{' -> '.join(sides)}: " if name in catalogue.pairs else ""
        lines.append(f"  {name:<{width}}  {sides_text}{'lacks ' + ' and '.join(lacking) if lacking else 'here'}")
    return [
        *lines,
        *_who_offers(name for name in SCENES if missing[name]),
        "Name the folder the files are in by --data-dir or SCENESHIFT_DATA." + catalogue.advice(),
    ]


def _who_offers(missing: Iterable[str]) -> list[str]:
    scenes: dict[str, list[str]] = {}
    for name in missing:
        scenes.setdefault(SCENES[name].offered, []).append(name)
    lines = ["where files that are missing are offered"] if scenes else []
    for offered, names in scenes.items():
        lines.append(f"  {offered}: {', '.join(names)}")
        lines += [f"    {file}  SHA-256 {digest}" for name in names for file, digest in SCENES[name].sha256.items()]
    return lines


def _about_units(pair: ScenePair) -> list[str]:
    units, difference = describe_units(pair), unit_difference(pair)
    return [
        *([] if units is None else [f"Unit of the numbers: {units}."]),
        *([] if difference is None else [f"{_left(difference)} may be trained on it, because {difference.words}."]),
    ]


def _advice(command: Pair, pair: ScenePair, target: Scene, gaps: Mapping[str, SceneGap]) -> list[str]:
    spec = DataSpec(
        pairs=(command.pair,),
        validates=False,
        patch_size=1,
        pixels_per_class=TRAINING_PIXELS,
        seed=command.seed,
        data_dir=command.data_dir,
        catalogue=command.catalogue,
    )
    allowed = allowed_normalizations(pair)
    if not set(allowed) & set(FLOOR_NORMALIZATIONS):
        return ["No floor can be fitted: the units leave none of its normalizations."]
    try:
        sources = spec.divide(pair)
    except InvalidInputError as error:  # the comparison of the scenes holds all the same
        return [f"The pair can't be trained on as it is: {error}"]
    floor = fit_floor(LogisticRegression.name, sources, seed=command.seed, normalizations=allowed)
    pixels = np.flatnonzero(target.labels)
    predicted = floor.predict(target.cube.reshape(-1, target.num_bands)[pixels])
    truth = target.labels.ravel()[pixels] - 1
    return advise(
        command.pair,
        gaps,
        floor,
        Scores.from_labels(truth, predicted, num_classes=target.num_classes),
        allowed=allowed,
    )


def _left(difference: UnitDifference) -> str:
    return f"Only {' and '.join(difference.allowed)}" if difference.allowed else "No normalization"


def _what_is_missing(name: str, data_dir: str | None, catalogue: OwnCatalogue) -> str:
    try:
        find_files(name, data_dir, catalogue=catalogue)
    except MissingDataError:
        if name in catalogue.scenes:
            return "needs " + " and ".join(catalogue.scenes[name].files.values())
        entry = SCENES[name]
        return "needs " + ", or ".join(
            " and ".join(form.needed(with_masks=entry.has_own_masks)) for form in entry.forms
        )
    return ""


def import_scene(command: Import) -> str:
    """Read a scene and write it to the store.

    Raises:
        InvalidInputError: The name doesn't end in .arrow, the file already exists, or the scene can't be read.
        MissingDataError: A file isn't there.
    """
    out = expanded(command.out)
    if out.suffix != _STORED:
        raise InvalidInputError(f"--out {command.out}: expected a name that ends in {_STORED}.")
    if os.path.exists(out):
        raise InvalidInputError(f"--out {command.out} exists; nothing was overwritten. Give another name.")
    scene, guesses = _read_to_import(command)
    if command.name is not None and command.name != scene.name:
        scene = renamed(scene, command.name)
    write_scene(scene, out)
    height, width = scene.shape
    counts = "no labels: it can be mapped and shown; to train on it, import it with --labels"
    if isinstance(scene, Scene):
        counts = ", ".join(f"{n} {c}" for n, c in zip(scene.class_names, scene.class_counts, strict=True))
    wrote = f"wrote {scene.name} to {out}: {height} x {width} pixels, {scene.num_bands} bands; {counts}"
    return "\n".join([wrote, *(f"  {line}" for line in (*describe_missing(scene), *guesses))])


def _read_to_import(command: Import) -> tuple[UnlabelledScene, list[str]]:
    """The scene, and what was guessed of it."""
    catalogue, described = _catalogue_of(command), command.described()
    try:
        scene = find_any_scene(command.file, command.data_dir, catalogue, described)
    except NoClassNamesError as error:
        described["class_names"] = made_up = tuple(f"class {number}" for number in range(1, error.num_classes + 1))
        scene = find_any_scene(command.file, command.data_dir, catalogue, described)
        return scene, guesses_of(command, scene, class_names=made_up)
    return scene, guesses_of(command, scene)


def show_scene(command: Show) -> tuple[Path, UnlabelledScene]:
    """Draw a scene; returns the picture and the scene.

    Raises:
        InvalidInputError: The picture's name doesn't end in .png, it can't be written, or the scene can't be read.
        MissingDataError: A file isn't there, or the picture's folder.
    """
    if command.out is not None:
        writable(command.out, _PICTURE)  # before a large scene is read
    scene = find_any_scene(command.scene, command.data_dir, _catalogue_of(command), command.described())
    path = writable(command.out or f"{scene.name.replace('/', '-')}.png", _PICTURE)
    try:
        with replacing(path) as temporary:
            draw_scene(temporary, scene)
    except OSError as error:
        raise InvalidInputError(
            f"{path} can't be written ({first_line(error)}). Make room, or name another file by --out."
        ) from error
    return path, scene


def find_scene(
    name: str,
    data_dir: str | None,
    catalogue: OwnCatalogue = NO_CATALOGUE,
    described: Mapping[str, Any] = MappingProxyType({}),
) -> Scene:
    """Load a scene by name, or from a file.

    Args:
        name: The scene's name, or its file.
        data_dir: The folder its files are in; None takes what SCENESHIFT_DATA says.
        catalogue: The user's own scenes.
        described: What the file doesn't say about its scene, by the keys of a scene in a catalogue.

    Raises:
        InvalidInputError: There is neither a scene nor a file of that name, the file can't be read, or a scene that is
            known by name is described once more.
        MissingDataError: Its files aren't there.
    """
    if name in SCENES or name in catalogue.scenes:
        if described:
            raise InvalidInputError(
                f"{name} is known by name, and --{next(iter(described)).replace('_', '-')} describes a file; expected "
                "one of the two. Leave the flag out, or change the scene's table in the TOML catalogue."
            )
        return load_scene(name, data_dir, catalogue=catalogue)
    if is_stored_scene(name):
        return load_own_scene(scene_from_flags(name, described), None) if described else open_scene(name)
    try:
        return read_scene(name, **described)
    except MissingDataError as error:
        if is_file(name):  # the file of the labels isn't there
            raise
        raise InvalidInputError(
            f"{name!r} is neither a scene known by name ({', '.join([*SCENES, *catalogue.scenes])}) nor a file "
            f"({first_line(error)}).{catalogue.advice()}"
        ) from error


def find_any_scene(
    name: str,
    data_dir: str | None,
    catalogue: OwnCatalogue = NO_CATALOGUE,
    described: Mapping[str, Any] = MappingProxyType({}),
) -> UnlabelledScene:
    """Load a scene as :func:`find_scene` does, or one without labels.

    A stored scene that was written without labels has none, nor has a file without an array of two dimensions, or whose
    cube is named alone (``FILE:NAME``), unless something is said about labels.

    Args:
        name: As for :func:`find_scene`.
        data_dir: As for :func:`find_scene`.
        catalogue: As for :func:`find_scene`.
        described: As for :func:`find_scene`.

    Returns:
        A :class:`~sceneshift.scenes.scene.Scene` where there are labels.

    Raises:
        InvalidInputError: As for :func:`find_scene`.
        MissingDataError: As for :func:`find_scene`.
    """
    says_labels = any(key in described for key in _ABOUT_LABELS)
    if name in SCENES or name in catalogue.scenes or says_labels or not is_file(name):
        return find_scene(name, data_dir, catalogue, described)
    if is_stored_scene(name):
        scene = open_stored(name)
        return scene if not isinstance(scene, Scene) and not described else find_scene(name, None, catalogue, described)
    if any(len(shape) == 2 and min(shape) > 1 for shape in array_shapes(name).values()):
        return find_scene(name, data_dir, catalogue, described)
    return read_unlabelled_scene(name, **described)
