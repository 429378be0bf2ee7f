"""What chaos does to a search at random moments. Each kind is a function that brings one study to its end.

A kind does its harm so many times at most, resumes the search once after each time that ended it, and returns what it
did. Only processes the search itself started are ever touched.
"""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from searches import Search, end

#: Seconds a process may take to end by itself, on a busy machine.
PATIENCE_S = 600.0


@dataclass
class Harm:
    """What was done to one study.

    Args:
        events: Times something was done.
        resumes: Times the search ended of it and was resumed.
        orphans: Processes that outlived their driver and were ended.
        notes: What a reader should know.
        mlflow_db: Where the study's runs are.
        unlike: Whether it can't be compared with the unharmed run, as it is another search.
    """

    mlflow_db: Path
    events: int = 0
    resumes: int = 0
    orphans: int = 0
    notes: list[str] = field(default_factory=list)
    unlike: bool = False


#: What the ballast takes at most, when memory is to run short.
BALLAST_BYTES = 4 << 30

#: In the title of the process a trial trains in.
TRIAL = "ImplicitFunc"

Kind = Callable[[Path, str, random.Random, int], Harm]


def run_to_its_end(search: Search, harm: Harm) -> None:
    """Wait for a search; one that ended before it was done is resumed, once."""
    if search.wait(PATIENCE_S) != 0:
        harm.resumes += 1
        search.start()
        status = search.wait(PATIENCE_S)
        if status != 0:
            harm.notes.append(f"{search.name}: exit status {status} after it was resumed; see {search.log}")


def driver(root: Path, name: str, rng: random.Random, most: int) -> Harm:
    """SIGKILL the driver: as it starts, within epochs, between them, while it closes. Kill, resume, kill, resume."""
    search, harm = Search(root, name, log=root / f"{name}.log"), Harm(root / "mlflow.db")
    left: list[psutil.Process] = []
    search.start()
    while harm.events < most:
        moment = rng.random()
        closed_before = search.printed().count("Closing the study")
        if moment < 0.15:
            alive = _sleep_while(search, rng.uniform(0.0, 20.0))
        elif moment < 0.25:
            alive = search.wait_until(
                lambda before=closed_before: search.printed().count("Closing the study") > before
            ) and _sleep_while(search, rng.uniform(0.0, 6.0))
        else:
            alive = search.wait_for_epochs(rng.randint(1, 8)) and _sleep_while(search, rng.uniform(0.0, 0.6))
        if not alive:
            break
        left += search.kill()
        harm.events += 1
        harm.resumes += 1
        search.start()
    run_to_its_end(search, harm)
    # Two of Ray's agents find out after a minute that they are alone.
    harm.orphans = end(left, within_s=120)
    return harm


def actor(root: Path, name: str, rng: random.Random, most: int) -> Harm:
    """SIGKILL the process a trial trains in; the search itself lives on."""
    search, harm = Search(root, name, log=root / f"{name}.log"), Harm(root / "mlflow.db")
    search.start()
    while harm.events < most and search.wait_for_epochs(rng.randint(4, 9)):
        time.sleep(rng.uniform(0, 0.5))
        if victims := search.workers(TRIAL):
            rng.choice(victims).kill()
            harm.events += 1
    run_to_its_end(search, harm)
    return harm


def train_worker(root: Path, name: str, rng: random.Random, most: int) -> Harm:
    """SIGKILL a worker of Ray Train, in a search with ``--executor ray-train``."""
    search = Search(root, name, log=root / f"{name}.log", flags=("--executor", "ray-train"))
    harm = Harm(root / "mlflow.db")
    search.start()
    while harm.events < most and search.wait_for_epochs(rng.randint(4, 9)):
        if victims := search.workers("RayTrainWorker"):
            rng.choice(victims).kill()
            harm.events += 1
    run_to_its_end(search, harm)
    return harm


def ray(root: Path, name: str, rng: random.Random, most: int) -> Harm:
    """SIGKILL all of the search's own Ray: head, raylet, dashboard, workers."""
    search, harm = Search(root, name, log=root / f"{name}.log"), Harm(root / "mlflow.db")
    search.start()
    while harm.events < most and search.wait_for_epochs(rng.randint(4, 12)):
        family = search.family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        harm.events += 1
        began = time.monotonic()
        status = search.wait(PATIENCE_S)
        harm.notes.append(f"driver ended {time.monotonic() - began:.0f} s later with status {status}")
        harm.resumes += 1
        search.start()
    run_to_its_end(search, harm)
    return harm


def node(root: Path, name: str, rng: random.Random, most: int) -> Harm:
    """Kill the node a trial is on, of a cluster of a head without CPUs and two nodes; another one joins."""
    with _cluster(root / f"{name}.cluster.log") as (address, command):
        search = Search(root, name, log=root / f"{name}.log", environment={"RAY_ADDRESS": address})
        harm = Harm(root / "mlflow.db")
        search.start()
        while harm.events < most and search.wait_for_epochs(rng.randint(4, 9)):
            command("replace")
            harm.events += 1
        run_to_its_end(search, harm)
    return harm


