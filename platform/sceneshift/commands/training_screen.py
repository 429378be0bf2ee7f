"""What a training prints while it runs, and when it is closed."""

from collections.abc import Sequence

from sceneshift.commands.announcements import announce_training
from sceneshift.commands.console import ProgressLine
from sceneshift.commands.flags import resume_command
from sceneshift.commands.progress import ProgressBars
from sceneshift.commands.search_screen import change_note
from sceneshift.commands.ui import how_to_open
from sceneshift.engine.listener import Listener
from sceneshift.engine.prepared_training import PreparedTraining
from sceneshift.engine.training import TrainResult
from sceneshift.report.separation import separation_lines
from sceneshift.report.units import unit_lines
from sceneshift.report.verdict import FLOORS_TOLD
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.training.loop import EpochReport


class TrainingScreen(Listener):
    """Prints what a training is about to do, and a line every few seconds.

    Args:
        begun: Receives the run's name when there is something to resume.
    """

    def __init__(self, begun: list[str]) -> None:
        self._begun = begun
        self._bars = ProgressBars()
        self._training: PreparedTraining | None = None
        self._progress: ProgressLine | None = None

    @property
    def training(self) -> PreparedTraining:
        """The training that was announced."""
        assert self._training is not None
        return self._training

    def training_prepared(self, training: PreparedTraining) -> None:
        """Print what the training is about to do."""
        self._training = training
        self._progress = ProgressLine(training.spec.epochs)
        print("\n".join(announce_training(training)), flush=True)

    def training_begins(self, training: PreparedTraining) -> None:
        """Note that the training can be resumed from now on."""
        self._begun.append(training.name)
        print(flush=True)

    def interrupted(self, done: int, total: int) -> None:
        """Say how to resume."""
        print(f"\nInterrupted. To resume:\n  {resume_command('--run-name', self.training.name)}", flush=True)

    def progress(self, what: str, done: int, total: int) -> None:
        """Show progress as a bar or as lines."""
        self._bars.show(what, done, total)

    def code_or_data_changed(self, what: str, changes: Sequence[str]) -> None:
        """Print a warning with the changes."""
        print(f"{change_note(what, changes)}\n", flush=True)

    def epoch(self, report: EpochReport) -> None:
        """Print a line if enough time has passed since the last."""
        assert self._progress is not None
        self._progress.show(report.epoch, report.metrics)


def render_closed_training(result: TrainResult, training: PreparedTraining, backend: TrackingBackend) -> str:
    """Render a training's results: verdict, scores, and where everything is stored."""
    closed = result.closed
    assert closed is not None
    (pair,) = training.data.pairs
    where = "test pixels" if pair.test_split is not None else f"target of {pair.name}"
    parts = [
        f"\n{closed.compared}",
        FLOORS_TOLD,
        f"\nRun {result.name}, {where}, last of {training.spec.epochs} epochs:\n\n{closed.per_class}",
        *unit_lines(closed.summary["units"]),
        *separation_lines(training.separation()),
    ]
    if closed.unmixing is not None:
        parts.append(
            "Compared with the reference abundances (the classes derive from them, so class means are a near-oracle "
            f"baseline):\n\n{closed.unmixing}"
        )
    parts += [
        f"Registered {closed.model.uri} (version {closed.model.version})",
        f"\nPictures, tables   {closed.folder}",
        f"Open the MLflow UI {how_to_open(backend, training.directory.parent)}",
        f"This run           {backend.study_link(result.experiment_id, result.run_id)}",
    ]
    return "\n".join(parts)
