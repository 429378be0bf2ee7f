"""Repeating a trial or a training from its MLflow run, and comparing the results."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sceneshift.engine.listener import Listener
from sceneshift.engine.prepared_training import STRATEGY_TAG, RunOptions
from sceneshift.engine.training import TrainResult, train
from sceneshift.errors import StudyError, first_line
from sceneshift.execution.executor import StopRequest
from sceneshift.search.prepared import writable_root
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.key_names import key_name, with_key_names
from sceneshift.tracking.provenance import REPEAT_OF_TAG, SPEC_TAG, sources_hash
from sceneshift.training.resume_check import differences
from sceneshift.training.spec import TrainSpec

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_LOG = logging.getLogger(__name__)

#: Tags with these prefixes are hashes of the training data.
_HASHES = ("split.hash", "test_split.hash", "source.hash", "target.hash")
#: Maximum number of differences that are listed.
_MOST_LINES = 10


@dataclass(frozen=True, kw_only=True)
class OriginalRun:
    """The MLflow records of a run that is to be repeated.

    Args:
        run_id: The run.
        name: Its name.
        tags: Its tags.
        epochs: ``val/…`` and ``train/…`` by epoch.
        target: ``target/…``, for a training.
        study_params: The parameters of the search a trial belongs to; empty for a training.
    """

    run_id: str
    name: str
    tags: Mapping[str, str]
    epochs: Mapping[int, Mapping[str, float]]
    target: Mapping[str, float]
    study_params: Mapping[str, str]

    @classmethod
    def read(cls, client: "MlflowClient", run_id: str) -> "OriginalRun":
        """Read a run.

        Raises:
            StudyError: MLflow has no such run, or the run lacks what is needed to repeat it.
        """
        try:
            run = client.get_run(run_id)
        except Exception as error:  # whatever MLflow or its server raises
            raise StudyError(
                f"MLflow at {client.tracking_uri} has no run {run_id!r} ({first_line(error)}). Copy a run's id from "
                "its page, and set MLFLOW_TRACKING_URI or --storage-path to where it is."
            ) from error
        tags = run.data.tags
        if SPEC_TAG not in tags and "sceneshift.repeat" in tags:
            raise StudyError(
                f"run {run_id} ({run.info.run_name}) was made by sceneshift {tags.get('version.sceneshift', '0.1')}, "
                "which described runs otherwise; run it again with that version."
            )
        if SPEC_TAG not in tags or tags.get("sceneshift.study") == "parent":
            raise StudyError(
                f"run {run_id} ({run.info.run_name}) is neither a trial of a search nor a training that says how it "
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
            epochs=epochs,
            target={key: value for key, value in run.data.metrics.items() if key.startswith("target/")},
            study_params={} if parent is None else client.get_run(parent).data.params,
        )

    @property
    def is_trial(self) -> bool:
        """Whether it is a trial of a search; otherwise it is a training."""
        return "sceneshift.trial" in self.tags

    @property
    def spec(self) -> TrainSpec:
        """The specification of what it trained.

        Raises:
            StudyError: Another version of this package wrote it.
        """
        return TrainSpec.from_dict(json.loads(self.tags[SPEC_TAG]))

    def refuse_other_data(self, tags: Mapping[str, str]) -> None:
        """Raise an error if the run was trained on other pixels, and warn if the code differs.

        Args:
            tags: Tags of the run that is about to begin.

        Raises:
            StudyError: Hashes of the data differ; the message lists them.
        """
        before, now = (
            {k: v for k, v in run_tags.items() if k.startswith(_HASHES)}
            for run_tags in (self.tags, with_key_names(tags))
        )
        if differing := differences(before, now):
            raise StudyError(
                f"run {self.run_id} can't be run again, the data or the split is another than then:\n  "
                + "\n  ".join(differing)
                + "\nNothing was trained. Put the data back it was trained on."
            )
        if (was := self.tags.get("code.hash")) != sources_hash():
            _LOG.warning(
                "NOTE: the package's code is another than then (hash of its sources: was %s, is %s); figures may "
                "differ.",
                was,
                sources_hash(),
            )

    def compare(
        self,
        epochs: Mapping[int, Mapping[str, float]],
        weights: Mapping[str, str],
        *,
        target: Mapping[str, float] | None = None,
    ) -> tuple[bool, str]:
        """Whether the repeated run has the same results, and a description of the comparison.

        Args:
            epochs: ``val/…`` and ``train/…`` by epoch.
            weights: Hash of each pair's classifier after the last epoch.
            target: ``target/…``, for a training.
        """
        was, now = _figures(self.epochs), _figures({n: with_key_names(metrics) for n, metrics in epochs.items()})
        was |= {f"weights of {pair}": self.tags.get(key_name(f"weights.{pair}")) for pair in weights}
        now |= {f"weights of {pair}": digest for pair, digest in weights.items()}
        if target is not None:
            was |= self.target
            now |= target
        differing = differences(was, now)
        if not differing:
            words = f"all {len(was)} figures of {self.name} are equal to the last bit, weights included."
            return True, f"Run again: {words}"
        more = [f"and {len(differing) - _MOST_LINES} more"] if len(differing) > _MOST_LINES else []
        return False, (
            f"Run again: of {len(was)} figures of {self.name} {len(differing)} are not equal:\n  "
            + "\n  ".join([*differing[:_MOST_LINES], *more])
            + "\nOnly one CPU thread, on a like machine with the same packages, adds up in the same order."
        )


@dataclass(frozen=True, kw_only=True)
class RepeatResult:
    """The result of repeating a run.

    Args:
        training: The new run; None if it diverged immediately, as the original did.
        is_equal: Whether the results are the same; False if it was interrupted.
        words: A description of the comparison.
    """

    training: TrainResult | None
    is_equal: bool
    words: str


def repeat(
    run_id: str,
    options: RunOptions,
    *,
    listener: Listener | None = None,
    stop: StopRequest | None = None,
) -> RepeatResult:
    """Repeat a trial or a training with its seed, settings, pixels and data.

    A trial is trained for as many epochs as it ran and is not closed; a training is closed like the original.

    Args:
        run_id: The MLflow run.
        options: Where it runs and is stored; device and threads are the original's by default.
        listener: Notified while it runs.
        stop: Ends it when asked to, to be resumed.

    Raises:
        SceneshiftError: The run isn't there, or data or machine don't allow it.
    """
    backend = TrackingBackend.resolve(writable_root(options.storage_path))
    original = OriginalRun.read(backend.connect(), run_id)
    options = replace(options, name=options.name or f"{original.name}-again")
    last_epoch = None
    if original.is_trial:
        cpus, gpus = (float(original.study_params.get(f"{name}_per_trial", 0)) for name in ("cpus", "gpus"))
        device = options.device if options.device != "auto" else "cuda" if gpus > 0 else "cpu"
        options = replace(options, threads=options.threads or max(1, int(cpus)), device=device)
        last_epoch = max(original.epochs, default=0)
    try:
        result = train(
            original.spec,
            options,
            # A trial is not closed, so nothing is chosen.
            selection=None if original.is_trial else original.tags.get(STRATEGY_TAG),
            listener=listener,
            stop=stop,
            last_epoch=last_epoch,
            closes=not original.is_trial,
            tags={REPEAT_OF_TAG: original.run_id},
            checks=(original.refuse_other_data,),
        )
    except StudyError as error:
        # A run that diverged in its first epoch does so again.
        if last_epoch != 0 or str(error) != original.tags.get("sceneshift.reason"):
            raise
        return RepeatResult(training=None, is_equal=True, words=f"Run again: {error}, as then.")
    if result.is_interrupted:
        return RepeatResult(training=result, is_equal=False, words="")
    target = None
    if result.closed is not None:
        target = {name: value for name, value in result.closed.metrics.items() if name.startswith("target/")}
    is_equal, words = original.compare(_selected(result.epochs), result.weights, target=target)
    return RepeatResult(training=result, is_equal=is_equal, words=words)


def _selected(epochs: Mapping[int, Mapping[str, float]]) -> dict[int, dict[str, float]]:
    return {n: {k: v for k, v in metrics.items() if k.startswith(("val/", "train/"))} for n, metrics in epochs.items()}


def _figures(epochs: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    return {f"{key} of epoch {n}": value for n, metrics in epochs.items() for key, value in metrics.items()}
