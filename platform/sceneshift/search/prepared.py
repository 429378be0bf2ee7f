"""A search that has been checked and may begin: what it searches, and the settings checked on resume."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.execution.cluster import ClusterSize, check_room, trials_that_fit
from sceneshift.execution.executor import Job, Placement
from sceneshift.methods.registry import find_method
from sceneshift.search.pace import Pace, find_pace
from sceneshift.search.profile import Profile
from sceneshift.search.space import FixedTrial
from sceneshift.search.spec import SearchSpec
from sceneshift.search.trial_record import TrialRecord
from sceneshift.search.trial_store import read_store
from sceneshift.search.unit_narrowing import narrow_normalizations
from sceneshift.seeding import trial_seed
from sceneshift.selection.candidates import PooledTrial
from sceneshift.selection.outputs import check_features, pooled_trial
from sceneshift.selection.registry import find_strategy
from sceneshift.selection.strategy import Strategy
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.data import DataSpec, LoadedData
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.precision import check_precision
from sceneshift.training.spec import FORMAT, TrainSpec

#: Maximum of concurrent trials without GPUs: with more, TPE would suggest most trials before it has results.
MOST_AT_ONCE = 4

#: The profile of ``--smoke-test``.
SMOKE_TEST = "smoke-test"


@dataclass(frozen=True, kw_only=True)
class PreparedSearch:
    """A search that has been checked and may begin.

    Args:
        spec: What was asked for.
        profile: The size of the search: the spec's, narrowed to what the pairs' units allow, with decided epochs.
        default_trial: The published values, clipped to the profile.
        data: Scenes, splits and training pixels.
        directory: The search's local directory.
        checkpoint_location: Directory or URI of the trials' checkpoints.
        narrowing: What is left out of the space because of the pairs' units, one line each.
    """

    spec: SearchSpec
    profile: Profile
    default_trial: FixedTrial
    data: LoadedData
    directory: Path
    checkpoint_location: str
    narrowing: tuple[str, ...] = ()

    @property
    def strategy(self) -> Strategy[Any]:
        """The strategy that scores epochs and chooses a trial."""
        return find_strategy(self.spec.strategy)

    def pooled(
        self, records: Sequence[TrialRecord], *, labels: Mapping[str, NDArray[np.int64]] | None = None
    ) -> list[PooledTrial[Any]]:
        """Trials as the strategy sees them.

        Args:
            records: The trials.
            labels: (H, W) class ids of the target by pair, for the oracle alone.
        """
        return [
            pooled_trial(
                self.strategy,
                number=record.number,
                configuration=json.dumps(dict(record.config), sort_keys=True),
                is_complete=record.is_complete,
                epochs=record.epochs,
                location=self.checkpoints_of(record.number),
                labels=labels,
            )
            for record in records
        ]

    @property
    def store_path(self) -> Path:
        """The search's Optuna database."""
        return self.directory / "optuna.db"

    def settings(self) -> dict[str, Any]:
        """The settings that must be the same when the search is resumed."""
        spec, data = self.spec, self.spec.data
        return {
            "format": FORMAT,
            "method": spec.method,
            "pairs": [pair.name for pair in self.data.pairs],
            "split": data.split,
            "profile": self.profile.name,
            "epochs": self.profile.epochs,
            "seed": spec.seed,
            "precision": spec.precision,
            "strategy": spec.strategy,
            # Only where they are not the default: earlier versions didn't have them.
            **({} if spec.evaluate_every == 1 else {"evaluate_every": spec.evaluate_every}),
            **({"record": True, "target_access": spec.target_access} if spec.record else {}),
            "search_space.hash": spec.space.source_hash,
            **{f"choices.{name}": list(allowed) for name, allowed in self.profile.choices.items()},
            **self.data.identity(),
            "storage": self.checkpoint_location if "://" in self.checkpoint_location else "beside the trial store",
        }

    def trial_spec(self, record: TrialRecord) -> TrainSpec:
        """The training of one trial."""
        return TrainSpec(
            method=self.spec.method,
            config=find_method(self.spec.method).config_type.from_mapping(record.config),
            epochs=self.profile.epochs,
            seed=trial_seed(self.spec.seed, record.number),
            precision=self.spec.precision,
            compile=self.spec.compile,
            evaluate_every=self.spec.evaluate_every,
            record=self.spec.record,
            target_access=self.spec.target_access,
            data=self.data.spec,
        )

    def job(self, record: TrialRecord) -> Job:
        """The job that runs a trial."""
        return Job(
            number=record.number,
            spec=self.trial_spec(record),
            checkpoint_location=self.checkpoints_of(record.number),
            strategy=self.spec.strategy,
        )

    def checkpoints_of(self, number: int) -> str:
        """The directory or URI of a trial's checkpoints."""
        return f"{self.checkpoint_location}/trial_{number:04d}"

    @property
    def chooses_epochs(self) -> bool:
        """Whether the number of epochs is still to be chosen by timing steps."""
        return self.profile.least_epochs is not None

    def paced(self, placement: Placement) -> tuple["PreparedSearch", Pace]:
        """The same search with the number of epochs chosen by timing steps, and the measurement.

        Where the profile fixes the number of epochs it is kept; the measurement says what they take.
        """
        pace = find_pace(
            self.profile,
            method=self.spec.method,
            config=self.spec.space.config(FixedTrial(self.default_trial.params), self.profile),
            sources=self.data.sources,
            trials_at_once=placement.at_once,
            threads=max(1, int(placement.cpus)),
            record=self.spec.record,
            targets=self.data.target_pixels(self.spec.target_access),
            evaluate_every=self.spec.evaluate_every,
        )
        return replace(self, profile=pace.profile), pace

    @property
    def has_no_end(self) -> bool:
        """Whether neither a time budget nor a choice of epochs bounds its time, nor a few short trials do."""
        is_smoke_test = self.profile.name == SMOKE_TEST
        return self.profile.time_budget_s is None and not self.chooses_epochs and not is_smoke_test

    def with_recorded_epochs(self) -> "PreparedSearch":
        """The same search with the number of epochs it began with, if that was chosen by timing steps.

        Raises:
            StudyError: The trial store can't be read.
        """
        if not self.chooses_epochs:
            return self
        epochs = int(read_store(self.store_path).settings["epochs"])
        return replace(self, profile=self.profile.with_epochs(epochs))

    def refuse_wrong_name(self, *, resume: bool) -> None:
        """Reject an existing name for a new search, and an unknown name for a resumed one.

        Raises:
            StudyError: The name exists, or it doesn't.
        """
        name = self.spec.name
        if resume and not self.store_path.exists():
            known = sorted(path.parent.name for path in self.directory.parent.glob("*/optuna.db"))
            raise StudyError(
                f"no study {name!r} in {self.directory.parent} to resume. "
                + (f"There are: {', '.join(known)}." if known else "There is none at all.")
            )
        if not resume and self.directory.exists():
            raise StudyError(
                f"a study {name!r} exists at {self.directory}; resume it by --resume, or choose another "
                "--experiment-name (in Python search(…, resume=True), or another name). Nothing was changed."
            )

    def in_ray_train(self, placement: Placement) -> bool:
        """Whether trials train inside Ray Train."""
        wanted, chosen = self.spec.executor, placement.gpus > 0 or placement.workers > 1
        return wanted == "ray-train" or (wanted == "auto" and chosen)

    @property
    def may_train_in_ray_train(self) -> bool:
        """Whether trials would train inside Ray Train on a local Ray, with this machine's GPUs."""
        spec, there = self.spec, torch.cuda.device_count()
        return self.in_ray_train(Placement(workers=spec.workers_per_trial, gpus=self._gpus_per_trial(there)))

    def _gpus_per_trial(self, there: float) -> float:
        if self.spec.gpus_per_trial is not None:
            return self.spec.gpus_per_trial
        return 1.0 if self.profile.name == "paper" and there >= 1 else 0.0

    def trained_in(self, placement: Placement) -> str:
        """A description of where trials train."""
        if self.spec.executor == "local":
            return "this process"
        return "Ray Train" if self.in_ray_train(placement) else "the trial's actor"

    def placement(self, cluster: ClusterSize | None) -> Placement:
        """Fit the search to a cluster, or to this process.

        Args:
            cluster: The cluster; None for the local executor.

        Raises:
            ResourceError: It doesn't fit.
            InvalidInputError: The specification needs a GPU.
        """
        spec = self.spec
        gpus = self._gpus_per_trial(torch.cuda.device_count() if cluster is None else cluster.gpus)
        check_precision(spec.precision, on_gpu=gpus > 0)
        if spec.compile and gpus == 0:
            raise InvalidInputError("--compile is for trials on GPUs; on a CPU the hot loops are compiled as it is.")
        if cluster is None:
            return Placement(cpus=spec.cpus_per_trial or torch.get_num_threads(), gpus=gpus)
        at_once, cpus = _fit(spec, cluster, gpus=gpus, num_samples=self.profile.num_samples)
        check_room(
            cluster,
            trials_at_once=at_once,
            cpus_per_trial=cpus,
            gpus_per_trial=gpus,
            workers_per_trial=spec.workers_per_trial,
        )
        return Placement(
            at_once=at_once,
            workers=spec.workers_per_trial,
            cpus=cpus,
            gpus=gpus,
            scenes_by_path=cluster.stays_one_node or spec.shared_data,
        )


