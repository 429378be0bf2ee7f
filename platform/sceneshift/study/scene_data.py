"""From the command line's flags to scenes and pixels: what trains, what validates, what tests."""

from collections.abc import Sequence

from sceneshift.catalogue.in_scene import GUARDED_SPLITS, IN_SCENE_MIN_PIXELS
from sceneshift.catalogue.pair_spec import InScene, NamedPair, Recipe, scene_name
from sceneshift.catalogue.units import describe_units
from sceneshift.catalogue.user_toml import open_catalogue
from sceneshift.scenes.normalization import constant_bands
from sceneshift.seeding import derive_seed
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.split import Split, check_patch_size, everything_split, random_split
from sceneshift.study.arguments import SceneArgs

#: Share of a source's pixels that train beside those that validate.
SOURCE_FRACTION = 0.8


def pair_recipe(arguments: SceneArgs, name: str) -> NamedPair:
    """The recipe of a pair known by name, published or in the user's catalogue.

    Raises:
        InvalidInputError: No pair has that name, or the catalogue is wrong.
        MissingDataError: The catalogue isn't there.
    """
    catalogue = open_catalogue(arguments.catalogue, arguments.data_dir)
    return NamedPair(name=name, data_dir=arguments.data_dir, catalogue=catalogue)


def in_scene_recipe(arguments: SceneArgs, scene: str, *, fraction: float, patch_size: int, seed: int) -> InScene:
    """The recipe of one scene divided into a training and a test side, as the flags say.

    Args:
        arguments: The command line.
        scene: The scene's name, or the file it is stored in.
        fraction: Share of each class's pixels on the training side, for a split that has one.
        patch_size: The largest patch that will be cut.
        seed: The run's or the study's.

    Raises:
        InvalidInputError: The flags don't go together, no scene has that name, or the user's catalogue is wrong.
        MissingDataError: The catalogue isn't there.
    """
    return InScene(
        scene=scene,
        split=arguments.split,
        patch_size=patch_size,
        seed=derive_seed(seed, "split", scene_name(scene)),
        train_fraction=fraction,
        train_mask=arguments.train_mask,
        test_mask=arguments.test_mask,
        data_dir=arguments.data_dir,
        catalogue=open_catalogue(arguments.catalogue, arguments.data_dir),
    )


def definition_hashes(recipes: Sequence[Recipe]) -> dict[str, str]:
    """What a resumed run must agree with of the user's own descriptions: they say which labels are the same class."""
    return {f"catalogue entry of {r.name}": r.definition_hash for r in recipes if r.definition_hash is not None}


def source_split(pair: ScenePair, kind: str, *, fraction: float, patch_size: int, seed: int) -> Split:
    """Divide a pair's source into training and validation pixels.

    Args:
        pair: The pair. The training side of a single scene may have classes of a handful of pixels: those train whole.
        kind: "blocks", "fields", "random" or "all"; "fixed" divides the training mask's pixels at random, as they lie
            scattered. Within one scene, parts of a field that the guard of its test side has cut apart are fields each.
        fraction: Share of each class's pixels that train.
        patch_size: The largest patch that will be cut.
        seed: The run's or the study's.

    Raises:
        InvalidInputError: The source can't be divided so, or the patch is wider than one of the two scenes.
    """
    check_patch_size(patch_size, pair.target.shape, f"target {pair.target.name!r}")
    seed = derive_seed(seed, "split" if pair.test_split is None else "validation", pair.name)
    if kind == "all":
        return everything_split(pair.source, patch_size=patch_size)
    if kind in ("random", "fixed"):
        return random_split(pair.source, train_fraction=fraction, patch_size=patch_size, seed=seed)
    if pair.test_split is None:
        return GUARDED_SPLITS[kind](pair.source, patch_size=patch_size, seed=seed, validation_fraction=1 - fraction)
    return GUARDED_SPLITS[kind](
        pair.source,
        patch_size=patch_size,
        seed=seed,
        validation_fraction=1 - fraction,
        min_pixels=IN_SCENE_MIN_PIXELS,
        rare_to_training=True,
    )


def describe_pair(pair: ScenePair, split: Split) -> list[str]:
    """Lines that tell which pixels train, validate and test, how separate they are, and which classes aren't scored.

    The unit of the numbers is told where a scene states one.

    Args:
        pair: The pair.
        split: Of its source.
    """
    is_scene = pair.test_split is not None
    lines = [f"{'scene' if is_scene else 'pair'} {pair.name}".ljust(20) + " "]
    if pair.test_split is not None:
        lines[0] += _counts(pair.test_split, "test")
    if split.kind != "all":
        told = _counts(split, "validation")
        lines = [*lines, f"{' ' * 21}{told}"] if is_scene else [lines[0] + told]
        left_out = [name for k, name in enumerate(pair.class_names) if k not in split.scored_classes]
        if left_out:
            lines.append(
                f"{' ' * 21}NOT in the validation score, on one side of the split alone: {', '.join(left_out)}"
            )
    elif not is_scene:
        lines[0] += f"all {len(split.train)} labelled pixels of the source train"
    if len(constant := constant_bands(pair.source.cube)):
        told = f"{len(constant)} of {pair.source.num_bands} bands are constant over the source"
        lines.append(f"{' ' * 21}{told} (the first: {constant[0]}): nothing can be learnt from them")
    if (units := describe_units(pair)) is not None:
        lines.append(f"{' ' * 21}unit: {units}")
    return [*lines, *(f"{' ' * 21}{note}" for note in pair.notes)]


def _counts(split: Split, side: str) -> str:
    near = split.separation()
    how = {"random": "at random", "masks": "by masks"}.get(split.kind, f"by {split.kind}, guard {split.guard}")
    how += ", which LEAKS" if split.leaks else ""
    return (
        f"{len(split.train)} training and {len(split.validation)} {side} pixels {how} (patch {near.patch_size}: "
        f"{near.num_inside_training_patch} {side} pixels inside a training patch, "
        f"{near.num_overlapping_patches} with an overlapping patch)"
    )
