"""A user's own scenes and pairs as plain, picklable values, like those of :mod:`sceneshift.catalogue.builtin`.

:mod:`sceneshift.catalogue.user_toml` reads them from a TOML file, :mod:`sceneshift.catalogue.user_scenes` reads the
scenes. A recipe carries its catalogue with it: what is edited in the file while a study runs changes nothing in it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from sceneshift.catalogue.user_cut import Cut


@dataclass(frozen=True, kw_only=True)
class OwnScene:
    """A scene a user describes: a cube file and a label file, or one stored scene.

    Args:
        name: The scene's name.
        where: File and table it is described in, for messages.
        folder: The catalogue's folder, which paths may be relative to.
        acquisition: Name of the first scene described that reads the same cube: their pixels are the same.
        stored: The ``.arrow`` file; None if there are a cube and a label file.
        cube: The file with the cube (H, W, C).
        cube_variable: The cube's name in it; None takes the only array that fits.
        labels: The file with the label map; None takes the cube's.
        labels_variable: The map's name in it.
        class_names: The K classes; None takes what the files say.
        label_values: (K,) the numbers the classes have in the map, where those are not 1..K.
        unlabelled_values: Numbers in the map that mean unlabelled, in addition to 0.
        wavelengths_nm: (C,) band centres; None takes what the files say.
        pixels_per_class: (K,) expected labelled pixels per class; None expects nothing.
        scale: What the file's numbers are divided by.
        unit: Their unit after the division; None uses the one in the files.
        cut_to_overlap: Keep the pixels that cube and label map both cover, if they are whole pixels apart.
        cut: The part of the files' pixels that the scene is; None for all.
    """

    name: str
    where: str
    folder: str
    acquisition: str
    stored: str | None = None
    cube: str | None = None
    cube_variable: str | None = None
    labels: str | None = None
    labels_variable: str | None = None
    class_names: tuple[str, ...] | None = None
    label_values: tuple[int, ...] | None = None
    unlabelled_values: tuple[int, ...] = ()
    wavelengths_nm: tuple[float, ...] | None = None
    pixels_per_class: tuple[int, ...] | None = None
    scale: float = 1.0
    unit: str | None = None
    cut_to_overlap: bool = False
    cut: Cut | None = None

    @property
    def files(self) -> dict[str, str]:
        """The files it needs, by the key that names them."""
        named = {
            "stored": self.stored,
            "cube": self.cube,
            "labels": self.labels,
            "mask": None if self.cut is None else self.cut.mask,
        }
        return {key: file for key, file in named.items() if file is not None}

    @property
    def definition(self) -> tuple[object, ...]:
        """Everything that decides what is read and what it means, independent of where the catalogue is."""
        return (
            *(self.stored, self.cube, self.cube_variable, self.labels, self.labels_variable, self.class_names),
            *(self.label_values, self.unlabelled_values, self.wavelengths_nm),
            # Only where it is stated: entries without a unit keep the hash they had before there were any.
            *(() if self.unit is None else (self.scale, self.unit)),
            *(("cut_to_overlap",) if self.cut_to_overlap else ()),
            *(() if self.cut is None else (self.cut.rows, self.cut.columns, self.cut.mask)),
        )


@dataclass(frozen=True, kw_only=True)
class OwnPair:
    """A pair a user describes.

    Args:
        name: The pair's name.
        where: File and table it is described in, for messages.
        source: Name of a scene, the user's or a published one.
        target: As ``source``.
        class_matches: (class of the target, class of the source) for those that are the same; None goes by name.
        merged: (class of the source, its new name) for those that are renamed or become one; ``class_matches``
            knows them by the new name.
        fwhm_nm: Band widths of the coarser sensor, one, or one per band; None resamples linearly.
    """

    name: str
    where: str
    source: str
    target: str
    class_matches: tuple[tuple[str, str], ...] | None = None
    merged: tuple[tuple[str, str], ...] = ()
    fwhm_nm: float | tuple[float, ...] | None = None

    @property
    def rule(self) -> tuple[object, ...]:
        """How the two scenes correspond, as values that can be compared and hashed."""
        # Merged classes only where there are some: other pairs keep the hash they had before that was possible.
        return (self.class_matches, self.fwhm_nm, *((self.merged,) if self.merged else ()))


@dataclass(frozen=True, kw_only=True)
class OwnCatalogue:
    """All that one catalogue file describes.

    Args:
        path: The file; None where there is none.
        found: How it was found.
        scenes: By name.
        pairs: By name.
    """

    path: str | None = None
    found: str = ""
    scenes: Mapping[str, OwnScene] = field(default_factory=dict)
    pairs: Mapping[str, OwnPair] = field(default_factory=dict)

    def announcement(self) -> list[str]:
        """A line that says which file is used and why, or none."""
        return [] if self.path is None else [f"catalogue            {self.path} ({self.found})"]

    def advice(self) -> str:
        """Advice that follows the list of known names."""
        if self.path is None:
            return " Scenes and pairs of your own are described in a TOML file named by --catalogue: docs/scenes.md."
        return f" Those of your own are read from {self.path} ({self.found})."

    def scene_hash(self, name: str) -> str | None:
        """SHA-256 of what decides how a scene is read, 16 hexadecimal digits; None for a scene not described here."""
        return _hash(self.scenes[name].definition) if name in self.scenes else None

    def pair_hash(self, name: str) -> str | None:
        """The same of a pair and those of its scenes that are described here."""
        if name not in self.pairs:
            return None
        pair = self.pairs[name]
        sides = tuple(self.scene_hash(side) or side for side in (pair.source, pair.target))
        return _hash((sides, *pair.rule))

    def sides_hash(self, sources: tuple[str, ...], target: str) -> str | None:
        """The same of several sources and a target; None if nothing of them is described here.

        Args:
            sources: Names of scenes.
            target: Name of a scene.
        """
        own = [self.scene_hash(side) for side in (*sources, target)]
        rules = sorted(
            {
                (pair.source, repr(pair.rule))
                for pair in self.pairs.values()
                if pair.source in sources and pair.target == target
            }
        )
        if not rules and not any(own):
            return None
        return _hash((tuple(found or side for found, side in zip(own, (*sources, target), strict=True)), tuple(rules)))


def _hash(values: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


#: For a recipe of published scenes alone.
NO_CATALOGUE = OwnCatalogue()
