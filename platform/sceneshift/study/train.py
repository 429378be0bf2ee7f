"""A training from its arguments to its last screen."""

import sys
import time
from typing import TYPE_CHECKING

from sceneshift.errors import SceneshiftError
from sceneshift.study.arguments import resume_command
from sceneshift.study.train_arguments import SECONDS_BETWEEN_LINES, TrainArgs, read_train_command_line

if TYPE_CHECKING:
    from sceneshift.training.loop import EpochReport


def main(description: str) -> int:
    """Entry point of the training script; returns the exit status."""
    arguments = read_train_command_line(description)
    try:
        return train_one(arguments)
    except SceneshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. If a run had begun, --resume with its --run-name goes on with it.", file=sys.stderr)
        return 130


def train_one(arguments: TrainArgs) -> int:
    """Train, map and score one network.

    Args:
        arguments: The command line.

    Returns:
        0 when the training is closed; 130 when it was interrupted and can be resumed.

    Raises:
        SceneshiftError: The arguments, the data or the machine don't allow the training.
    """
    # Heavy imports wait until the arguments are known to be good; MLflow reads the environment when imported.
    from sceneshift.tracking.backend import TrackingBackend, apply_mlflow_settings

    apply_mlflow_settings()
    import torch

    from sceneshift.study.preparation import writable_root
    from sceneshift.study.train_preparation import prepare_training

    backend = TrackingBackend.resolve(writable_root(arguments.storage_path))
    print(f"MLFLOW_TRACKING_URI  {backend.uri}", flush=True)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    training = prepare_training(arguments)
    print("\n".join(training.announcement()), flush=True)

    from sceneshift.study.train_closing import close_training
    from sceneshift.study.train_workers import train_network
    from sceneshift.tracking.training_run import TrainingRun
    from sceneshift.training.loop import EpochReport

    backend.connect()
    training.open_directory()
    mlflow_run = TrainingRun(
        backend,
        experiment=arguments.experiment_name,
        name=training.name,
        tags=training.tags(),
        params={key: value for key, value in training.settings().items() if key != "config"}
        | training.settings()["config"],
    )
    progress = _Progress(training.plan.epochs)

    def report(epoch: EpochReport) -> None:
        mlflow_run.log_epoch(epoch.epoch, epoch.metrics)
        progress.tell(epoch)

    print(flush=True)
    try:
        run = train_network(training, report)
        close_training(training, run, mlflow_run)
    except KeyboardInterrupt:
        # Told first: an MLflow that is away takes its time, and who can't wait interrupts again.
        print(f"\nInterrupted. Go on with:\n  {resume_command('--run-name', training.name)}", flush=True)
        mlflow_run.close("KILLED")
        return 130
    except BaseException:
        mlflow_run.close("FAILED")
        raise
    return 0


class _Progress:
    """One line every few seconds: epoch, loss terms, validation, and about how long it will take."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._first: tuple[int, float] | None = None
        self._told_at = -SECONDS_BETWEEN_LINES

    def tell(self, report: "EpochReport") -> None:
        """Take an epoch; print it if it is time."""
        now = time.monotonic()
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
