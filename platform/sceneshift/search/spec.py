"""The specification of a search: plain values, checked before anything is loaded."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sceneshift.addresses import has_secret, without_secrets
from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.methods.registry import find_method
from sceneshift.search.profile import Profile
from sceneshift.search.space import SearchSpace
from sceneshift.selection.registry import find_strategy
from sceneshift.selection.strategy import Setting
from sceneshift.training.data import DataSpec
from sceneshift.training.plan import check_recording
from sceneshift.training.spec import FORMAT

#: Where trials can run; "auto" is "ray-train" with GPUs or several workers, else "ray".
EXECUTORS = ("auto", "ray", "ray-train", "local")

#: Whether the chosen configuration is trained once more on pixels of every labelled field, and on how many pixels.
REFITS = ("auto", "as-trial", "all", "no")


@dataclass(frozen=True, kw_only=True)
class SearchSpec:
    """A search over one method's hyperparameters.

    Args:
        method: Name of the method.
        space: The search space, from :func:`sceneshift.search.space.load_space`.
        profile: The size of the search, such as ``space.profile("laptop")``.
        data: Scene pairs or a scene. Its patch size and pixels per class follow from space and profile, and its seed is
            the search's.
        seed: Seed of splits, suggestions and trials.
        precision: Precision of training, one of :data:`sceneshift.training.precision.PRECISIONS`.
        compile: Compile the networks with ``torch.compile``; for GPUs.
        strategy: How trial and epoch are chosen, one of :data:`sceneshift.selection.registry.STRATEGIES`.
        refit: "as-trial" trains the chosen configuration once more, on as many pixels of every labelled field as a
            trial has, "all" on all of them, "no" registers the chosen network itself; "auto" is "all" with the profile
            paper, else "as-trial".
        name: Name of the search, and of its MLflow experiment.
        storage_path: Where searches are stored: a directory, or a URI such as ``s3://bucket/path`` for the checkpoints.
        executor: One of :data:`EXECUTORS`.
        max_concurrent_trials: Number of concurrent trials; by default as many as fit, at most 4 without GPUs.
        workers_per_trial: Workers that train a trial together.
        cpus_per_trial: CPUs per worker; by default the machine's, divided among concurrent trials.
        gpus_per_trial: GPUs per worker; by default 0, with the profile paper 1 if there is one.
        stall_timeout_s: Seconds without an epoch from any trial after which the search ends; 0: never.
        shared_data: All nodes see the files of stored scenes under the same path.
        record: Record what every evaluated epoch answers; see :class:`~sceneshift.training.plan.TrainingPlan`.
        target_access: What trials may see of their targets: "none", or "unlabelled" pixels, which are recorded.
        evaluate_every: Epochs between two evaluations of a trial; ASHA stops trials at evaluations alone.

    Raises:
        InvalidInputError: A value is unknown or out of range.
    """

    method: str
    space: SearchSpace
    profile: Profile
    data: DataSpec
    name: str
    seed: int = 0
    precision: str = "float32"
    compile: bool = False
    strategy: str = "source-blocks"
    refit: str = "auto"
    storage_path: str = "results"
    executor: str = "auto"
    max_concurrent_trials: int | None = None
    workers_per_trial: int = 1
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    stall_timeout_s: float = 1800.0
    shared_data: bool = False
    record: bool = False
    target_access: str = "none"
    evaluate_every: int = 1

    def __post_init__(self) -> None:
        find_method(self.method)
        find_strategy(self.strategy).check(self.setting)
        for name, value, known in (("executor", self.executor, EXECUTORS), ("refit", self.refit, REFITS)):
            if value not in known:
                raise InvalidInputError(
                    f"{name} = {value!r}{nearest_name(value, known)}; expected one of {', '.join(known)}."
                )
        for name in ("max_concurrent_trials", "workers_per_trial"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise InvalidInputError(f"{name} = {count}; expected at least 1.")
        if self.cpus_per_trial is not None and not self.cpus_per_trial > 0:
            raise InvalidInputError(f"cpus_per_trial = {self.cpus_per_trial}; expected more than 0.")
        if self.gpus_per_trial is not None and not self.gpus_per_trial >= 0:
            raise InvalidInputError(f"gpus_per_trial = {self.gpus_per_trial}; expected 0 or more.")
        if not self.stall_timeout_s >= 0:
            raise InvalidInputError(f"stall_timeout_s = {self.stall_timeout_s}; expected 0 or more seconds.")
        if has_secret(self.storage_path):
            raise InvalidInputError(
                f"storage_path = {without_secrets(self.storage_path)!r}: a password in it would be kept in the "
                "search's files. Give it by the variables of the storage, such as AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY for s3://, or by its file of credentials."
            )
        if self.workers_per_trial > 1 and self.executor in ("ray", "local"):
            raise InvalidInputError(
                f"executor {self.executor!r} trains in one process; {self.workers_per_trial} workers per trial need "
                "'ray-train' or 'auto'."
            )
        if self.evaluate_every < 1:
            raise InvalidInputError(f"evaluate_every = {self.evaluate_every}; expected at least 1 epoch.")
        check_recording(record=self.record, target_access=self.target_access, compiles=self.compile)
        if not self.data.validates:
            raise InvalidInputError("data.validates = False; a search chooses by pixels that are held back.")

    @property
    def setting(self) -> Setting:
        """What the strategy would choose from."""
        return Setting(
            record=self.record,
            target_access=self.target_access,
            split=self.data.split,
            num_seeds=1,
            num_candidates=self.profile.num_samples * max(1, self.profile.epochs // max(1, self.evaluate_every)),
        )

    @property
    def refits(self) -> bool:
        """Whether the chosen configuration is trained once more, on pixels of every labelled field."""
        return self.refit != "no"

    @property
    def refit_pixels_per_class(self) -> int | None:
        """Maximum of pixels per class for that training: as many as trials have, or None for all."""
        takes_all = self.refit == "all" or (self.refit == "auto" and self.profile.name == "paper")
        return None if takes_all else self.profile.pixels_per_class

    def as_dict(self) -> Mapping[str, Any]:
        """Plain values for JSON; the space by its file and the hash of its text."""
        own = {name: value for name, value in vars(self).items() if name not in ("space", "profile", "data")}
        return {
            "format": FORMAT,
            **own,
            "space": {"path": self.space.path, "hash": self.space.source_hash},
            "profile": asdict(self.profile),
            "data": self.data.as_dict(),
        }