def _without_smoke_budget(spec: SearchSpec) -> Profile:
    """The profile; of a smoke test without the space's time budget, as its trials are few and short.

    On a slow machine the budget would end it without a result. One that was given is kept.
    """
    profile = spec.profile
    if profile.name != SMOKE_TEST or profile.time_budget_s != spec.space.profile(SMOKE_TEST).time_budget_s:
        return profile
    return replace(profile, time_budget_s=None)


def prepare(spec: SearchSpec) -> PreparedSearch:
    """Read and check everything a search needs.

    Raises:
        InvalidInputError: The space or the pairs don't allow the search, or its storage can't be used.
        MissingDataError: A pair's data isn't there.
    """
    space, profile = spec.space, _without_smoke_budget(spec)
    config_type = find_method(spec.method).config_type
    config = config_type.from_mapping(space.config(FixedTrial(space.default_trial(profile).params), profile))
    plan = TrainingPlan(method=spec.method, config=config, epochs=profile.epochs, seed=spec.seed, compile=spec.compile)
    plan.check_workers(spec.workers_per_trial)
    data = replace(
        spec.data,
        patch_size=space.largest_patch(profile),
        pixels_per_class=profile.pixels_per_class,
        seed=spec.seed,
    ).load()
    for pair in data.pairs:
        plan.check_sources(pair.name, len(pair.sources))
    for source in data.sources:
        scene = source.scene
        check_features(find_strategy(spec.strategy), plan, bands=scene.num_bands, classes=scene.num_classes)
    profile, narrowing = narrow_normalizations(space, profile, data.pairs, config_type)
    if is_uri := "://" in spec.storage_path:
        CheckpointFolder.check(spec.storage_path)
    directory = local_root(spec.storage_path) / spec.name
    return PreparedSearch(
        spec=spec,
        profile=profile,
        default_trial=space.default_trial(profile),
        data=data,
        directory=directory,
        checkpoint_location=(
            f"{spec.storage_path.rstrip('/')}/{spec.name}" if is_uri else str(directory / "checkpoints")
        ),
        narrowing=narrowing,
    )


