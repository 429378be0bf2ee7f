"""The cores this process may use: fewer than the machine has where an affinity or a container's quota says so."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_PROC = Path("/proc/self")


def allowed_cores(*, proc: Path = _PROC) -> int:
    """The number of cores that affinity (``taskset``, cpusets) and cgroups (versions 1 and 2) allow, at least 1.

    Of a quota, whole cores count: a thread more than they run would only make all of them wait for each other.

    Args:
        proc: Where ``cgroup`` and ``mountinfo`` of the process are.
    """
    return max(1, min([len(os.sched_getaffinity(0)), *map(int, _quotas(proc))]))


def keep_to_allowed_cores() -> None:
    """Limit the thread pools of torch, BLAS and Arrow to the allowed cores; a smaller pool is left as it is.

    The libraries honour an affinity by themselves, but no quota.
    """
    import pyarrow as pa
    import torch
    from threadpoolctl import ThreadpoolController

    cores = allowed_cores()
    if torch.get_num_threads() > cores:
        torch.set_num_threads(cores)
    if pa.cpu_count() > cores:
        pa.set_cpu_count(cores)
    for pool in ThreadpoolController().lib_controllers:
        if (pool.num_threads or 0) > cores:
            pool.set_num_threads(cores)


def _quotas(proc: Path) -> Iterator[float]:
    """The cores of every quota on the way from the process's cgroup to the root, in either version of cgroups."""
    try:
        groups = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
        mounts = (proc / "mountinfo").read_text().splitlines()
    except OSError:  # no Linux, or a container without
        return
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        root, point = (_unescaped(word) for word in before.split()[3:5])
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            own, read = [path for number, _, path in groups if number == "0"], _quota_of_version_2
        elif kind == "cgroup" and "cpu" in options.split(","):
            own, read = [path for _, names, path in groups if "cpu" in names.split(",")], _quota_of_version_1
        else:
            continue
        for path in own:
            for folder in _folders(Path(point), root, path):
                if (quota := read(folder)) is not None:
                    yield quota


def _folders(point: Path, root: str, path: str) -> list[Path]:
    """A cgroup's folder and those above it, below a mount whose root is a cgroup too.

    In a container the path may be the host's, which is not mounted there: then the mount's root is the container's.
    """
    inside = PurePosixPath(path)
    if inside.is_relative_to(root):
        inside = inside.relative_to(root)
    folder = point / str(inside).lstrip("/")
    if ".." in inside.parts or not folder.is_dir():
        return [point]
    return [folder, *(above for above in folder.parents if above.is_relative_to(point))]


def _quota_of_version_1(folder: Path) -> float | None:
    try:
        quota, period = (int((folder / f"cpu.cfs_{what}_us").read_text()) for what in ("quota", "period"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None


def _quota_of_version_2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _unescaped(word: str) -> str:
    """A path as mountinfo writes it: spaces and similar characters are octal numbers."""
    return word.encode().decode("unicode_escape") if "\\" in word else word
