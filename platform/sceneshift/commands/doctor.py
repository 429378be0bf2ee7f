"""What of this machine is fit for sceneshift, in a line each. Imports nothing heavy until its lines are made."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from sceneshift import __version__
from sceneshift.commands.command_line import read_arguments
from sceneshift.commands.examples import EXAMPLES
from sceneshift.errors import SceneshiftError, first_line

_GIB = 2**30

#: Bytes of memory and of free disk below which a laptop search does not run through.
_LEAST_MEMORY, _LEAST_DISK = 4 * _GIB, _GIB

#: Bytes of shared memory below which Ray keeps objects on disk, which is slow.
_LEAST_SHARED = _GIB // 4

#: Optional packages by the extra that installs them.
_EXTRAS = {"geo": "rasterio", "dashboard": "optuna-dashboard", "cluster": "boto3"}


@dataclass(frozen=True, kw_only=True)
class DoctorArgs:
    """Say what of this machine is fit for sceneshift."""

    storage_path: str = "results"
    """Directory of the studies."""

    data_dir: str | None = None
    """Folder with the scenes' files, directly or in subfolders named after them. Default: SCENESHIFT_DATA."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A line.

    Args:
        topic: What it is about.
        text: What was found.
        advice: What to do; empty if nothing needs to be done.
        is_unfit: Whether searches don't run through as it is.
    """

    topic: str
    text: str
    advice: str = ""
    is_unfit: bool = False

    def line(self) -> str:
        """The line as printed."""
        mark = "unfit" if self.is_unfit else "note" if self.advice else "ok"
        return f"{mark:<6}{self.topic:<11}{self.text}{'; ' if self.advice else ''}{self.advice}"


def read_doctor_command_line() -> DoctorArgs:
    """Read the command line; prints help or errors and exits if necessary."""
    return read_arguments(DoctorArgs, EXAMPLES["doctor"].description())


def run_doctor(arguments: DoctorArgs) -> int:
    """Print the findings; returns 1 if something is unfit, else 0."""
    findings = list(examine(arguments))
    print("\n".join(finding.line() for finding in findings))
    return int(any(finding.is_unfit for finding in findings))


def examine(arguments: DoctorArgs) -> Iterator[Finding]:
    """What is found, a topic after the other."""
    storage = Path(arguments.storage_path).expanduser().absolute()
    topics: dict[str, Callable[[], Finding]] = {
        "versions": _versions,
        "cores": _cores,
        "memory": _memory,
        "gpu": _gpu,
        "storage": lambda: _storage(storage),
        "folders": _folders,
        "ray": _ray,
        "mlflow": lambda: _mlflow(storage),
        "scenes": lambda: _scenes(arguments.data_dir),
        "extras": _extras,
    }
    for topic, find in topics.items():
        try:
            yield find()
        except SceneshiftError as error:
            yield Finding(topic=topic, text=first_line(error), is_unfit=True)


def _versions() -> Finding:
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "ray", "optuna", "mlflow"))
    system = f"{platform.system()} {platform.machine()}"
    return Finding(
        topic="versions",
        text=f"sceneshift {__version__}, Python {platform.python_version()}, {packages}, {system}",
        advice="" if sys.platform == "linux" else "sceneshift is tested on Linux alone",
    )


def _cores() -> Finding:
    from sceneshift.cores import allowed_cores

    allowed, present = allowed_cores(), os.cpu_count() or 1
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        vectors = ", with AVX-512" if "avx512f" in flags else ", without AVX-512: training is slower"
    except OSError:
        vectors = ""
    of = "" if allowed == present else f" of {present}, by affinity or cgroup"
    return Finding(topic="cores", text=f"{allowed}{of}{vectors}")


def _memory() -> Finding:
    import psutil

    memory, shared = psutil.virtual_memory(), Path("/dev/shm")
    room = shutil.disk_usage(shared).total if shared.is_dir() else None
    text = f"{memory.available / _GIB:.1f} GiB available of {memory.total / _GIB:.1f}"
    if memory.available < _LEAST_MEMORY:
        return Finding(
            topic="memory", text=text, advice=f"a search needs about {_LEAST_MEMORY / _GIB:.0f}", is_unfit=True
        )
    few = room is not None and room < _LEAST_SHARED
    return Finding(
        topic="memory",
        text=text,
        advice=f"/dev/shm has {(room or 0) / 2**20:.0f} MiB: in Docker, give --shm-size=2g" if few else "",
    )


def _gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding(topic="gpu", text=f"none that torch {torch.__version__} can use: everything runs on the CPU")
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return Finding(topic="gpu", text=f"{', '.join(names)} (CUDA {torch.version.cuda})")


def _storage(storage: Path) -> Finding:
    there = next(folder for folder in (storage, *storage.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        return Finding(
            topic="storage",
            text=f"{storage} can't be written",
            advice="go to another folder, or give --storage-path",
            is_unfit=True,
        )
    return Finding(
        topic="storage",
        text=f"{storage}, {free / _GIB:.1f} GiB free",
        advice=f"a study needs up to {_LEAST_DISK / _GIB:.0f}" if free < _LEAST_DISK else "",
        is_unfit=free < _LEAST_DISK,
    )


def _folders() -> Finding:
    from sceneshift.own_folders import ensure_home, is_usable, private_folder, temporary_folder

    temporary, named = temporary_folder(), os.path.expanduser("~")
    ensure_home()
    home = Path(os.environ["HOME"])
    caches = f"home {home}" if is_usable(home, room=0) else f"caches in {private_folder()}"
    return Finding(
        topic="folders",
        text=f"temporary files in {temporary}, {caches}",
        advice="" if str(home) == named else f"{named} can't be used as home",
    )


def _ray() -> Finding:
    from sceneshift.execution.cluster import apply_ray_settings, resolved_ray_address

    apply_ray_settings()
    return Finding(topic="ray", text=resolved_ray_address())


def _mlflow(storage: Path) -> Finding:
    from sceneshift.tracking.backend import TrackingBackend

    return Finding(topic="mlflow", text=TrackingBackend.resolve(storage).shown)


def _scenes(data_dir: str | None) -> Finding:
    from sceneshift.catalogue.builtin import SCENES
    from sceneshift.catalogue.data_folder import data_folder, find_form
    from sceneshift.errors import MissingDataError

    folder = data_folder(data_dir)
    if folder is None:
        return Finding(topic="scenes", text="Indian Pines is embedded; SCENESHIFT_DATA names no folder with others")
    if not folder.is_dir():
        return Finding(topic="scenes", text=f"{folder} is not a folder", advice="set SCENESHIFT_DATA", is_unfit=True)
    found = []
    for name, entry in SCENES.items():
        try:
            find_form(name, entry.forms, data_dir)
        except MissingDataError:
            continue
        found.append(name)
    return Finding(
        topic="scenes", text=f"embedded, and in {folder}: {', '.join(found) or 'none that is known by name'}"
    )


def _extras() -> Finding:
    installed = {name for name, package in _EXTRAS.items() if _is_installed(package)}
    missing = [name for name in _EXTRAS if name not in installed]
    text = f"installed: {', '.join(sorted(installed)) or 'none'}"
    return Finding(topic="extras", text=text + (f"; not installed: {', '.join(missing)}" if missing else ""))


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
