"""A user's own scenes and pairs, from a TOML file; docs/scenes.md describes it. It is checked in full when it is read.

Shape letters: C bands, K classes.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sceneshift.catalogue.builtin import EMBEDDED_PAIRS, PAIRS, SCENES
from sceneshift.catalogue.data_folder import data_folder
from sceneshift.catalogue.toml_table import Table
from sceneshift.catalogue.user_class_matches import read_class_matches
from sceneshift.catalogue.user_cut import Cut
from sceneshift.catalogue.user_entries import NO_CATALOGUE, OwnCatalogue, OwnPair, OwnScene
from sceneshift.errors import InvalidInputError, MissingDataError, first_line, nearest_name
from sceneshift.files.inside import split_inside
from sceneshift.safe_files import existing, expanded
from sceneshift.scenes.mapped_arrays import SUFFIXES
from sceneshift.scenes.scene import check_unit

#: The environment variable that names the catalogue where no argument does.
CATALOGUE_VARIABLE = "SCENESHIFT_CATALOGUE"

#: What a catalogue in the data folder is called.
CATALOGUE_NAME = "scenes.toml"

_ENDINGS = (".toml",)

#: Keys that say where a cube and its labels are in files, which a stored scene has settled.
_FILE_KEYS = (
    *("cube", "cube_variable", "labels", "labels_variable", "label_values", "unlabelled_values"),
    "cut_to_overlap",
)
_SCENE_KEYS = (
    *("stored", *_FILE_KEYS, "class_names", "wavelengths_nm", "pixels_per_class", "scale", "unit"),
    *("rows", "columns", "mask"),
)
_PAIR_KEYS = ("source", "target", "class_map", "fwhm_nm")

#: Smaller numbers are not the wavelength of a hyperspectral sensor in nanometres.
_LEAST_NM = 100.0


def open_catalogue(named: str | None, data_dir: str | None) -> OwnCatalogue:
    """Find and read the user's catalogue.

    Args:
        named: The file; None takes what the environment variable SCENESHIFT_CATALOGUE says, else ``scenes.toml`` in
            the data folder where there is one.
        data_dir: The data folder; None takes what SCENESHIFT_DATA says.

    Returns:
        What it describes; an empty catalogue where there is no file.

    Raises:
        MissingDataError: A file that is named isn't there.
        InvalidInputError: The file is not a catalogue; the message says table, key and what to do.
    """
    if named is not None:
        return read_catalogue(named, found="--catalogue")
    if in_environment := os.environ.get(CATALOGUE_VARIABLE):
        return read_catalogue(in_environment, found=CATALOGUE_VARIABLE)
    if (folder := data_folder(data_dir)) is not None and (folder / CATALOGUE_NAME).exists():
        return read_catalogue(folder / CATALOGUE_NAME, found="in the data folder")
    return NO_CATALOGUE


def read_catalogue(path: str | Path, *, found: str = "") -> OwnCatalogue:
    """Read and check a catalogue file; the files it names are looked up when a scene is loaded.

    Args:
        path: The file.
        found: How it was found, for messages.

    Raises:
        MissingDataError: There is no such file.
        InvalidInputError: It can't be read, or something in it is wrong.
    """
    try:
        location = existing(path, _ENDINGS).resolve()
    except MissingDataError as error:
        raise MissingDataError(f"{error} It was to be the catalogue of your own scenes ({found}).") from error
    try:
        content = tomllib.loads(location.read_bytes().decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"{location}: no TOML ({first_line(error)}); expected tables such as [scenes.NAME] and [pairs.NAME]. "
            "docs/scenes.md has an example."
        ) from error
    top = Table(str(location), content)
    top.refuse_unknown(("scenes", "pairs"))
    scenes = _scenes(top, location)
    return OwnCatalogue(path=str(location), found=found, scenes=scenes, pairs=_pairs(top, scenes))


def scene_from_flags(file: str, described: Mapping[str, Any]) -> OwnScene:
    """The scene in a file that flags describe, checked like a table of a catalogue.

    Args:
        file: The file with the cube, or a stored scene.
        described: Values by the keys of a scene's table.

    Raises:
        InvalidInputError: A value is wrong.
    """
    key = "stored" if file.lower().endswith(SUFFIXES) else "cube"
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in described.items()}
    location = expanded(file).resolve()
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", location.stem).lstrip("_.-") or "scene"
    return _scene(Table(f"the flags for {file}", {key: str(location), **values}), name, Path.cwd() / CATALOGUE_NAME)


def _scenes(top: Table, location: Path) -> dict[str, OwnScene]:
    found: dict[str, OwnScene] = {}
    for name, table in top.tables("scenes").items():
        _refuse_taken(table, name, (*SCENES, *found), of="scene")
        scene = _scene(table, name, location)
        same = next((other for other in found.values() if _reads_the_same(scene, other)), None)
        found[name] = scene if same is None else replace(scene, acquisition=same.acquisition)
    return found


def _scene(table: Table, name: str, location: Path) -> OwnScene:
    table.refuse_unknown(_SCENE_KEYS)
    stored, cube = table.text("stored"), table.text("cube")
    if (stored is None) == (cube is None):
        raise table.wrong(
            "cube" if stored is None else "stored",
            expected="either cube (and labels), or stored",
            advice=f"Name the file with the cube, or one {', '.join(SUFFIXES)} file that `scenes.py import` wrote.",
        )
    if stored is not None:
        if not stored.lower().endswith(SUFFIXES):
            raise table.wrong(
                "stored",
                expected=f"a file that ends in {', '.join(SUFFIXES)}",
                advice="Other files go by cube and labels, or through `scenes.py import`.",
            )
        for key in _FILE_KEYS:
            if key in table:
                raise table.wrong(
                    key, expected="no other key with stored", advice="A stored scene has cube and labels; leave it out."
                )
    class_names = table.names("class_names")
    label_values = table.numbers("label_values", least=0)
    unlabelled = table.numbers("unlabelled_values", least=None) or ()
    if label_values is not None:
        if class_names is None:
            raise table.wrong("class_names", expected="names with label_values", advice="Name the classes.")
        if len(set(label_values)) != len(label_values):
            raise table.wrong("label_values", expected="different numbers", advice="Give each class its own.")
    pixels = table.numbers("pixels_per_class", least=0)
    for key, values in (("label_values", label_values), ("pixels_per_class", pixels)):
        if values is not None and class_names is not None and len(values) != len(class_names):
            raise table.wrong(
                key,
                expected=f"{len(class_names)} numbers, one per class ({', '.join(class_names)})",
                advice="Write them in the order of class_names.",
            )
    numbers = label_values or (tuple(range(1, len(class_names) + 1)) if class_names is not None else ())
    if both := sorted(set(numbers) & set(unlabelled)):
        raise table.wrong(
            "unlabelled_values",
            expected=f"no class numbers; value {both[0]} is also a class",
            advice="Remove it from one of the two lists.",
        )
    wavelengths = table.lengths("wavelengths_nm")
    assert wavelengths is None or isinstance(wavelengths, tuple)
    if wavelengths is not None and max(wavelengths) < _LEAST_NM:
        raise table.wrong(
            "wavelengths_nm", expected="nanometres", advice="These look like micrometres; multiply them by 1000."
        )
    unit, scale = table.text("unit"), table.positive("scale", default=1)
    if unit is not None:
        check_unit(unit, where=f"{table.where}, unit")
    elif "scale" in table:
        raise table.wrong(
            "unit", expected="a unit with scale", advice='Say what the divided numbers are, such as "reflectance".'
        )
    return OwnScene(
        name=name,
        where=table.where,
        folder=str(location.parent),
        acquisition=name,
        stored=stored,
        cube=cube,
        cube_variable=table.text("cube_variable"),
        labels=table.text("labels"),
        labels_variable=table.text("labels_variable"),
        class_names=class_names,
        label_values=label_values,
        unlabelled_values=unlabelled,
        wavelengths_nm=wavelengths,
        pixels_per_class=pixels,
        scale=scale,
        unit=unit,
        cut_to_overlap=table.flag("cut_to_overlap"),
        cut=_cut(table),
    )


def _cut(table: Table) -> Cut | None:
    cut = Cut(rows=_range(table, "rows"), columns=_range(table, "columns"), mask=table.text("mask"))
    return None if cut == Cut() else cut


def _range(table: Table, key: str) -> tuple[int, int] | None:
    values = table.numbers(key, least=0)
    if values is not None and (len(values) != 2 or values[0] >= values[1]):
        raise table.wrong(
            key, expected="two numbers that increase", advice=f"Write {key} = [first, one after the last]."
        )
    return None if values is None else (values[0], values[1])


def _pairs(top: Table, scenes: Mapping[str, OwnScene]) -> dict[str, OwnPair]:
    found: dict[str, OwnPair] = {}
    for name, table in top.tables("pairs").items():
        _refuse_taken(table, name, (*EMBEDDED_PAIRS, *PAIRS, *found), of="pair")
        table.refuse_unknown(_PAIR_KEYS)
        source, target = (_side(table, key, scenes) for key in ("source", "target"))
        if source == target:
            raise table.wrong(
                "target",
                expected="a scene other than the source",
                advice="One scene is divided by --scene and --split.",
            )
        ours, theirs = (_class_names(scene, scenes) for scene in (source, target))
        written = table.table("class_map")
        class_matches, merged = (
            (None, ())
            if written is None
            else read_class_matches(written, ours, theirs, wrong=partial(table.wrong, "class_map"))
        )
        if class_matches is None and ours is not None and theirs is not None and len(set(ours) & set(theirs)) < 2:
            raise table.wrong(
                "class_map",
                expected=f"at least two shared classes of {', '.join(ours)} and {', '.join(theirs)}",
                advice='Write class_map = { "class of the source" = "class of the target", … }.',
            )
        found[name] = OwnPair(
            name=name,
            where=table.where,
            source=source,
            target=target,
            class_matches=class_matches,
            merged=merged,
            fwhm_nm=table.lengths("fwhm_nm", single=True),
        )
    return found


def _side(table: Table, key: str, scenes: Mapping[str, OwnScene]) -> str:
    name = table.text(key)
    known = (*scenes, *(name for name, entry in SCENES.items() if not entry.has_own_masks))
    if name is None or name not in known:
        near = "" if name is None else nearest_name(name, known)
        raise table.wrong(
            key,
            expected=f"a scene with a label map, one of {', '.join(known)}{near}",
            advice="Describe it by a table [scenes.NAME] in this file, or correct the name.",
        )
    return name


def _class_names(scene: str, scenes: Mapping[str, OwnScene]) -> tuple[str, ...] | None:
    return scenes[scene].class_names if scene in scenes else SCENES[scene].class_names


def _refuse_taken(table: Table, name: str, taken: Sequence[str], *, of: str) -> None:
    # A file system may take upper and lower case for the same.
    if (known := next((other for other in taken if other.lower() == name.lower()), None)) is not None:
        raise InvalidInputError(
            f"{table.where}: got the name {name!r}; expected one that is not taken, and there is a {of} {known!r}. "
            "Choose another name."
        )


def _reads_the_same(scene: OwnScene, other: OwnScene) -> bool:
    """Whether two scenes read the same cube, so that their pixels are the same whatever their labels."""
    named = [split_inside(one.cube or one.stored or "") for one in (scene, other)]
    files, others = (os.path.normpath(file) for file, _ in named)
    variables = {inside or one.cube_variable for (_, inside), one in zip(named, (scene, other), strict=True)}
    return files == others and (len(variables) == 1 or None in variables)
