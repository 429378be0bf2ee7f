"""The scenes and pixels for training and testing: plain values, and the data they load.

A :class:`DataSpec` decides every pixel of a training: which train, which validate, which test. It is the same for a
search, one of its trials, a refit and a single training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from sceneshift.catalogue.builtin import SCENES
from sceneshift.catalogue.in_scene import GUARDED_SPLITS, IN_SCENE_MIN_PIXELS
from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.one_acquisition import refuse_shared_content
from sceneshift.catalogue.pair_spec import IN_SCENE_SPLITS, InScene, NamedPair, Recipe, is_stored_scene, scene_name
from sceneshift.catalogue.user_toml import open_catalogue, scene_from_flags
from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.files.inside import is_file
from sceneshift.seeding import derive_seed
from sceneshift.splits.layouts import NoLayoutError
from sceneshift.splits.pair import ScenePair, refuse_shared_pixels, short_name
from sceneshift.splits.source import SourceDomain, by_pair, joined_hash
from sceneshift.splits.split import Split, check_patch_size, everything_split, random_split
from sceneshift.training.target_pixels import TargetPixels

#: Share of a source's pixels used for training if others validate.
SOURCE_FRACTION = 0.8

#: Share of a scene's pixels on its training side: if that side also validates, and if all of it trains.
SCENE_FRACTION_WITH_VALIDATION, SCENE_FRACTION = 0.5, 0.1

#: How labelled pixels can be split; "all" only for a pair's source.
SPLITS = (*IN_SCENE_SPLITS, "all")

_PATHS = ("train_mask", "test_mask", "data_dir", "catalogue")


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The scenes and pixels of a search or a training; either ``pairs`` or ``scene`` is given.

    Args:
        pairs: Names of scene pairs, source-target, embedded, published or of the user's catalogue; of several sources,
            ``a+b-c``.
        scene: One scene, by name or as the ``.arrow`` file it is stored in, divided into a training and a test side.
        split: How labelled pixels are divided: "blocks", "fields", "random", or "fixed" by two masks (a scene alone).
            Of a pair it divides the source into pixels that train and validate; "all" trains on all of them.
        validates: Whether pixels of the source are held back to validate on. Without, a pair's source trains whole, and
            a scene's training side does.
        train_fraction: Share of each class's pixels that train: of a pair's source, the rest validates (0.8 by
            default); of a scene, the rest tests (0.5 if its training side also validates, else 0.1).
        train_mask: Label map of the training pixels, for "fixed".
        test_mask: Label map of the test pixels, for "fixed".
        cut_to_overlap: Whether masks that are whole pixels apart from the scene are cut to it.
        data_dir: Folder of the scenes' files; by default SCENESHIFT_DATA.
        catalogue: TOML file of the user's scenes and pairs; by default SCENESHIFT_CATALOGUE.
        patch_size: The largest patch that will be cut, in pixels: guard bands of splits are made for it.
        pixels_per_class: Maximum of training pixels per class and source, or None for all.
        seed: Seed for splits and training pixels.
        described: What the file of ``scene`` doesn't say about it, by the keys of a scene in a catalogue; for a scene
            that is given as a file.

    Raises:
        InvalidInputError: Neither or both of ``pairs`` and ``scene`` are given, a pair is named twice, a value is
            unknown or out of range, or the values don't go together.
    """

    pairs: tuple[str, ...] = ()
    scene: str | None = None
    split: str = "blocks"
    validates: bool = True
    train_fraction: float | None = None
    train_mask: str | None = None
    test_mask: str | None = None
    cut_to_overlap: bool = False
    data_dir: str | None = None
    catalogue: str | None = None
    patch_size: int = 13
    pixels_per_class: int | None = None
    seed: int = 0
    described: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if bool(self.pairs) == (self.scene is not None):
            raise InvalidInputError(
                f"pairs = {self.pairs!r}, scene = {self.scene!r}; give scene pairs or one scene, not both."
            )
        if self.split not in SPLITS:
            raise InvalidInputError(
                f"split = {self.split!r}{nearest_name(self.split, SPLITS)}; expected one of {', '.join(SPLITS)}."
            )
        if self.train_fraction is not None and not 0 < self.train_fraction < 1:
            raise InvalidInputError(f"train_fraction = {self.train_fraction}; expected a share between 0 and 1.")
        if len(set(self.pairs)) != len(self.pairs):
            raise InvalidInputError(f"pairs = {' '.join(self.pairs)}; expected each pair once.")
        if self.pairs and (self.split == "fixed" or self.train_mask or self.test_mask):
            raise InvalidInputError("split 'fixed', train_mask and test_mask divide one scene; name it by scene.")
        if self.scene is not None and self.split == "all":
            raise InvalidInputError("split 'all' of one scene leaves no pixel to test; use it with pairs.")
        plain = {name: tuple(v) if isinstance(v, list) else v for name, v in self.described.items()}
        object.__setattr__(self, "described", plain)
        if self.described and self.scene is None:
            raise InvalidInputError(f"{', '.join(self.described)} describe a scene's file; name it by scene.")
        if self.pixels_per_class is not None and self.pixels_per_class < 1:
            raise InvalidInputError(
                f"pixels_per_class = {self.pixels_per_class}; expected at least 1, or None for all."
            )

    @property
    def holds_back(self) -> bool:
        """Whether pixels of a source are held back for validation."""
        return self.validates and self.split != "all"

    @property
    def fraction(self) -> float | None:
        """The share of each class's pixels used for training; None if the split has none."""
        if self.split in ("fixed", "all") or (self.scene is None and not self.validates):
            return None
        if self.train_fraction is not None:
            return self.train_fraction
        if self.scene is None:
            return SOURCE_FRACTION
        return SCENE_FRACTION_WITH_VALIDATION if self.validates else SCENE_FRACTION

    @property
    def source_fraction(self) -> float:
        """The share of each class's pixels of a source that train; the rest validates.

        Of a scene it is that of its training side, which a fifth of validates like any pair's source.
        """
        return SOURCE_FRACTION if self.scene is not None or self.fraction is None else self.fraction

    @property
    def split_name(self) -> str:
        """The split's name in tables: its kind, and the share that trains."""
        if self.scene is None and not self.validates:
            return "all"
        return self.split if self.fraction is None else f"{self.split} {self.fraction:g}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; paths are absolute, so that the same data is found from another folder."""
        values = asdict(self) | {"pairs": list(self.pairs)}
        if not self.cut_to_overlap:
            del values["cut_to_overlap"]  # specifications from before there was one keep their key
        for name in _PATHS:
            if values[name] is not None:
                values[name] = str(Path(values[name]).resolve())
        if self.scene is not None and is_file(self.scene):
            values["scene"] = str(Path(self.scene).resolve())
        described = {name: list(v) if isinstance(v, tuple) else v for name, v in values.pop("described").items()}
        if "labels" in described:
            described["labels"] = str(Path(str(described["labels"])).resolve())
        return values | ({"described": described} if described else {})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Restore a specification from :meth:`as_dict`."""
        return cls(**{**values, "pairs": tuple(values["pairs"])})

    def recipes(self) -> tuple[Recipe, ...]:
        """What each pair is made from.

        Raises:
            InvalidInputError: No pair or scene has that name, or the user's catalogue is wrong.
            MissingDataError: The user's catalogue isn't there.
        """
        catalogue = open_catalogue(self.catalogue, self.data_dir)
        if self.scene is None:
            return tuple(NamedPair(name=name, data_dir=self.data_dir, catalogue=catalogue) for name in self.pairs)
        scene = self.scene
        if scene in (*SCENES, *catalogue.scenes) or (is_stored_scene(scene) and not self.described):
            if self.described:
                raise InvalidInputError(
                    f"{scene} is known by name, and {', '.join(self.described)} describe a file; expected one of the "
                    "two. Leave them out, or change the scene's table in the TOML catalogue."
                )
        elif self.described or is_file(scene):
            own = scene_from_flags(scene, self.described)
            scene = own.name
            if scene in (*SCENES, *catalogue.scenes):
                raise InvalidInputError(
                    f"{self.scene}: its scene would be called {scene!r}, like another one that is known by name; "
                    "rename the file, or describe it in the TOML catalogue under another name."
                )
            catalogue = replace(catalogue, scenes={**catalogue.scenes, scene: own})
        in_scene = InScene(
            scene=scene,
            split=self.split,
            patch_size=self.patch_size,
            seed=derive_seed(self.seed, "split", scene_name(scene)),
            train_fraction=self.fraction or SCENE_FRACTION,
            train_mask=self.train_mask,
            test_mask=self.test_mask,
            cut_to_overlap=self.cut_to_overlap,
            data_dir=self.data_dir,
            catalogue=catalogue,
        )
        return (in_scene,)

    def load(self) -> "LoadedData":
        """Load scenes and divide their pixels; targets come without labels.

        Raises:
            InvalidInputError: A source can't be divided so, or a pixel is in one pair's source and another's target.
            MissingDataError: A pair's data isn't there.
        """
        recipes = self.recipes()
        pairs = tuple(load_pair(recipe) for recipe in recipes)
        refuse_shared_pixels(pairs)
        refuse_shared_content(pairs)
        sources = tuple(source for pair in pairs for source in self.divide(pair))
        return LoadedData(spec=self, recipes=recipes, pairs=pairs, sources=sources)

    def divide(self, pair: ScenePair) -> tuple[SourceDomain, ...]:
        """Divide each of a pair's sources, all by the same kind of split.

        Raises:
            InvalidInputError: One can't be divided so.
        """
        return tuple(self._divide(pair, number) for number in range(len(pair.sources)))

    def _divide(self, pair: ScenePair, number: int) -> SourceDomain:
        scene = pair.sources[number]
        try:
            split = source_split(
                pair,
                self.split if self.holds_back else "all",
                fraction=self.source_fraction,
                patch_size=self.patch_size,
                seed=self.seed,
                number=number,
            )
        except NoLayoutError as error:
            if self.scene is None:
                raise
            raise InvalidInputError(
                f"the training side of {self.scene} can't be divided once more for validation; its share is "
                f"--train-fraction {self.fraction:g}. {error} Here the training share is fixed; give the training side "
                "more by --train-fraction."
            ) from error
        if self.pixels_per_class is not None:
            split = split.thinned(scene, pixels_per_class=self.pixels_per_class)
        return SourceDomain(pair_name=pair.name, scene=scene, split=split, part=_part(pair, number))


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedData:
    """What a :class:`DataSpec` loads.

    Args:
        spec: The specification.
        recipes: What each pair is made from; closing opens the targets by them.
        pairs: Sources and unlabelled target of each pair.
        sources: What trainings are given: sources and splits, pair after pair, nothing of the target. Those that are
            allowed some of its pixels get :meth:`target_pixels` as well.
    """

    spec: DataSpec
    recipes: Sequence[Recipe]
    pairs: Sequence[ScenePair]
    sources: Sequence[SourceDomain]

    def divided(self, spec: DataSpec) -> "LoadedData":
        """The same scenes with their pixels divided by another specification of the same pairs."""
        return replace(self, spec=spec, sources=tuple(source for pair in self.pairs for source in spec.divide(pair)))

    def sources_of(self, pair_name: str) -> tuple[SourceDomain, ...]:
        """The sources of one pair."""
        return by_pair(self.sources)[pair_name]

    def target_pixels(self, access: str) -> tuple[TargetPixels, ...]:
        """Unlabelled target pixels of each pair, for trainings that are allowed them.

        Args:
            access: One of :data:`sceneshift.training.target_pixels.TARGET_ACCESS`; with "none" there are none.
        """
        return () if access == "none" else tuple(TargetPixels.draw(pair) for pair in self.pairs)

    def identity(self) -> dict[str, Any]:
        """What a resumed run must agree with: which pixels, which classes, which shapes."""
        return {
            **_per_source("split.hash", self.sources, lambda source: source.split.content_hash),
            **{f"test_split.hash.{p.name}": p.test_split.content_hash for p in self.pairs if p.test_split is not None},
            **{f"definition.hash.{r.name}": r.definition_hash for r in self.recipes if r.definition_hash is not None},
            **{f"source.shape.{s.key}": list(s.scene.cube.shape) for s in self.sources},
            **{f"target.shape.{p.name}": list(p.target.cube.shape) for p in self.pairs},
            **{f"classes.{p.name}": list(p.class_names) for p in self.pairs},
        }

    def origin(self) -> dict[str, str]:
        """Hashes of the scenes themselves. A resumed run may differ in them, and says so."""
        return {
            **_per_source("source.hash", self.sources, lambda source: source.scene.content_hash),
            **{f"target.hash.{p.name}": p.target.cube_hash for p in self.pairs},
        }

    def hashes(self) -> dict[str, str]:
        """Every hash of :meth:`identity` and :meth:`origin`: what runs are tagged with."""
        return {key: value for key, value in {**self.identity(), **self.origin()}.items() if ".hash." in key}


def _per_source(name: str, sources: Sequence[SourceDomain], hash_of: Callable[[SourceDomain], str]) -> dict[str, str]:
    """A hash of each source, by the name and its key, and of several sources of a pair a joined one by the pair's."""
    hashes = {source.key: hash_of(source) for source in sources}
    joined = {
        pair: joined_hash([hashes[source.key] for source in of_pair]) for pair, of_pair in by_pair(sources).items()
    }
    return {f"{name}.{key}": digest for key, digest in {**joined, **hashes}.items()}


