"""A user's own scenes and pairs, from a TOML file; docs/scenes.md describes it. All of it is checked when it is read.

Shape letters: C bands, K classes.
"""

import math
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
from sceneshift.catalogue.user_class_map import read_class_map
from sceneshift.catalogue.user_cut import Cut
from sceneshift.catalogue.user_entries import NO_CATALOGUE, OwnCatalogue, OwnPair, OwnScene
from sceneshift.errors import InvalidInputError, MissingDataError, first_line, nearest_name
from sceneshift.safe_files import existing
from sceneshift.scenes.mapped_arrays import SUFFIXES
from sceneshift.scenes.scene import check_unit

#: The environment variable that names the catalogue where no argument does.
CATALOGUE_VARIABLE = "SCENESHIFT_CATALOGUE"

#: What a catalogue in the data folder is called.
CATALOGUE_NAME = "scenes.toml"

_ENDINGS = (".toml",)

_SCENE_KEYS = (
    *("stored", "cube", "cube_variable", "labels", "labels_variable", "class_names"),
    *("label_values", "unlabelled_values", "wavelengths_nm", "pixels_per_class", "scale", "unit"),
    *("rows", "columns", "mask"),
)
_PAIR_KEYS = ("source", "target", "class_map", "fwhm_nm")

#: Keys that say where a cube and its labels lie in files, which a stored scene has settled.
_FILE_KEYS = ("cube", "cube_variable", "labels", "labels_variable", "label_values", "unlabelled_values")

#: Names become names of files and of models.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

#: Smaller numbers are no wavelength of a hyperspectral sensor in nanometres.
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
        InvalidInputError: The file is no catalogue; the message says table, key and what to do.
    """
    if named is not None:
        return read_catalogue(named, found="--catalogue")
    if in_environment := os.environ.get(CATALOGUE_VARIABLE):
        return read_catalogue(in_environment, found=CATALOGUE_VARIABLE)
    folder = data_folder(data_dir)
    if folder is not None and (folder / CATALOGUE_NAME).exists():
        return read_catalogue(folder / CATALOGUE_NAME, found="in the data folder")
    return NO_CATALOGUE


def read_catalogue(path: str | Path, *, found: str = "") -> OwnCatalogue:
    """Read and check a catalogue file; the files it names are looked for when a scene is asked for.

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
    top = _Table(str(location), content)
    top.refuse_unknown(("scenes", "pairs"))
    scenes = _scenes(top, location)
    return OwnCatalogue(path=str(location), found=found, scenes=scenes, pairs=_pairs(top, scenes))


class _Table:
    """A table of the file, and the messages about it."""

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where = where
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def wrong(self, key: str, *, expected: str, advice: str) -> InvalidInputError:
        got = _short(self._values[key]) if key in self._values else "nothing"
        return InvalidInputError(f"{self.where}, {key}: got {got}; expected {expected}. {advice}")

    def refuse_unknown(self, known: Sequence[str]) -> None:
        for key in self._values:
            if key not in known:
                raise InvalidInputError(
                    f"{self.where}, {key}: got a key that is not known; expected one of {', '.join(known)}"
                    f"{nearest_name(key, known)}. Correct its name, or leave it out."
                )

    def tables(self, key: str) -> dict[str, "_Table"]:
        """The tables [key.NAME], by name."""
        values = self._values.get(key, {})
        if not isinstance(values, dict):
            raise self.wrong(key, expected=f"tables [{key}.NAME]", advice=f"Begin each by a line [{key}.NAME].")
        found = {}
        for name, table in values.items():
            where = f"{self.where}, [{key}.{name}]"
            if not _NAME.fullmatch(name) or name.lower().endswith(SUFFIXES):
                raise InvalidInputError(
                    f"{where}: got the name {name!r}; expected letters, digits, '_', '-' and '.', a letter or digit "
                    f"first and no {', '.join(SUFFIXES)} last. Choose another name."
                )
            if not isinstance(table, dict):
                raise InvalidInputError(
                    f"{where}: got {_short(table)}; expected a table. Begin it by a line [{key}.{name}]."
                )
            found[name] = _Table(where, table)
        return found

    def text(self, key: str) -> str | None:
        value = self._values.get(key)
        if key in self and (not isinstance(value, str) or not value):
            raise self.wrong(key, expected="a text", advice="Write it in quotes.")
        return value

    def numbers(self, key: str, *, least: int) -> tuple[int, ...] | None:
        """A list of whole numbers."""
        value = self._values.get(key)
        if key not in self:
            return None
        if not isinstance(value, list) or not value or not all(type(v) is int and v >= least for v in value):
            raise self.wrong(
                key, expected=f"a list of whole numbers from {least} on", advice=f"Write {key} = [{least}, …]."
            )
        return tuple(value)

    def positive(self, key: str, *, default: float) -> float:
        """A number above 0 that float32 can divide by."""
        value = self._values.get(key, default)
        if not _is_positive(value) or not 1e-30 <= value <= 1e30:
            raise self.wrong(
                key, expected="a positive number", advice="Write what the file's numbers are divided by, such as 10000."
            )
        return float(value)

    def lengths(self, key: str, *, single: bool = False) -> tuple[float, ...] | float | None:
        """A list of positive numbers, or a single one where that is allowed."""
        value = self._values.get(key)
        if key not in self:
            return None
        several = isinstance(value, list)
        values = value if isinstance(value, list) else [value]
        if not (several or single) or not values or not all(map(_is_positive, values)):
            expected = "a positive number of nanometres, or a list of them" if single else "a list of positive numbers"
            raise self.wrong(key, expected=expected, advice="Write nanometres, one for each band.")
        numbers = tuple(map(float, values))
        return numbers if several else numbers[0]

    def names(self, key: str) -> tuple[str, ...] | None:
        value = self._values.get(key)
        if key not in self:
            return None
        names = value if isinstance(value, list) else []
        if len(names) < 2 or not all(isinstance(n, str) and n for n in names) or len(set(names)) != len(names):
            raise self.wrong(
                key,
                expected="a list of two or more different names",
                advice="Write them in the order of the classes' numbers.",
            )
        return tuple(names)

    def table(self, key: str) -> Mapping[str, Any] | None:
        value = self._values.get(key)
        if key in self and (not isinstance(value, dict) or not value):
            raise self.wrong(
                key, expected='a table { "source class" = "target class" }', advice="Name each class once."
            )
        return value


