"""Everything a search needs that can be checked before any compute is spent."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import Recipe
from sceneshift.errors import InvalidInputError
from sceneshift.methods.registry import find_method
from sceneshift.search.profile import Profile
from sceneshift.search.space import FixedTrial, SearchSpace, load_space
from sceneshift.splits.pair import ScenePair, refuse_shared_pixels
from sceneshift.splits.source import SourceDomain
from sceneshift.study.arguments import TuneArgs
from sceneshift.study.scene_data import (
    SOURCE_FRACTION,
    in_scene_recipe,
    pair_recipe,
    source_split,
)
from sceneshift.study.unit_narrowing import narrow_normalizations
from sceneshift.training.checkpoint import CheckpointFolder

if TYPE_CHECKING:
    pass

from sceneshift.study.prepared_study import SMOKE_TEST, PreparedStudy

#: Share of a scene's pixels, class by class, on the side that trains and validates; the rest tests.
IN_SCENE_FRACTION = 0.5


def prepare(arguments: TuneArgs, *, method: str, space_path: Path) -> PreparedStudy:
    """Read and check everything a search needs.

    Raises:
        InvalidInputError: An argument, the space or the pairs don't allow the search.
        MissingDataError: A pair's data isn't there.
    """
    space = load_space(space_path)
    profile = choose_profile(arguments, space)
    default_trial = space.default_trial(profile)
    config_type = find_method(method).config_type
    config_type.from_mapping(space.config(FixedTrial(default_trial.params), profile))

    patch_size = space.largest_patch(profile)
    recipes = choose_recipes(arguments, space, patch_size=patch_size)
    pairs = [load_pair(recipe) for recipe in recipes]
    profile, narrowing = narrow_normalizations(space, profile, pairs, config_type)
    sources = divide_sources(arguments, pairs, patch_size=patch_size, pixels_per_class=profile.pixels_per_class)

    if is_uri := "://" in arguments.storage_path:
        CheckpointFolder.check(arguments.storage_path)
    name = arguments.experiment_name or f"{method}-{datetime.now():%Y%m%d-%H%M%S}"
    directory = local_root(arguments) / name
    return PreparedStudy(
        name=name,
        method=method,
        arguments=arguments,
        space=space,
        profile=profile,
        default_trial=space.default_trial(profile),
        recipes=recipes,
        pairs=pairs,
        sources=sources,
        directory=directory,
        checkpoint_location=(
            f"{arguments.storage_path.rstrip('/')}/{name}" if is_uri else str(directory / "checkpoints")
        ),
        narrowing=narrowing,
    )


def divide_sources(
    arguments: TuneArgs, pairs: Sequence[ScenePair], *, patch_size: int, pixels_per_class: int | None
) -> list[SourceDomain]:
    """Divide each pair's source into pixels that train and pixels that validate.

    Args:
        arguments: The command line.
        pairs: The pairs.
        patch_size: The largest patch that will be cut.
        pixels_per_class: Most training pixels a class and source scene, or None for all.

    Raises:
        InvalidInputError: A source can't be divided so, or a pixel is in one pair's source and another's target.
    """
    refuse_shared_pixels(pairs)
    sources = []
    for pair in pairs:
        fraction = arguments.train_fraction if pair.test_split is None else None
        split = source_split(
            pair,
            arguments.split,
            fraction=SOURCE_FRACTION if fraction is None else fraction,
            patch_size=patch_size,
            seed=arguments.seed,
        )
        if pixels_per_class is not None:
            split = split.thinned(pair.source, pixels_per_class=pixels_per_class)
        sources.append(SourceDomain(pair_name=pair.name, scene=pair.source, split=split))
    return sources


def local_root(arguments: TuneArgs) -> Path:
    """The local directory of all studies.

    Raises:
        InvalidInputError: It can't be written.
    """
    return writable_root("results" if "://" in arguments.storage_path else arguments.storage_path)


def writable_root(storage_path: str) -> Path:
    """A directory that can be written, or made, and named in a database's address.

    Raises:
        InvalidInputError: It can't.
    """
    root = Path(storage_path).resolve()
    if "?" in str(root):
        raise InvalidInputError(
            f"--storage-path {root}: a question mark ends the path in the databases' addresses (sqlite:///…); choose a "
            "directory without."
        )
    existing = next(path for path in (root, *root.parents) if os.path.exists(path))
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InvalidInputError(f"--storage-path {root}: {existing} is no directory that can be written.")
    return root


def choose_recipes(arguments: TuneArgs, space: SearchSpace | None, *, patch_size: int) -> list[Recipe]:
    """What is searched on: what the command line names, or else what the space file does. One of them does.

    Raises:
        InvalidInputError: No pair or scene has that name, flags are given that go with the other, or the user's
            catalogue is wrong.
        MissingDataError: The user's catalogue isn't there.
    """
    scene, names = arguments.scene, arguments.pairs or ()
    if space is not None and scene is None and not names:
        scene, names = space.scene, space.pairs
    if scene is None:
        if arguments.split == "fixed" or arguments.train_mask or arguments.test_mask:
            raise InvalidInputError("--split fixed, --train-mask and --test-mask divide one scene; name it by --scene.")
        return [pair_recipe(arguments, name) for name in names]
    fraction = IN_SCENE_FRACTION if arguments.train_fraction is None else arguments.train_fraction
    return [in_scene_recipe(arguments, scene, fraction=fraction, patch_size=patch_size, seed=arguments.seed)]


def choose_profile(arguments: TuneArgs, space: SearchSpace) -> Profile:
    """The profile the arguments name, or the one that suits the machine, with the arguments' changes."""
    import torch

    if arguments.smoke_test:
        name = SMOKE_TEST
    elif arguments.profile is not None:
        name = arguments.profile
    else:
        name = "paper" if torch.cuda.is_available() or arguments.gpus_per_trial else "laptop"
    profile = space.profile(name)
    changes = {
        key: value
        for key in ("num_samples", "epochs", "time_budget_s")
        if (value := getattr(arguments, key)) is not None
    }
    if arguments.epochs is not None:
        changes["least_epochs"] = None
    return replace(profile, **changes)