def _part(pair: ScenePair, number: int) -> str | None:
    return None if len(pair.sources) == 1 else short_name(pair.sources[number])


def source_split(pair: ScenePair, kind: str, *, fraction: float, patch_size: int, seed: int, number: int = 0) -> Split:
    """Divide one of a pair's sources into training and validation pixels.

    Args:
        pair: The pair. The training side of a single scene may have classes of a handful of pixels: those train whole.
        kind: "blocks", "fields", "random" or "all"; "fixed" divides the training mask's pixels at random, as they are
            scattered. Within one scene, parts of a field that the guard of its test side has cut apart are fields each.
        fraction: Share of each class's pixels that train.
        patch_size: The largest patch that will be cut.
        seed: The run's or the search's.
        number: Which source, from 0.

    Raises:
        InvalidInputError: The source can't be divided so, or the patch is wider than one of the two scenes.
    """
    check_patch_size(patch_size, pair.target.shape, f"target {pair.target.name!r}")
    source, part = pair.sources[number], _part(pair, number)
    words = ("split" if pair.test_split is None else "validation", pair.name)
    seed = derive_seed(seed, *words, *(() if part is None else (part,)))
    if kind == "all":
        return everything_split(source, patch_size, seed=seed)
    if kind in ("random", "fixed"):
        return random_split(source, train_fraction=fraction, patch_size=patch_size, seed=seed)
    if pair.test_split is None:
        return GUARDED_SPLITS[kind](source, patch_size=patch_size, seed=seed, validation_fraction=1 - fraction)
    return GUARDED_SPLITS[kind](
        source,
        patch_size=patch_size,
        seed=seed,
        validation_fraction=1 - fraction,
        min_pixels=IN_SCENE_MIN_PIXELS,
        rare_to_training=True,
    )
