"""What the benchmarks know of the machine: its description, a clock, memory, and fresh processes.

glibc reads its allocator's settings when a process starts, and a process's highest memory can't be lowered again: what
depends on either is measured in its own process.
"""

import contextlib
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import numba
import numpy as np
import torch

import sceneshift
from sceneshift.execution.cluster import ALLOCATOR

P = ParamSpec("P")
T = TypeVar("T")

DeviceName = Literal["auto", "cpu", "cuda"]

#: Settings of the memory allocator that are compared on a CPU: those trials run with, and glibc's own.
ALLOCATORS = {"as in trials": ALLOCATOR, "glibc's default": {}}

_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # the last is Arm's


def resolve_device(name: DeviceName) -> torch.device:
    """The device meant by a flag.

    Raises:
        SystemExit: CUDA is asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda, but torch sees no CUDA device; use --device cpu")
    return torch.device(name)


def settle(threads: int) -> None:
    """Settings of a process that measures: torch's threads, and on CUDA no TF32 where float32 is asked for."""
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16, rather than torch emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(_BF16_FLAGS & set(_cpuinfo("flags", "Features").split()))


def step_precisions(device: torch.device) -> tuple[str, ...]:
    """The precisions in which our steps are timed."""
    return ("fp32", *(["tf32"] if device.type == "cuda" else []), *(["bf16"] if has_bf16(device) else []))


def environment(device: torch.device, threads: int | None) -> dict[str, Any]:
    """Versions and hardware, for the head of a table."""
    facts: dict[str, Any] = {
        "sceneshift": sceneshift.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": numba.__version__,
        "numpy": np.__version__,
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads or torch.get_num_threads(),
        "bf16_instructions": has_bf16(device),
        "device": device.type,
    }
    if device.type == "cuda":
        facts |= {
            "gpu": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "tf32": False,
        }
    return facts


def print_environment(facts: dict[str, Any]) -> None:
    """Print one line per fact."""
    print("\n".join(f"- {name.replace('_', ' ')}: {value}" for name, value in facts.items()), flush=True)


def report_progress(words: str) -> None:
    """Progress, kept out of the table."""
    print(words, file=sys.stderr, flush=True)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of some work, the device idle before and after."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory_now(device: torch.device) -> int:
    """This process's memory in bytes, on the device."""
    if device.type == "cuda":
        synchronize(device)
        return torch.cuda.memory_allocated(device)
    return _status("VmRSS") or memory_peak(device)


def memory_peak(device: torch.device) -> int:
    """This process's peak memory in bytes, on the device."""
    if device.type == "cuda":
        synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    # ru_maxrss of a child starts at its parent's memory when it was started; VmHWM does not.
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_fresh_process(settings: dict[str, str], function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a new Python process started with these allocator settings and no others."""
    with (
        _allocator(settings),
        ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        return pool.submit(function, *args, **kwargs).result()


@contextlib.contextmanager
def _allocator(settings: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.pop(name, None) for name in ALLOCATOR}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _cpuinfo(*names: str) -> str:
    """The first line of /proc/cpuinfo with one of these names; empty where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in names:
                return value.strip()
    return ""


def _status(name: str) -> int:
    """Bytes of a line of /proc/self/status; 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