def _scenes(top: _Table, location: Path) -> dict[str, OwnScene]:
    found: dict[str, OwnScene] = {}
    for name, table in top.tables("scenes").items():
        _refuse_taken(table, name, (*SCENES, *found), of="scene")
        scene = _scene(table, name, location)
        same = next((other for other in found.values() if _reads_the_same(scene, other)), None)
        found[name] = scene if same is None else replace(scene, acquisition=same.acquisition)
    return found


def _scene(table: _Table, name: str, location: Path) -> OwnScene:
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
                    key, expected="nothing beside stored", advice="A stored scene has cube and labels; leave it out."
                )
    class_names = table.names("class_names")
    label_values = table.numbers("label_values", least=1)
    unlabelled = table.numbers("unlabelled_values", least=0) or ()
    if label_values is not None:
        if class_names is None:
            raise table.wrong("class_names", expected="names beside label_values", advice="Name the classes.")
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
            "unit", expected="a unit beside scale", advice='Say what the divided numbers are, such as "reflectance".'
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
        cut=_cut(table),
    )


def _cut(table: _Table) -> Cut | None:
    cut = Cut(rows=_range(table, "rows"), columns=_range(table, "columns"), mask=table.text("mask"))
    return None if cut == Cut() else cut


def _range(table: _Table, key: str) -> tuple[int, int] | None:
    values = table.numbers(key, least=0)
    if values is not None and (len(values) != 2 or values[0] >= values[1]):
        raise table.wrong(
            key, expected="two numbers that increase", advice=f"Write {key} = [first, one after the last]."
        )
    return None if values is None else (values[0], values[1])


def _pairs(top: _Table, scenes: Mapping[str, OwnScene]) -> dict[str, OwnPair]:
    found: dict[str, OwnPair] = {}
    for name, table in top.tables("pairs").items():
        _refuse_taken(table, name, (*EMBEDDED_PAIRS, *PAIRS, *found), of="pair")
        table.refuse_unknown(_PAIR_KEYS)
        source, target = (_side(table, key, scenes) for key in ("source", "target"))
        if source == target:
            raise table.wrong(
                "target",
                expected="another scene than the source",
                advice="One scene is divided by --scene and --split.",
            )
        ours, theirs = (_class_names(scene, scenes) for scene in (source, target))
        written = table.table("class_map")
        class_map, merged = (
            (None, ())
            if written is None
            else read_class_map(written, ours, theirs, wrong=partial(table.wrong, "class_map"))
        )
        if class_map is None and ours is not None and theirs is not None and len(set(ours) & set(theirs)) < 2:
            raise table.wrong(
                "class_map",
                expected=f"two classes that are the same at least, of {', '.join(ours)} and {', '.join(theirs)}",
                advice='Write class_map = { "class of the source" = "class of the target", … }.',
            )
        found[name] = OwnPair(
            name=name,
            where=table.where,
            source=source,
            target=target,
            class_map=class_map,
            merged=merged,
            fwhm_nm=table.lengths("fwhm_nm", single=True),
        )
    return found


def _side(table: _Table, key: str, scenes: Mapping[str, OwnScene]) -> str:
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


def _refuse_taken(table: _Table, name: str, taken: Sequence[str], *, of: str) -> None:
    # A file system may take upper and lower case for the same.
    if (known := next((other for other in taken if other.lower() == name.lower()), None)) is not None:
        raise InvalidInputError(
            f"{table.where}: got the name {name!r}; expected one that is not taken, and there is a {of} {known!r}. "
            "Choose another name."
        )


def _reads_the_same(scene: OwnScene, other: OwnScene) -> bool:
    """Whether two scenes read the same cube, so that their pixels are the same whatever their labels."""
    variables = {scene.cube_variable, other.cube_variable}
    files, others = (
        {key: os.path.normpath(file) for key, file in one.files.items() if key not in ("labels", "mask")}
        for one in (scene, other)
    )
    return files == others and (len(variables) == 1 or None in variables)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
