"""A training from its arguments to its last screen."""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sceneshift.errors import SceneshiftError, StorageError, StudyError, first_line
from sceneshift.study.arguments import resume_command
from sceneshift.study.interrupts import INTERRUPTED_STATUS, Interrupts, go_on_with
from sceneshift.study.progress import SECONDS_BETWEEN_LINES
from sceneshift.study.train_arguments import TrainArgs, read_train_command_line

if TYPE_CHECKING:
    from sceneshift.study.repeat import OriginalRun
    from sceneshift.training.loop import EpochReport


def main(description: str) -> int:
    """Entry point of the training script; returns the exit status."""
    arguments = read_train_command_line(description)
    begun: list[str] = []

    def how_to_go_on() -> str:
        return go_on_with(resume_command("--run-name", begun[0])) if begun else ""

    with Interrupts(how_to_go_on):
        try:
            if arguments.from_run is not None:
                from sceneshift.study.repeat import repeat

                return repeat(arguments, begun=begun)
            return train_one(arguments, begun=begun)
        except StorageError as error:
            print(f"error: {error}{how_to_go_on()}", file=sys.stderr)
            return 2
        except SceneshiftError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"\nStopped.{how_to_go_on()}", file=sys.stderr)
            return INTERRUPTED_STATUS


def train_one(arguments: TrainArgs, *, begun: list[str], original: "OriginalRun | None" = None) -> int:
    """Train, map and score one network.

    Args:
        arguments: The command line.
        begun: Holds the run's name while there is something to go on with.
        original: The run this is run again from.

    Returns:
        0 when the training is closed; 1 when it did not come to the same as the original; 130 when it was interrupted
        and can be resumed.

    Raises:
        SceneshiftError: The arguments, the data or the machine don't allow the training.
    """
    # Heavy imports wait until the arguments are known to be good; MLflow reads the environment when imported.
    from sceneshift.tracking.backend import TrackingBackend, apply_mlflow_settings

    apply_mlflow_settings()
    import torch

    from sceneshift.study.preparation import writable_root
    from sceneshift.study.train_preparation import prepare_training
    from sceneshift.tracking.provenance import CHANGES_TAG, REPEAT_OF_TAG

    backend = TrackingBackend.resolve(writable_root(arguments.storage_path))
    print(f"MLFLOW_TRACKING_URI  {backend.uri}", flush=True)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    training = prepare_training(arguments)
    tags = training.tags()
    if original is not None:
        original.refuse_other_data(tags)
        tags[REPEAT_OF_TAG] = original.run_id
    print("\n".join(training.announcement()), flush=True)

    from sceneshift.study.run_record import JOURNAL, give_back
    from sceneshift.study.train_closing import close_training
    from sceneshift.study.train_workers import train_network
    from sceneshift.tracking.training_run import TrainingRun
    from sceneshift.training.loop import EpochReport
    from sceneshift.training.resume_check import change_warning

    backend.connect()
    record = training.open_directory(tracking=backend.uri)
    begun.append(training.name)
    if record.changes:
        print(f"\n{change_warning(f'run {training.name!r}', list(record.changes))}", flush=True)
    try:
        mlflow_run = TrainingRun(
            backend,
            experiment=arguments.experiment_name,
            name=training.name,
            tags=tags,
            params={key: value for key, value in training.settings().items() if key != "config"}
            | training.settings()["config"],
            journal=training.directory / JOURNAL,
            began_at=record.tracking if arguments.resume else None,
        )
    except StudyError:
        if not arguments.resume and give_back(training.directory):
            begun.clear()
        raise
    if record.changes:
        mlflow_run.tag(CHANGES_TAG, "; ".join(record.changes))
    progress = _Progress(training.plan.epochs)
    weights: dict[str, str] = {}

    def report(epoch: EpochReport) -> None:
        mlflow_run.log_epoch(epoch.epoch, epoch.metrics)
        weights.update(epoch.weights)
        progress.tell(epoch)

    print(flush=True)
    try:
        run = train_network(training, report)
        for pair, digest in weights.items():
            mlflow_run.tag(f"weights.{pair}", digest)
        close_training(training, run, mlflow_run, seconds=progress.trained_s(training.pair.name))
    except KeyboardInterrupt:
        # Told first: an MLflow that is away takes its time, and who can't wait interrupts again.
        print(f"\nInterrupted. Go on with:\n  {resume_command('--run-name', training.name)}", flush=True)
        mlflow_run.close("KILLED")
        return INTERRUPTED_STATUS
    except BaseException as error:
        if not arguments.resume and give_back(training.directory):
            begun.clear()
            mlflow_run.forget()
        else:
            mlflow_run.close("FAILED")
        if isinstance(error, OSError) and not isinstance(error, SceneshiftError):
            raise StorageError(f"{training.directory} can't be written ({first_line(error)}).") from error
        raise
    if original is None:
        return 0
    equal, words = original.compare(
        mlflow_run.epochs_told("val/", "train/"), weights, target=mlflow_run.final_metrics("target/")
    )
    print(f"\n{words}")
    return 0 if equal else 1


class _Progress:
    """One line every few seconds: epoch, loss terms, validation, and about how long it will take."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._first: tuple[int, float] | None = None
        self._told_at = -SECONDS_BETWEEN_LINES
        self._last: Mapping[str, float] = {}

    def trained_s(self, pair_name: str) -> float | None:
        """Seconds the training has taken, those before a cut among them; None before its first epoch."""
        return self._last.get(f"time/{pair_name}/trained_s")

    def tell(self, report: "EpochReport") -> None:
        """Take an epoch; print it if it is time."""
        now = time.monotonic()
        self._last = report.metrics
        if self._first is None:
            self._first = (report.epoch, now)
        if now - self._told_at < SECONDS_BETWEEN_LINES and report.epoch < self._epochs:
            return
        self._told_at = now
        terms = {key.rsplit("/", 1)[1]: v for key, v in report.metrics.items() if key.startswith("train/")}
        words = [f"{name} {value:.4f}" for name, value in terms.items()]
        if "val/aa" in report.metrics:
            words.append(f"val AA {100 * report.metrics['val/aa']:.1f}")
        first, begun = self._first
        left = ""
        if report.epoch > first:
            seconds = (now - begun) / (report.epoch - first) * (self._epochs - report.epoch)
            left = f", {_duration(seconds)} left" if report.epoch < self._epochs else ""
        print(f"epoch {report.epoch:>4}/{self._epochs}  {'  '.join(words)}{left}", flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
