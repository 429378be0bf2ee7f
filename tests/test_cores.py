"""How many cores are allowed, by made-up cgroups of either version, and by real ones where root may make them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sceneshift import cores
from sceneshift.cores import allowed_cores, keep_to_allowed_cores

MOUNT = "31 23 0:28 {root} {point} rw,relatime - {kind} {kind} rw,{options}"


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def make_proc(tmp_path: Path, cgroup: str, *, kind: str, root: str = "/", options: str = "") -> tuple[Path, Path]:
    """Files of a process, and the folder where the cgroups are mounted."""
    point = tmp_path / "sys fs"
    point.mkdir()
    written = str(point).replace(" ", "\\040")
    (tmp_path / "cgroup").write_text(cgroup)
    (tmp_path / "mountinfo").write_text(
        f"22 27 0:21 / /proc rw - proc proc rw\n{MOUNT.format(root=root, point=written, kind=kind, options=options)}\n"
    )
    return tmp_path, point


def write_v1(folder: Path, quota: int, period: int = 100_000) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text(f"{period}\n")


def write_v2(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(f"{text}\n")


def test_without_cgroups_the_affinity_counts(tmp_path: Path) -> None:
    assert allowed_cores(proc=tmp_path) == 8


@pytest.mark.parametrize(
    ("quota", "allowed"), [(300_000, 3), (250_000, 2), (50_000, 1), (-1, 8), (0, 8), (1_600_000, 8)]
)
def test_a_quota_of_version_1(tmp_path: Path, quota: int, allowed: int) -> None:
    proc, point = make_proc(tmp_path, "2:cpuacct:/\n1:cpu,cpuacct:/docker/a\n", kind="cgroup", options="cpu,cpuacct")
    write_v1(point / "docker" / "a", quota)
    assert allowed_cores(proc=proc) == allowed


@pytest.mark.parametrize(
    ("text", "allowed"), [("200000 100000", 2), ("150000 100000", 1), ("max 100000", 8), ("20000 100000", 1), ("", 8)]
)
def test_a_quota_of_version_2(tmp_path: Path, text: str, allowed: int) -> None:
    proc, point = make_proc(tmp_path, "0::/user.slice/job\n", kind="cgroup2")
    write_v2(point / "user.slice" / "job", text)
    assert allowed_cores(proc=proc) == allowed


def test_the_scarcest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    proc, point = make_proc(tmp_path, "0::/slice/job/step\n", kind="cgroup2")
    write_v2(point / "slice", "300000 100000")
    write_v2(point / "slice" / "job", "500000 100000")
    write_v2(point / "slice" / "job" / "step", "max 100000")
    assert allowed_cores(proc=proc) == 3


def test_in_a_container_the_mount_s_root_is_the_container_s(tmp_path: Path) -> None:
    proc, point = make_proc(tmp_path, "0::/docker/abc\n", kind="cgroup2", root="/docker/abc")
    write_v2(point, "200000 100000")
    assert allowed_cores(proc=proc) == 2


def test_a_path_of_the_host_that_is_not_mounted_falls_back_to_the_mount(tmp_path: Path) -> None:
    proc, point = make_proc(tmp_path, "1:cpu:/kubepods/pod1/c\n", kind="cgroup", options="cpu")
    write_v1(point, 400_000)
    assert allowed_cores(proc=proc) == 4


def test_the_affinity_counts_where_it_allows_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc, point = make_proc(tmp_path, "0::/\n", kind="cgroup2")
    write_v2(point, "400000 100000")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5})
    assert allowed_cores(proc=proc) == 1


def test_larger_thread_pools_are_limited_and_smaller_ones_left(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    before = torch.get_num_threads(), pa.cpu_count()
    monkeypatch.setattr(cores, "allowed_cores", lambda: 2)
    try:
        torch.set_num_threads(4)
        pa.set_cpu_count(5)
        keep_to_allowed_cores()
        assert (torch.get_num_threads(), pa.cpu_count()) == (2, 2)
        torch.set_num_threads(1)
        keep_to_allowed_cores()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before[0])
        pa.set_cpu_count(before[1])


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup of version 1 with a quota of half a core."""
    folder = Path(f"/sys/fs/cgroup/cpu/sceneshift-test-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "cpu.cfs_quota_us").write_text("50000")
    except OSError:
        pytest.skip("needs root and cgroups of version 1 that may be written")
    yield folder
    folder.rmdir()


def test_a_process_in_a_real_group_sees_its_quota(cgroup: Path) -> None:
    program = (
        f"from pathlib import Path; Path('{cgroup}/tasks').write_text('0'); from sceneshift.cores import allowed_cores;"
        "print(allowed_cores())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("1", "")
