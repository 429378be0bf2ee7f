"""A search that has been checked and may begin: what it is about, what a resumed one must agree with, what it tells."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceneshift.catalogue.pair_spec import InScene, Recipe
from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.report.separation import separation_rows, separation_tags
from sceneshift.search.cluster import ClusterSize, check_room, trials_that_fit
from sceneshift.search.profile import Profile
from sceneshift.search.space import FixedTrial, SearchSpace
from sceneshift.search.trial_store import read_store
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.study.arguments import TuneArgs, repeatable_arguments
from sceneshift.study.scene_data import (
    definition_hashes,
    describe_pair,
)
from sceneshift.study.unit_narrowing import unit_tags
from sceneshift.training.precision import check_precision

if TYPE_CHECKING:
    from sceneshift.search.tuner import SearchPlan

#: Trials at once on a machine without GPUs: more would leave TPE little to learn from before it suggests.
MOST_AT_ONCE = 4

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
        narrowing: What the pairs' units leave out of the space, one line each.
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
    narrowing: tuple[str, ...] = ()

    @property
    def refits(self) -> bool:
        """Whether the chosen configuration is trained once more, on pixels of every labelled field."""
        return self.arguments.refit != "no"

    @property
    def refit_pixels_per_class(self) -> int | None:
        """The most pixels per class of that training: as many as trials have, or None for all."""
        asked = self.arguments.refit
        takes_all = asked == "all" or (asked == "auto" and self.profile.name == "paper")
        return None if takes_all else self.profile.pixels_per_class

    @property
    def store_path(self) -> Path:
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
            **{f"choices of {name}": list(allowed) for name, allowed in self.profile.choices.items()},
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
            **unit_tags(self.pairs, self.profile),
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

    @property
    def chooses_epochs(self) -> bool:
        """Whether timed steps are to decide the number of epochs, and have not yet."""
        return self.profile.least_epochs is not None

    def paced(self, cluster: ClusterSize) -> "PreparedStudy":
        """The same study with the number of epochs that timed steps leave room for, which is printed.

        Raises:
            ResourceError: The search doesn't fit the cluster.
        """
        from sceneshift.search.pace import find_pace

        plan = self.plan(cluster)
        pace = find_pace(
            self.profile,
            method=self.method,
            config=self.space.config(FixedTrial(self.default_trial.params), self.profile),
            sources=self.sources,
            trials_at_once=plan.max_concurrent_trials,
            threads=max(1, int(plan.cpus_per_trial)),
        )
        print(pace.announcement(), flush=True)
        return replace(self, profile=pace.profile)

    def with_recorded_epochs(self) -> "PreparedStudy":
        """The same study with the number of epochs it began with, where timed steps decided it then.

        Raises:
            StudyError: The trial store can't be read.
        """
        if not self.chooses_epochs:
            return self
        epochs = int(read_store(self.store_path).settings["epochs"])
        return replace(self, profile=self.profile.with_epochs(epochs))

    def announcement(self) -> list[str]:
        """What is about to happen, for the first lines a user sees."""
        profile = self.profile
        per_class = profile.pixels_per_class
        lines = [
            f"study                {self.name}",
            f"kept in              {self.directory}",
            f"profile              {profile.name}: {profile.description}",
            f"                     {profile.num_samples} trials of at most {profile.epochs} epochs"
            + (f" (as many as fit, at least {profile.least_epochs})" if self.chooses_epochs else "")
            + ", "
            + ("all training pixels" if per_class is None else f"at most {per_class} training pixels a class")
            + f", patch <= {self.space.largest_patch(profile)}"
            + ("" if profile.time_budget_s is None else f", search ends after {profile.time_budget_s:g} s"),
            *self.recipes[0].catalogue.announcement(),
        ]
        for pair, source in zip(self.pairs, self.sources, strict=True):
            lines += describe_pair(pair, source.split)
        return lines + [f"{'' if i else 'narrowed':<21}{line}" for i, line in enumerate(self.narrowing)]

    def refuse_wrong_name(self) -> None:
        """Refuse a known name without ``--resume`` and an unknown one with it.

        Raises:
            StudyError: Saying which.
        """
        if self.arguments.resume and not self.store_path.exists():
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