def default_data(
    space: Any,  # noqa: ANN401  # a SearchSpace; a scene or pairs is all that is read
    *,
    pairs: Sequence[str] = (),
    scene: str | None = None,
    **values: Any,  # noqa: ANN401  # of DataSpec
) -> DataSpec:
    """The data of a search: the given pairs or scene, or else those that the space file names."""
    if scene is None and not pairs:
        scene, pairs = space.scene, space.pairs
    return DataSpec(pairs=tuple(pairs), scene=scene, **values)


def local_root(storage_path: str) -> Path:
    """The local directory of all searches.

    Raises:
        InvalidInputError: It can't be written.
    """
    return writable_root("results" if "://" in storage_path else storage_path)


def writable_root(storage_path: str) -> Path:
    """Check that a directory can be written or created, and used in a database's address.

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
        raise InvalidInputError(f"--storage-path {root}: {existing} is not a directory that can be written.")
    return root


def _fit(spec: SearchSpec, cluster: ClusterSize, *, gpus: float, num_samples: int) -> tuple[int, float]:
    """The number of concurrent trials, and the CPUs of each of their workers."""
    cpus, workers, at_once = spec.cpus_per_trial, spec.workers_per_trial, spec.max_concurrent_trials
    if at_once is None:
        fit = trials_that_fit(cluster, cpus=cpus or 1.0, gpus=gpus, workers=workers)
        at_once = max(1, fit if gpus > 0 else min(MOST_AT_ONCE, fit))
        at_once = min(at_once, num_samples)
    if cpus is None:
        # As many as fit, since each worker must be on one node.
        shares = range(max(1, int(cluster.cpus // (at_once * workers))), 0, -1) if gpus == 0 else ()
        fits = (n for n in shares if trials_that_fit(cluster, cpus=n, gpus=0, workers=workers) >= at_once)
        cpus = float(next(fits, 1))
    return at_once, cpus
