"""Everything a search needs that can be checked before any compute is spent."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.methods.registry import find_method
from sceneshift.report.separation import separation_rows, separation_tags
from sceneshift.scenes.catalogue import load_pair
from sceneshift.scenes.pair import ScenePair, refuse_shared_pixels
from sceneshift.scenes.recipe import InScene, Recipe
from sceneshift.scenes.source import SourceDomain
from sceneshift.search.cluster import ClusterSize, check_room, trials_that_fit
from sceneshift.search.profile import Profile
from sceneshift.search.space import FixedTrial, SearchSpace, load_space
from sceneshift.study.arguments import TuneArgs, repeatable_arguments
from sceneshift.study.scene_data import (
    SOURCE_FRACTION,
    definition_hashes,
    describe_pair,
    in_scene_recipe,
    pair_recipe,
    source_split,
)
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.precision import check_precision

if TYPE_CHECKING:
    from sceneshift.search.tuner import SearchPlan

#: Trials at once on a machine without GPUs: more would leave TPE little to learn from before it suggests.
MOST_AT_ONCE = 4

#: Share of a scene's pixels, class by class, on the side that trains and validates; the rest tests.
IN_SCENE_FRACTION = 0.5

#: The profile of ``--smoke-test``.
SMOKE_TEST = "smoke-test"


@dataclass(frozen=True, kw_only=True)
class PreparedStudy:
    """A search that has been checked and may begin.

    Args:
        name: The study's name.
        method: Name of the method.
        arguments: The command line.
        space: The search space.
        profile: Its size, with what the command line changed.
        default_trial: The published values, clipped to the profile.
        recipes: What each pair is made from; the closing study opens the targets by them.
        pairs: Source and unlabelled target of each pair.
        sources: What workers are handed: source and split, nothing of the target.
        directory: The study's local directory.
        checkpoint_location: Directory or URI of the trials' checkpoints.
    """

    name: str
    method: str
    arguments: TuneArgs
    space: SearchSpace
    profile: Profile
    default_trial: FixedTrial
    recipes: Sequence[Recipe]
    pairs: Sequence[ScenePair]
    sources: Sequence[SourceDomain]
    directory: Path
    checkpoint_location: str

    @property
    def refits(self) -> bool:
        """Whether the winner is trained anew on all labelled source pixels."""
        asked = self.arguments.refit
        return asked == "yes" or (asked == "auto" and self.profile.name == "paper")

    @property
    def ledger_path(self) -> Path:
        """The study's Optuna database."""
        return self.directory / "optuna.db"

    @property
    def pair_names(self) -> str:
        """The pairs', or the scene's, in one line."""
        return " ".join(pair.name for pair in self.pairs)

    def _test_splits(self) -> list[tuple[ScenePair, str]]:
        return [(pair, pair.test_split.content_hash) for pair in self.pairs if pair.test_split is not None]

    def separation(self) -> list[dict[str, Any]]:
        """How separate validation and test pixels are from those that train."""
        pairs = zip(self.pairs, self.sources, strict=True)
        return [row for pair, source in pairs for row in separation_rows(pair, source.split)]

    def settings(self) -> dict[str, Any]:
        """What a resumed search must agree with."""
        return {
            "method": self.method,
            "pairs": [pair.name for pair in self.pairs],
            "split": self.arguments.split,
            **{f"test split hash of {pair.name}": hash_ for pair, hash_ in self._test_splits()},
            "profile": self.profile.name,
            "epochs": self.profile.epochs,
            "seed": self.arguments.seed,
            "precision": self.arguments.precision,
            "search-space hash": self.space.source_hash,
            **{f"split hash of {s.pair_name}": s.split.content_hash for s in self.sources},
            **definition_hashes(self.recipes),
            **{f"source shape of {s.pair_name}": s.scene.cube.shape for s in self.sources},
            **{f"target shape of {pair.name}": pair.target.cube.shape for pair in self.pairs},
            **{f"classes of {pair.name}": pair.class_names for pair in self.pairs},
            "storage": self.checkpoint_location if "://" in self.checkpoint_location else "beside the ledger",
        }

    def origin(self) -> dict[str, str]:
        """The code and the data a result came from. A resumed search may differ in them, and says so."""
        from sceneshift.tracking.provenance import code_origin

        return {
            **code_origin(),
            **{f"source data of {s.pair_name}": s.scene.content_hash for s in self.sources},
            **{f"target data of {pair.name}": pair.target.cube_hash for pair in self.pairs},
        }

    def tags(self) -> dict[str, str]:
        """Where every run of the study comes from."""
        from sceneshift.tracking.provenance import REPEAT_TAG, code_tags

        return {
            **code_tags(),
            REPEAT_TAG: self.what_to_repeat(),
            "method": self.method,
            "profile": self.profile.name,
            "seed": str(self.arguments.seed),
            "precision": self.arguments.precision,
            "pairs": self.pair_names,
            "split": self.arguments.split,
            **{f"test_split.hash.{pair.name}": hash_ for pair, hash_ in self._test_splits()},
            "search_space.hash": self.space.source_hash,
            **{f"split.hash.{s.pair_name}": s.split.content_hash for s in self.sources},
            **{f"source.hash.{s.pair_name}": s.scene.content_hash for s in self.sources},
            **{f"target.hash.{pair.name}": pair.target.cube_hash for pair in self.pairs},
            **separation_tags(self.separation()),
        }

    def what_to_repeat(self) -> str:
        """What beside a trial's number and configuration decides what it comes to, as JSON."""
        arguments = repeatable_arguments(self.arguments)
        if self.arguments.scene is None:  # what the space file named
            in_scene = isinstance(self.recipes[0], InScene)
            arguments["pairs"] = None if in_scene else [recipe.name for recipe in self.recipes]
            arguments["scene"] = self.recipes[0].name if in_scene else None
        return json.dumps(
            {
                "arguments": arguments,
                "epochs": self.profile.epochs,
                "patch_size": self.space.largest_patch(self.profile),
                "pixels_per_class": self.profile.pixels_per_class,
            }
        )

    def announcement(self) -> list[str]:
        """What is about to happen, for the first lines a user sees."""
        profile = self.profile
        per_class = profile.pixels_per_class
        lines = [
            f"study                {self.name}",
            f"kept in              {self.directory}",
            f"profile              {profile.name}: {profile.description}",
            f"                     {profile.num_samples} trials of at most {profile.epochs} epochs, "
            + ("all training pixels" if per_class is None else f"at most {per_class} training pixels a class")
            + f", patch <= {self.space.largest_patch(profile)}"
            + ("" if profile.time_budget_s is None else f", search ends after {profile.time_budget_s:g} s"),
            *self.recipes[0].catalogue.announcement(),
        ]
        for pair, source in zip(self.pairs, self.sources, strict=True):
            lines += describe_pair(pair, source.split)
        return lines

    def refuse_wrong_name(self) -> None:
        """Refuse a known name without ``--resume`` and an unknown one with it.

        Raises:
            StudyError: Saying which.
        """
        if self.arguments.resume and not self.ledger_path.exists():
            known = sorted(path.parent.name for path in self.directory.parent.glob("*/optuna.db"))
            raise StudyError(
                f"no study {self.name!r} in {self.directory.parent} to resume. "
                + (f"There are: {', '.join(known)}." if known else "There is none at all.")
            )
        if not self.arguments.resume and self.directory.exists():
            raise StudyError(
                f"a study {self.name!r} exists at {self.directory}; go on with it by --resume, or choose another "
                "--experiment-name. Nothing was changed."
            )

    def plan(self, cluster: ClusterSize) -> "SearchPlan":
        """Fit the search to a cluster.

        Raises:
            ResourceError: It doesn't fit.
        """
        from sceneshift.search.tuner import SearchPlan

        arguments = self.arguments
        gpus = arguments.gpus_per_trial
        if gpus is None:
            gpus = 1.0 if self.profile.name == "paper" and cluster.gpus >= 1 else 0.0
        cpus = arguments.cpus_per_trial
        workers = arguments.workers_per_trial
        at_once = arguments.max_concurrent_trials
        if at_once is None:
            fit = trials_that_fit(cluster, cpus=cpus or 1.0, gpus=gpus, workers=workers)
            at_once = max(1, fit if gpus > 0 else min(MOST_AT_ONCE, fit))
            at_once = min(at_once, self.profile.num_samples)
        if cpus is None:
            # As many as leave room for all, a worker being on one node.
            shares = range(max(1, int(cluster.cpus // (at_once * workers))), 0, -1) if gpus == 0 else ()
            fits = (n for n in shares if trials_that_fit(cluster, cpus=n, gpus=0, workers=workers) >= at_once)
            cpus = float(next(fits, 1))
        if cluster.num_nodes > 1 and "://" not in self.checkpoint_location:
            print(
                f"NOTE: the cluster has {cluster.num_nodes} nodes and checkpoints go to {self.checkpoint_location}, "
                "which all of them must share. If they don't, give --storage-path a URI such as s3://bucket/path.\n"
            )
        check_precision(arguments.precision, on_gpu=gpus > 0)
        if arguments.compile and gpus == 0:
            raise InvalidInputError("--compile is for trials on GPUs; on a CPU the hot loops are compiled as it is.")
        check_room(
            cluster,
            trials_at_once=at_once,
            cpus_per_trial=cpus,
            gpus_per_trial=gpus,
            workers_per_trial=workers,
        )
        trainer = arguments.trainer
        return SearchPlan(
            method=self.method,
            space=self.space,
            profile=self.profile,
            seed=arguments.seed,
            max_concurrent_trials=at_once,
            workers_per_trial=workers,
            cpus_per_trial=cpus,
            gpus_per_trial=gpus,
            in_ray_train=trainer == "train" or (trainer == "auto" and (gpus > 0 or workers > 1)),
            precision=arguments.precision,
            compile=arguments.compile,
            checkpoint_location=self.checkpoint_location,
            tune_directory=str(self.directory),
            scenes_by_path=cluster.stays_one_node or arguments.shared_data,
        )


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
        default_trial=default_trial,
        recipes=recipes,
        pairs=pairs,
        sources=sources,
        directory=directory,
        checkpoint_location=(
            f"{arguments.storage_path.rstrip('/')}/{name}" if is_uri else str(directory / "checkpoints")
        ),
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
    return replace(profile, **changes)