def disk(root: Path, name: str, rng: random.Random, most: int) -> Harm:
    """Fill the disk under the storage path, a tmpfs of its own, until the search ends; make room; resume."""
    place = root / f"{name}.disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "chaos", str(place)], check=True)
    try:
        search, harm = Search(place, name, log=root / f"{name}.log"), Harm(root / f"{name}.mlflow.db")
        search.start()
        while harm.events < most and search.wait_for_epochs(rng.randint(4, 12)):
            filler = place / "filler"
            _fill(filler)
            harm.events += 1
            status = search.wait(PATIENCE_S)
            errors = [line for line in search.printed().splitlines() if line.startswith("error: ")]
            harm.notes.append(f"status {status}: {errors[-1] if errors else 'no word'}")
            filler.unlink()
            harm.resumes += 1
            search.start()
        run_to_its_end(search, harm)
        # The tmpfs goes; what is checked stays.
        shutil.copytree(place / name, root / name, ignore=shutil.ignore_patterns("checkpoints", "tune"))
        shutil.copy(place / "mlflow.db", harm.mlflow_db)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)
    return harm


def mlflow(root: Path, name: str, rng: random.Random, most: int) -> Harm:
    """Take the MLflow server away for a while and bring it back."""
    database, port = root / f"{name}.mlflow.db", _free_port()
    harm = Harm(database)
    server = _mlflow_server(database, port, root)
    try:
        search = Search(
            root, name, log=root / f"{name}.log", environment={"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
        )
        search.start()
        while harm.events < most and search.wait_for_epochs(rng.randint(3, 10)):
            _end_group(server)
            harm.events += 1
            search.wait_for_epochs(rng.randint(1, 6))
            server = _mlflow_server(database, port, root)
        run_to_its_end(search, harm)
    finally:
        _end_group(server)
    return harm


def nan(root: Path, name: str, rng: random.Random, most: int) -> Harm:
    """Learning rates that no loss survives are among the choices: those trials must be marked, and only those."""
    search = Search(root, name, log=root / f"{name}.log", space="diverging_space.py")
    harm = Harm(root / "mlflow.db", unlike=True)
    search.start()
    run_to_its_end(search, harm)
    harm.events = search.printed().count("not finite")
    return harm


def memory(root: Path, name: str, rng: random.Random, most: int) -> Harm:
    """Let the machine's memory run short, by a ballast: Ray's own monitor then kills the trial's process.

    The monitor's threshold is set a little above what is in use when the search begins, so little ballast is needed.
    """
    machine = psutil.virtual_memory()
    threshold = (machine.total - machine.available + BALLAST_BYTES / 2) / machine.total
    search = Search(
        root, name, log=root / f"{name}.log", environment={"RAY_memory_usage_threshold": f"{threshold:.4f}"}
    )
    harm = Harm(root / "mlflow.db")
    search.start()
    while harm.events < most and search.wait_for_epochs(rng.randint(4, 9)):
        victims = {process.pid for process in search.workers(TRIAL)}
        ballast: list[bytearray] = []
        while victims and victims <= {p.pid for p in search.workers(TRIAL)} and len(ballast) < 40:
            ballast.append(bytearray(os.urandom(1 << 10) * (BALLAST_BYTES // 40 >> 10)))
            time.sleep(0.1)
        if victims and not victims <= {p.pid for p in search.workers(TRIAL)}:
            harm.events += 1
        else:
            harm.notes.append("the ballast did not make Ray kill the trial's process")
            break
        # There is room again: what memory is short of for ever, no search survives.
        ballast.clear()
    run_to_its_end(search, harm)
    return harm


KINDS: dict[str, Kind] = {
    "driver": driver,
    "actor": actor,
    "train-worker": train_worker,
    "node": node,
    "ray": ray,
    "disk": disk,
    "mlflow": mlflow,
    "nan": nan,
    "memory": memory,
}

#: Harm done to one study at most, so that a trial is not given up for losing its worker three times.
MOST_A_STUDY = {"driver": 12, "actor": 2, "train-worker": 2, "memory": 2, "node": 2, "ray": 3, "disk": 2, "mlflow": 3}


def why_not(kind: str) -> str:
    """Why a kind can't be done here; empty where it can."""
    if kind == "disk" and os.geteuid() != 0:
        return "a tmpfs can be mounted by root alone"
    return ""


def _sleep_while(search: Search, seconds: float) -> bool:
    """Sleep, and return whether the search is still there."""
    until = time.monotonic() + seconds
    while search.running and time.monotonic() < until:
        time.sleep(0.01)
    return search.running


def _fill(path: Path) -> None:
    """Write until there is no room left; unbuffered, so that no byte is left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass


@contextlib.contextmanager
def _cluster(log: Path) -> Iterator[tuple[str, Callable[[str], None]]]:
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nodes.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None

    def answer() -> str:
        for line in process.stdout:
            if line.startswith("nodes: "):
                return line.removeprefix("nodes: ").strip()
        raise RuntimeError(f"the cluster's process ended; see {log}")

    def command(word: str) -> None:
        process.stdin.write(f"{word}\n")
        process.stdin.flush()
        answer()

    family: list[psutil.Process] = []
    try:
        yield answer(), command
        family = psutil.Process(process.pid).children(recursive=True)
        process.stdin.close()
        process.wait(60)
    finally:
        process.kill()
        end(family, within_s=20)


def _mlflow_server(database: Path, port: int, root: Path) -> "subprocess.Popen[bytes]":
    words = ["--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(root / "artifacts")]
    with (root / "mlflow_server.log").open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *words, "--port", str(port), "--workers", "1"],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    given_up_at = time.monotonic() + 180
    while time.monotonic() < given_up_at:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server
        time.sleep(0.2)
    raise TimeoutError(f"no MLflow server; see {root / 'mlflow_server.log'}")


def _end_group(server: "subprocess.Popen[bytes]") -> None:
    """SIGKILL a server and its workers."""
    family = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
    server.kill()
    server.wait()
    end(family, within_s=0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
