"""Runs a trial or a training again, from what its MLflow run tells, and holds the two against each other."""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from sceneshift.errors import StudyError, first_line
from sceneshift.study.arguments import TuneArgs
from sceneshift.study.interrupts import INTERRUPTED_STATUS
from sceneshift.study.train_arguments import TrainArgs
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.provenance import REPEAT_OF_TAG, REPEAT_TAG, code_origin, sources_hash
from sceneshift.training.resume_check import differences

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

#: Tags that begin so are hashes of what was trained on.
_HASHES = ("split.hash", "test_split.hash", "source.hash", "target.hash")
#: Differences that are listed, at most.
_MOST_LINES = 10

A = TypeVar("A", TuneArgs, TrainArgs)


@dataclass(frozen=True, kw_only=True)
class OriginalRun:
    """What MLflow has of a run that is to be run again.

    Args:
        run_id: The run.
        name: Its name.
        tags: Its tags.
        params: Its parameters, as text.
        epochs: ``val/…`` and ``train/…`` by epoch.
        target: ``target/…``, for a training.
        study_params: The parameters of the study a trial belongs to; empty for a training.
    """

    run_id: str
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    epochs: Mapping[int, Mapping[str, float]]
    target: Mapping[str, float]
    study_params: Mapping[str, str]

    @classmethod
    def read(cls, client: "MlflowClient", run_id: str) -> "OriginalRun":
        """Read a run.

        Raises:
            StudyError: MLflow has no such run, or it does not tell how it could be run again.
        """
        try:
            run = client.get_run(run_id)
        except Exception as error:  # whatever MLflow or its server raises
            raise StudyError(
                f"MLflow at {client.tracking_uri} has no run {run_id!r} ({first_line(error)}). Copy a run's id from "
                "its page, and set MLFLOW_TRACKING_URI or --storage-path to where it is."
            ) from error
        tags = run.data.tags
        if REPEAT_TAG not in tags or tags.get("sceneshift.study") == "parent":
            raise StudyError(
                f"run {run_id} ({run.info.run_name}) is neither a trial of a search nor a training that tells how it "
                "was made; give the id of one."
            )
        epochs: dict[int, dict[str, float]] = {}
        for key in run.data.metrics:
            if key.startswith(("val/", "train/")):
                for metric in client.get_metric_history(run_id, key):
                    epochs.setdefault(metric.step, {})[key] = metric.value
        parent = tags.get("mlflow.parentRunId")
        return cls(
            run_id=run_id,
            name=str(run.info.run_name),
            tags=tags,
            params=run.data.params,
            epochs=epochs,
            target={key: value for key, value in run.data.metrics.items() if key.startswith("target/")},
            study_params={} if parent is None else client.get_run(parent).data.params,
        )

    @property
    def is_trial(self) -> bool:
        """Whether it is a trial of a search; otherwise it is a training."""
        return "sceneshift.trial" in self.tags

    @property
    def told(self) -> dict[str, Any]:
        """What it tells of how it was made."""
        told: dict[str, Any] = json.loads(self.tags[REPEAT_TAG])
        return told

    def arguments(self, kind: type[A], **changes: Any) -> A:  # noqa: ANN401  # a flag's value may be anything
        """The command line it was begun with.

        Raises:
            StudyError: Another version of this package wrote it.
        """
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in self.told["arguments"].items()}
        unknown = sorted(values.keys() - {field.name for field in fields(kind)})
        if unknown:
            raise StudyError(
                f"run {self.run_id} was made by another version of this package, with --{unknown[0].replace('_', '-')}."
            )
        return kind(**{**values, **changes})

    def config(self) -> dict[str, Any]:
        """A trial's configuration; MLflow keeps it as text."""

        def value(text: str) -> Any:  # noqa: ANN401
            try:
                return ast.literal_eval(text)
            except (ValueError, SyntaxError):
                return text  # a word, such as a normalization's name

        return {name: value(text) for name, text in self.params.items()}

    def refuse_other_data(self, tags: Mapping[str, str]) -> None:
        """Refuse to compare what was trained on other pixels, and tell where the code is another.

        Args:
            tags: Of the run that is about to begin.

        Raises:
            StudyError: With the hashes that differ.
        """
        before, now = ({k: v for k, v in told.items() if k.startswith(_HASHES)} for told in (self.tags, tags))
        if differing := differences(before, now):
            raise StudyError(
                f"run {self.run_id} can't be run again, the data or the split is another than then:\n  "
                + "\n  ".join(differing)
                + "\nNothing was trained. Put the data back it was trained on."
            )
        if (was := self.tags.get("code.hash")) != sources_hash():
            print(
                f"NOTE: the package's code is another than then (hash of its sources: was {was}, is {sources_hash()}); "
                "figures may differ."
            )

    def compare(
        self,
        epochs: Mapping[int, Mapping[str, float]],
        weights: Mapping[str, str],
        *,
        target: Mapping[str, float] | None = None,
    ) -> tuple[bool, str]:
        """Whether the run came to the same again, and that in words.

        Args:
            epochs: ``val/…`` and ``train/…`` by epoch.
            weights: Hash of each pair's classifier after the last epoch.
            target: ``target/…``, for a training.
        """
        was, now = _figures(self.epochs), _figures(epochs)
        was |= {f"weights of {pair}": self.tags.get(f"weights.{pair}") for pair in weights}
        now |= {f"weights of {pair}": digest for pair, digest in weights.items()}
        if target is not None:
            was |= self.target
            now |= target
        differing = differences(was, now)
        if not differing:
            told = f"all {len(was)} figures of {self.name} are equal to the last bit, weights included."
            return True, f"Run again: {told}"
        more = [f"and {len(differing) - _MOST_LINES} more"] if len(differing) > _MOST_LINES else []
        return False, (
            f"Run again: of {len(was)} figures of {self.name} {len(differing)} are not equal:\n  "
            + "\n  ".join([*differing[:_MOST_LINES], *more])
            + "\nOnly one CPU thread, on a like machine with the same packages, adds up in the same order."
        )


