"""What a scene pair is made from: plain, picklable values; :mod:`sceneshift.catalogue.load` makes the pair."""

import math
from dataclasses import dataclass
from pathlib import Path

from sceneshift.catalogue.builtin import SCENES
from sceneshift.catalogue.sides import Sides, find_sides
from sceneshift.catalogue.user_entries import NO_CATALOGUE, OwnCatalogue
from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.scenes.mapped_arrays import SUFFIXES

#: How one scene can be divided into a training and a test side.
IN_SCENE_SPLITS = ("blocks", "fields", "random", "fixed")


@dataclass(frozen=True, kw_only=True)
class NamedPair:
    """A pair known by name: two scenes, or two regions of one; or several sources and a target, ``a+b-c``.

    Args:
        name: The pair's name; of several sources, those of the scenes (:mod:`sceneshift.catalogue.sides`).
        data_dir: The folder its files are in; by default what SCENESHIFT_DATA says. Embedded pairs need none.
        catalogue: The user's own scenes and pairs.

    Raises:
        InvalidInputError: No pair has that name, or no scene one of the names in it.
    """

    name: str
    data_dir: str | None = None
    catalogue: OwnCatalogue = NO_CATALOGUE

    def __post_init__(self) -> None:
        self.sides()

    def sides(self) -> Sides:
        """The names of its scenes."""
        return find_sides(self.name, self.catalogue)

    @property
    def definition_hash(self) -> str | None:
        """Hash of the user's description; None for a pair that is published."""
        if (own := self.catalogue.pair_hash(self.name)) is not None:
            return own
        sides = self.sides()
        return None if len(sides.sources) == 1 else self.catalogue.sides_hash(sides.sources, sides.target)


@dataclass(frozen=True, kw_only=True)
class InScene:
    """One scene, divided into a training side (the source) and a test side (the target).

    Args:
        scene: The scene's name, or the ``.arrow`` file of a stored scene.
        split: "blocks" or "fields" with a guard band, "random" pixel by pixel, or "fixed" by two masks.
        patch_size: The largest patch that will be cut; odd.
        seed: Draws the blocks, the fields or the pixels.
        train_fraction: The share of each class's pixels that train; not for "fixed".
        train_mask: Label map of the training pixels, for "fixed"; its class numbers may be in another order. A
            scene that was published with masks uses those where none are given.
        test_mask: Label map of the test pixels, numbered like ``train_mask``.
        cut_to_overlap: Whether masks that are whole pixels apart from the scene are cut to it; the scene's pixels
            beyond a mask are in neither side.
        data_dir: The folder the scene's files are in; by default what SCENESHIFT_DATA says.
        catalogue: The user's own scenes and pairs.

    Raises:
        InvalidInputError: No scene has that name, or the values don't go together.
    """

    scene: str
    split: str
    patch_size: int
    seed: int
    train_fraction: float = 0.1
    train_mask: str | None = None
    test_mask: str | None = None
    cut_to_overlap: bool = False
    data_dir: str | None = None
    catalogue: OwnCatalogue = NO_CATALOGUE

    def __post_init__(self) -> None:
        known = (*SCENES, *self.catalogue.scenes)
        if self.scene not in known and not is_stored_scene(self.scene):
            raise InvalidInputError(
                f"no scene is called {self.scene!r}{nearest_name(self.scene, known)}. Known: {', '.join(known)}; or "
                f"the file of a stored scene ({', '.join(SUFFIXES)})." + self.catalogue.advice()
            )
        if self.split not in IN_SCENE_SPLITS:
            raise InvalidInputError(
                f"--split {self.split!r}{nearest_name(self.split, IN_SCENE_SPLITS)}; expected one of "
                f"{', '.join(IN_SCENE_SPLITS)}."
            )
        if self.patch_size < 1 or self.patch_size % 2 == 0:
            raise InvalidInputError(f"patch_size = {self.patch_size}; expected an odd number of pixels.")
        if not (math.isfinite(self.train_fraction) and 0 < self.train_fraction < 1):
            raise InvalidInputError(f"--train-fraction {self.train_fraction}; expected a share between 0 and 1.")
        has_own = self.scene in SCENES and SCENES[self.scene].has_own_masks
        if self.split != "fixed":
            self._refuse_masks()
            if has_own:
                raise InvalidInputError(
                    f"--split {self.split}: {self.scene} has no label map of its own, only training and test pixels; "
                    "use --split fixed."
                )
        elif (self.train_mask is None) != (self.test_mask is None):
            missing = "--test-mask" if self.test_mask is None else "--train-mask"
            raise InvalidInputError(f"--split fixed needs --train-mask and --test-mask; {missing} is missing.")
        elif self.train_mask is None and not has_own:
            raise InvalidInputError(
                f"--split fixed needs --train-mask and --test-mask: {self.scene} was published without masks. Give two "
                "label maps of the scene's shape, or use --split blocks."
            )

    def _refuse_masks(self) -> None:
        for flag, value in (("--train-mask", self.train_mask), ("--test-mask", self.test_mask)):
            if value is not None:
                raise InvalidInputError(f"--split {self.split} takes no {flag}; got {value!r}. Use --split fixed.")

    @property
    def name(self) -> str:
        """The pair's name: the scene's."""
        return scene_name(self.scene)

    @property
    def definition_hash(self) -> str | None:
        """Hash of the user's description; None for a scene that is published or stored."""
        return self.catalogue.scene_hash(self.scene)


def is_stored_scene(scene: str) -> bool:
    """Whether a scene is named by the file it is stored in."""
    return Path(scene).suffix.lower() in SUFFIXES


def scene_name(scene: str) -> str:
    """A scene's name, or the name of the file it is stored in, wherever that is."""
    return Path(scene).stem if is_stored_scene(scene) else scene


#: Everything a pair can be made from.
Recipe = NamedPair | InScene
