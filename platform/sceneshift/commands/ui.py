"""MLflow's pages for the studies of a folder, opened on the newest study. Heavy imports wait until they are served."""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sceneshift.commands.command_line import read_arguments
from sceneshift.commands.examples import EXAMPLES
from sceneshift.errors import InvalidInputError, MissingDataError, SceneshiftError

if TYPE_CHECKING:
    from sceneshift.tracking.backend import TrackingBackend

#: Seconds between two looks at whether the server answers.
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class UiArgs:
    """Serve MLflow's pages for the studies of a folder, and open the newest study's."""

    storage_path: str = "results"
    """Directory of the studies, with their mlflow.db; not used if MLFLOW_TRACKING_URI names another store."""

    host: str = "127.0.0.1"
    """Address to serve on; docs/mlflow.md explains how to give others access, with a password."""

    port: int = 5000
    """Port to serve on."""

    browser: Literal["auto", "no"] = "auto"
    """Open the newest study's page in a browser; auto: if this terminal has a display."""

    def __post_init__(self) -> None:
        """Reject a port that is none.

        Raises:
            InvalidInputError: Naming the flag.
        """
        if not 0 < self.port < 65536:
            raise InvalidInputError(f"--port {self.port}: expected 1 to 65535.")


def how_to_open(backend: "TrackingBackend", storage: Path) -> str:
    """The command that serves MLflow's pages of a store, to be pasted; of a server its address.

    Args:
        backend: The store.
        storage: The directory of the studies.
    """
    if backend.is_server:
        return f"(the MLflow server at {backend.shown} is the UI)"
    own = Path(sys.executable).with_name("sceneshift")  # beside an interpreter whose environment isn't activated
    found = shutil.which("sceneshift")
    command = str(own) if own.exists() and found != str(own) else "sceneshift"
    return shlex.join([command, "ui", "--storage-path", str(storage)])


def read_ui_command_line() -> UiArgs:
    """Read the command line; prints help or errors and exits if necessary."""
    return read_arguments(UiArgs, EXAMPLES["ui"].description())


def run_ui(arguments: UiArgs) -> int:
    """Serve until interrupted; returns the exit status."""
    try:
        return serve(arguments)
    except SceneshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def serve(arguments: UiArgs) -> int:
    """Serve MLflow's pages and print the newest study's.

    Raises:
        MissingDataError: There is no study.
        InvalidInputError: The port is taken.
        SceneshiftError: The store can't be read.
    """
    from sceneshift.search.prepared import local_root
    from sceneshift.tracking.backend import TrackingBackend

    backend = TrackingBackend.resolve(local_root(arguments.storage_path))
    if backend.is_server:
        print(f"MLFLOW_TRACKING_URI is a server's address; its pages are at {backend.shown}")
        return 0
    if backend.database is not None and not backend.database.is_file():
        raise MissingDataError(f"there is no {backend.database}; run a search first, or give --storage-path.")
    if _answers(arguments.host, arguments.port):
        raise InvalidInputError(
            f"something is served on {arguments.host}:{arguments.port} already; stop it, or give another --port."
        )
    # Paths of a folder that was moved are put right here, before the server reads them.
    page = newest_page(backend)
    # The address of a database may have its password in it: not for the list of processes.
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": backend.uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    where = ["--host", arguments.host, "--port", str(arguments.port)]
    # A process group of its own, so that all of the server's processes end with this one, also on SIGTERM.
    server = subprocess.Popen([sys.executable, "-m", "mlflow", "ui", *where], env=environment, start_new_session=True)
    # SIGINT too: a shell starts what it runs in the background with that ignored.
    before = {each: signal.signal(each, signal.default_int_handler) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        while server.poll() is None and not _answers(arguments.host, arguments.port):
            time.sleep(_POLL_S)
        if server.poll() is None:
            address = f"http://{arguments.host}:{arguments.port}/{page}"
            print(f"\nThe newest study  {address}\nCtrl-C ends it.", flush=True)
            if arguments.browser == "auto" and _has_display():
                webbrowser.open(address)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        for each, handler in before.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
        if server.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def newest_page(backend: "TrackingBackend") -> str:
    """The page of the newest study or training, below the UI's address; empty if there is none."""
    from sceneshift.tracking.backend import run_page

    client = backend.connect(reads_only=True)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    for query in ("tags.`sceneshift.study` = 'parent'", ""):
        if found := client.search_runs(experiments, query, max_results=1, order_by=["attributes.start_time DESC"]):
            return run_page(str(found[0].info.experiment_id), str(found[0].info.run_id))
    return ""


def _answers(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1" if host == "0.0.0.0" else host, port)) == 0


def _has_display() -> bool:
    if not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
