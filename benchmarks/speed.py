"""S2AMSnet against the plain one: the same work side by side, in turns in one process.

    make bench
    make bench ARGS="--bands 103 --patch 11 --batch 64"

Ours is measured against benchmarks/plain_s2amsnet.py, which is contiguous float32 throughout: training steps (ours in
float32, and with autocast to bfloat16 where the hardware has it; on CUDA also with TF32, and replayed as in a
training), every pixel of Indian Pines' east classified by a network trained for a moment on the west, and augmented
batches made ready for a step. The table gives medians, and whether both sides computed the same (agreement.py,
scene_rows.py). glibc reads its allocator's settings when a process starts, so everything is measured in one process
with the settings trials run with, then in one with glibc's own; the memory of a step in one process per side.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
import tyro

from agreement import compare
from machine import (
    ALLOCATORS,
    DeviceName,
    environment,
    in_fresh_process,
    print_environment,
    report_progress,
    resolve_device,
    settle,
    step_precisions,
)
from rows import Row, table
from scene_rows import SAME_CLASS, patch_row, scene_rows, trained_weights
from sides import Shape
from step_rows import BASELINE, step_memory, step_rows

#: The paper's network, and the shape a laptop searches with.
MAIN, MAIN_BATCHES = Shape(), (64, 256)
LAPTOP, LAPTOP_BATCHES = Shape(bands=200, patch=7, classes=5, width=64, channels=16), (128,)

#: The one allocator of a CUDA device.
CUDA_ALLOCATOR = "torch's on CUDA"

#: What the plain network's step in float64 needs, as a multiple of its memory in float32.
_DOUBLE = 2.3


@dataclass(frozen=True, kw_only=True)
class Args:
    """What is measured; with any of the shape's six flags that shape alone, by default the paper's and the laptop's."""

    bands: int | None = None
    """C; bands of the scene rows are evenly taken from Indian Pines' 200."""

    patch: int | None = None
    """P, odd, 5 or more."""

    batch: int | None = None
    """B; by default 64 and 256."""

    classes: int | None = None
    """K of the steps; the scene has its own five."""

    width: int | None = None
    """d, width of the discriminator."""

    channels: int | None = None
    """ch, width of the generators."""

    threads: int | None = None
    """Threads of torch; by default as many as it takes by itself."""

    repeats: int = 5
    """Rounds; the first of several warms up and is left out."""

    seconds_of_training: float = 30
    """Training of the network that classifies the scene."""

    device: DeviceName = "auto"
    """Where both sides run."""

    json: Path = Path(__file__).parent / "latest.json"
    """Where environment and rows are written; the picture is next to it, as .png."""

    def shapes(self) -> list[tuple[Shape, tuple[int, ...]]]:
        """Each shape with its batches."""
        names = ("bands", "patch", "classes", "width", "channels")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if not given and self.batch is None:
            return [(MAIN, MAIN_BATCHES), (LAPTOP, LAPTOP_BATCHES)]
        return [(Shape(**given), MAIN_BATCHES if self.batch is None else (self.batch,))]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What is found once for a shape and does not depend on the allocator."""

    shape: Shape
    batches: tuple[int, ...]
    agreement: Mapping[int, Mapping[str, Any]]
    weights: Mapping[str, torch.Tensor]


def measure(
    prepared: Prepared,
    memory: Mapping[str, Mapping[str, int]],
    precisions: tuple[str, ...],
    *,
    device: torch.device,
    threads: int,
    repeats: int,
    allocator: str,
) -> list[Row]:
    """All rows of one shape in this process; `memory` is of its largest batch."""
    settle(threads)
    shape = prepared.shape
    common = {"device": device, "repeats": repeats, "allocator": allocator}
    steps = {
        size: step_rows(
            shape,
            size,
            precisions,
            agreement=prepared.agreement[size],
            memory=memory if size == max(prepared.batches) else {},
            **common,
        )
        for size in prepared.batches
    }
    scene = scene_rows(shape, prepared.weights, [p for p in precisions if p in SAME_CLASS], **common)
    ready = [patch_row(shape, size, rows[0], **common) for size, rows in steps.items()]
    return [*(row for rows in steps.values() for row in rows), *scene, *ready]


def main(args: Args) -> None:
    """Measure in child processes, print, write."""
    device = resolve_device(args.device)
    facts = environment(device, args.threads)
    threads = facts["threads"]
    precisions = step_precisions(device)
    allocators = ALLOCATORS if device.type == "cpu" else {CUDA_ALLOCATOR: {}}
    facts |= {"allocators": allocators, "repeats": args.repeats, "seconds_of_training": args.seconds_of_training}
    print_environment(facts)
    rows: list[Row] = []
    for shape, batches in args.shapes():
        report_progress(f"{shape}: memory of a step")
        memory = {
            name: {
                side: in_fresh_process(settings, step_memory, side, shape, max(batches), device=device, threads=threads)
                for side in (BASELINE, *precisions)
            }
            for name, settings in allocators.items()
        }
        name, settings = next(iter(allocators.items()))
        agreement = {}
        for size in batches:
            report_progress(f"{shape}: agreement at batch {size}")
            needed = _DOUBLE * memory[name][BASELINE]["peak"] * size / max(batches)
            agreement[size] = in_fresh_process(
                settings,
                compare,
                shape,
                size,
                device=device,
                threads=threads,
                truth=needed < available(device),
                rounded=precisions[1:],
            )
        report_progress(f"{shape}: {args.seconds_of_training:g} s of training")
        weights = in_fresh_process(
            settings, trained_weights, shape, seconds=args.seconds_of_training, device=device, threads=threads
        )
        prepared = Prepared(shape=shape, batches=batches, agreement=agreement, weights=weights)
        for name, settings in allocators.items():
            report_progress(f"{shape}: both sides in turns, allocator {name}")
            measured = in_fresh_process(
                settings,
                measure,
                prepared,
                memory[name],
                precisions,
                device=device,
                threads=threads,
                repeats=args.repeats,
                allocator=name,
            )
            print(f"\n{table(measured)}", flush=True)
            rows += measured
    write(args.json, facts, rows)
    if any(row.equal is False for row in rows):
        sys.exit("a row is not equal to its baseline")


def available(device: torch.device) -> int:
    """Bytes of memory that are free on the device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def write(path: Path, facts: Mapping[str, Any], rows: list[Row]) -> None:
    """Write the file, and the picture next to it."""
    # Here, because it is slow to load and every child process would.
    from pictures import draw_ratios

    path.write_text(json.dumps({"environment": facts, "rows": [row.as_json() for row in rows]}, indent=2) + "\n")
    where = facts.get("gpu") or f"{facts['cpu']}, threads: {facts['threads']}"
    draw_ratios(path.with_suffix(".png"), rows, title=f"S2AMSnet: sceneshift against plain PyTorch\n{where}")
    print(f"\nwritten: {path}, {path.with_suffix('.png')}")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