def _figures(epochs: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    return {f"{key} of epoch {n}": value for n, told in epochs.items() for key, value in told.items()}


def repeat(arguments: TrainArgs, *, begun: list[str]) -> int:
    """Run again what ``--from-run`` names.

    Args:
        arguments: The command line.
        begun: Holds the run's name while there is something to go on with.

    Returns:
        0 when it came to the same, 1 when it did not, 130 when it was interrupted and can be resumed.

    Raises:
        SceneshiftError: The run isn't there, or data, machine or arguments don't allow it.
    """
    from sceneshift.study.preparation import writable_root
    from sceneshift.study.train import train_one

    assert arguments.from_run is not None
    backend = TrackingBackend.resolve(writable_root(arguments.storage_path))
    original = OriginalRun.read(backend.connect(), arguments.from_run)
    if original.is_trial:
        return _repeat_trial(arguments, original, backend, begun)
    changes = {name: getattr(arguments, name) for name in ("storage_path", "experiment_name", "resume")}
    changes["run_name"] = arguments.run_name or f"{original.name}-again"
    if arguments.threads is not None:
        changes["threads"] = arguments.threads
    if arguments.device != "auto":
        changes["device"] = arguments.device
    return train_one(original.arguments(TrainArgs, **changes), begun=begun, original=original)


class _AllRepeatedError(Exception):
    """The original ended after this epoch, stopped early."""


def _repeat_trial(arguments: TrainArgs, original: OriginalRun, backend: TrackingBackend, begun: list[str]) -> int:
    import torch

    from sceneshift.catalogue.load import load_pair
    from sceneshift.methods.registry import find_method
    from sceneshift.seeding import trial_seed
    from sceneshift.study.preparation import choose_recipes, divide_sources, writable_root
    from sceneshift.study.run_record import JOURNAL, RunRecord, give_back, open_run_directory
    from sceneshift.study.scene_data import describe_pair
    from sceneshift.tracking.provenance import code_tags
    from sceneshift.tracking.training_run import TrainingRun
    from sceneshift.training.checkpoint import CheckpointFolder
    from sceneshift.training.loop import EpochReport, TrainingDiverged, TrainingPlan, train

    told, studied = original.told, original.arguments(TuneArgs)
    recipes = choose_recipes(studied, None, patch_size=told["patch_size"])
    pairs = [load_pair(recipe) for recipe in recipes]
    sources = divide_sources(studied, pairs, patch_size=told["patch_size"], pixels_per_class=told["pixels_per_class"])
    tags = {
        **{f"split.hash.{s.pair_name}": s.split.content_hash for s in sources},
        **{f"source.hash.{s.pair_name}": s.scene.content_hash for s in sources},
        **{f"target.hash.{pair.name}": pair.target.cube_hash for pair in pairs},
        **{f"test_split.hash.{p.name}": p.test_split.content_hash for p in pairs if p.test_split is not None},
    }
    original.refuse_other_data(tags)
    method, number = original.tags["method"], int(original.tags["sceneshift.trial"])
    plan = TrainingPlan(
        method=method,
        config=find_method(method).config_type.from_mapping(original.config()),
        epochs=told["epochs"],
        seed=trial_seed(studied.seed, number),
        precision=studied.precision,
        compile=studied.compile,
    )
    cpus, gpus = (float(original.study_params.get(f"{name}_per_trial", 0)) for name in ("cpus", "gpus"))
    threads = arguments.threads or max(1, int(cpus))
    torch.set_num_threads(threads)
    device = arguments.device if arguments.device != "auto" else "cuda" if gpus > 0 else "cpu"
    last = max(original.epochs, default=0)
    name = arguments.run_name or f"{original.name}-again"
    directory = writable_root(arguments.storage_path) / arguments.experiment_name / name
    print(f"run                  {name}, {original.name} ({original.run_id}) again")
    print(f"kept in              {directory}")
    print(
        f"method               {method}, {last} of {plan.epochs} epochs, seed {plan.seed}, {threads} threads, {device}"
    )
    for pair, source in zip(pairs, sources, strict=True):
        print("\n".join(describe_pair(pair, source.split)))
    print(flush=True)
    settings = {"again": original.run_id, "epochs": last, "seed": plan.seed, "config": original.config(), **tags}
    record = open_run_directory(
        directory,
        name,
        resume=arguments.resume,
        now=RunRecord(settings=settings, origin=code_origin(), tracking=backend.uri, changes=()),
    )
    begun.append(name)
    try:
        mlflow_run = TrainingRun(
            backend,
            experiment=arguments.experiment_name,
            name=name,
            tags={**code_tags(), **tags, "method": method, REPEAT_OF_TAG: original.run_id},
            params={**original.params, "epochs": last, "seed": plan.seed},
            journal=directory / JOURNAL,
            began_at=record.tracking if arguments.resume else None,
        )
    except StudyError:
        if not arguments.resume and give_back(directory):
            begun.clear()
        raise
    weights: dict[str, str] = {}

    def report(epoch: EpochReport) -> None:
        mlflow_run.log_epoch(epoch.epoch, epoch.metrics)
        weights.update(epoch.weights)
        print(f"epoch {epoch.epoch:>4}/{last}  val/aa {epoch.metrics['val/aa']:.4f}", flush=True)
        if epoch.epoch >= last:
            raise _AllRepeatedError

    try:
        train(plan, sources, report=report, checkpoints=CheckpointFolder(str(directory / "checkpoints")), device=device)
    except _AllRepeatedError:
        pass
    except TrainingDiverged as error:
        if error.epoch != last + 1 or str(error) != original.tags.get("sceneshift.reason"):
            mlflow_run.close("FAILED")
            raise
        print(f"{error}, as then")
    except KeyboardInterrupt:
        mlflow_run.close("KILLED")
        print("\nInterrupted; --resume with its --run-name goes on.", flush=True)
        return INTERRUPTED_STATUS
    except BaseException:
        if not arguments.resume and give_back(directory):
            begun.clear()
            mlflow_run.forget()
        else:
            mlflow_run.close("FAILED")
        raise
    mlflow_run.close("FINISHED")
    equal, words = original.compare(mlflow_run.epochs_told("val/", "train/"), weights)
    print(f"\n{words}\nThis run {mlflow_run.link()}")
    return 0 if equal else 1
