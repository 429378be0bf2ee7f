"""A search in a process of its own, started and resumed as a user would, and what is seen of it from outside."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

HERE = Path(__file__).parent
FIRST_EPOCH_WITHIN_S = 400.0


class Search:
    """One study: a process that searches, begun and resumed as often as need be.

    Args:
        storage: ``--storage-path``.
        name: The study's.
        space: Its space file.
        log: Where its processes print.
        environment: Variables next to this process's own.
        flags: More of the command line.
    """

    def __init__(
        self,
        storage: Path,
        name: str,
        *,
        log: Path,
        space: str = "space.py",
        environment: dict[str, str] | None = None,
        flags: tuple[str, ...] = (),
    ) -> None:
        self.storage, self.name, self.log = storage, name, log
        self._flags, self._environment = flags, environment or {}
        self._own = {"PYTHONPATH": str(HERE.parents[1] / "platform"), "CHAOS_SPACE": str(HERE / space)}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin the study, or resume it."""
        words = self.words(str(self.storage))
        kept = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "study.py"), *words],
                cwd=HERE.parents[1],
                env={**kept, "OMP_NUM_THREADS": "1", **self._own, **self._environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def words(self, storage_path: str) -> list[str]:
        """The arguments that begin or resume the study."""
        begun = (self.storage / self.name / "optuna.db").exists()
        return [
            *("--profile", "chaos", "--max-concurrent-trials", "1", "--cpus-per-trial", "1"),
            *("--storage-path", storage_path, "--experiment-name", self.name, *self._flags),
            *["--resume"] * begun,
        ]

    @property
    def checkpoints(self) -> Path:
        """Where the trials keep theirs, in a folder each."""
        return self.storage / self.name / "checkpoints"

    @property
    def running(self) -> bool:
        assert self.process is not None
        return self.process.poll() is None

    def wait(self, timeout: float) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def family(self) -> list[psutil.Process]:
        """Every process the search started, Ray's of its own among them."""
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def workers(self, *titles: str) -> list[psutil.Process]:
        """Ray workers at work, by a part of their title; ``ray::`` where none is given."""
        found = []
        for process in self.family():
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if title.startswith("ray::") and not title.startswith("ray::IDLE") and all(t in title for t in titles):
                found.append(process)
        return found

    def kill(self) -> list[psutil.Process]:
        """SIGKILL to the driver alone; returns what it leaves behind."""
        assert self.process is not None
        left = self.family()
        self.process.kill()
        self.process.wait()
        return left

    def epochs_seen(self) -> int:
        """A count that grows with every checkpoint: the sum of the trials' newest epochs."""
        newest: dict[str, int] = {}
        for path in self.checkpoints.glob("trial_*/epoch_*.ckpt"):
            newest[path.parent.name] = max(newest.get(path.parent.name, 0), int(path.stem.removeprefix("epoch_")))
        return sum(newest.values())

    def wait_for_epochs(self, more: int) -> bool:
        """Wait for so many epochs more; False where the search ended first."""
        wanted = self.epochs_seen() + more
        return self.wait_until(lambda: self.epochs_seen() >= wanted)

    def wait_until(self, done: Callable[[], bool], *, within_s: float = FIRST_EPOCH_WITHIN_S) -> bool:
        """Wait for something; False where the search ended first.

        Raises:
            TimeoutError: Neither happened.
        """
        given_up_at = time.monotonic() + within_s
        while not done():
            if not self.running:
                return False
            if time.monotonic() > given_up_at:
                raise TimeoutError(f"{self.name}: nothing for {within_s:g} s; see {self.log}")
            time.sleep(0.02)
        return True

    def printed(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def end(processes: list[psutil.Process], *, within_s: float) -> int:
    """Wait until processes are gone; those that are not are ended and counted."""
    given_up_at = time.monotonic() + within_s
    while (alive := [process for process in processes if _lives(process)]) and time.monotonic() < given_up_at:
        time.sleep(0.1)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return len(alive)


def _lives(process: psutil.Process) -> bool:
    # A process that has ended without being waited for is not alive.
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
