"""How cost grows: a training step with bands, patch and batch, and classifying a scene with its pixels.

    make bench-scaling
    make bench-scaling ARGS="--max-seconds 600"

Steps are this package's, in float32 and, where the hardware has it, in bfloat16, one size varied at a time; rounds go
over all sizes, so that a change of the machine meets all of them. Scenes are synthetic, of 25 bands, and a scene is
left out, with the reason, where memory would not do or where what the smaller ones took promises too many seconds.
Slopes are those of a line through the points in log-log: 0 means independent of the size, 1 proportional to it.
"""

import gc
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import torch
import tyro
from numpy.typing import NDArray

from machine import (
    DeviceName,
    environment,
    print_environment,
    report_progress,
    resolve_device,
    seconds_of,
    settle,
    step_precisions,
)
from scene_rows import SAME_CLASS
from sceneshift.execution.cluster import ALLOCATOR
from sceneshift.networks.discriminator import Discriminator
from sceneshift.training.evaluation import map_scene
from sides import Batch, Shape
from step_rows import step_of, time_in_turns

BASE, BASE_BATCH = Shape(bands=100, patch=7, classes=5, width=64, channels=16), 64
BANDS = (25, 50, 100, 200, 250)
PATCHES = (5, 7, 9, 11, 13, 15)
BATCHES = (32, 64, 128, 256, 512)

SCENE = Shape(bands=25, patch=7, classes=5, width=32)
SCENES = ((100, 100), (250, 400), (1000, 1000), (2500, 4000))

#: Memory that mapping a scene takes, as a multiple of its cube's: the cube, and the cube with its borders continued.
_CUBES_HELD = 2.5
_TILES_BYTES = 2**30


@dataclass(frozen=True, kw_only=True)
class Args:
    """How long and how often."""

    repeats: int = 5
    """Rounds over the steps, and runs of a small scene; the first of several warms up and is left out."""

    max_seconds: float = 120
    """Seconds for a scene size and precision: only repeats that fit are made; a scene that exceeds it is left out."""

    threads: int | None = None
    """Threads of torch; by default as many as it takes by itself."""

    device: DeviceName = "auto"
    """Where it runs."""

    json: Path = Path(__file__).parent / "scaling.json"
    """Where everything is written; the picture is next to it, as .png."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One size of one sweep."""

    sweep: str
    size: int
    precision: str
    seconds: float | None
    """Median; of a step, or of a whole scene."""

    per: int
    """Patches in a step; 1 for a scene."""

    runs: int = 0
    why_not: str = ""

    @property
    def cost(self) -> float | None:
        """Seconds per patch of a step, or seconds of a scene."""
        return None if self.seconds is None else self.seconds / self.per


def step_points(precisions: Sequence[str], *, repeats: int, device: torch.device) -> list[Point]:
    """Seconds of a step along the three sweeps."""
    sweeps = {
        "bands": [(size, replace(BASE, bands=size), BASE_BATCH) for size in BANDS],
        "patch": [(size, replace(BASE, patch=size), BASE_BATCH) for size in PATCHES],
        "batch": [(size, BASE, size) for size in BATCHES],
    }
    # Sweeps meet in the base shape, which is measured once.
    distinct = {(shape, batch) for points in sweeps.values() for _, shape, batch in points}
    works = {}
    for shape, batch in sorted(distinct, key=str):
        drawn = Batch.draw(shape, batch, device=device)
        works |= {(shape, batch, precision): step_of(precision, shape, drawn) for precision in precisions}
    seconds = time_in_turns(works, repeats=repeats, device=device)
    return [
        Point(
            sweep=sweep,
            size=size,
            precision=precision,
            seconds=median(seconds[shape, batch, precision]),
            per=batch,
            runs=len(seconds[shape, batch, precision]),
        )
        for sweep, points in sweeps.items()
        for precision in precisions
        for size, shape, batch in points
    ]


def scene_points(precisions: Sequence[str], *, repeats: int, max_seconds: float, device: torch.device) -> list[Point]:
    """Seconds of whole scenes, as many as memory and time allow."""
    torch.manual_seed(0)
    network = Discriminator(SCENE.bands, SCENE.classes, patch_size=SCENE.patch, width=SCENE.width).to(device).eval()
    points: list[Point] = []
    per_pixel = dict.fromkeys(precisions, 0.0)
    for height, width in SCENES:
        pixels = height * width
        why_not = {p: _beyond(pixels, per_pixel[p], max_seconds) for p in precisions}
        cube = None if all(why_not.values()) else synthetic_cube(height, width)
        for precision in precisions:
            point = Point(sweep="pixels", size=pixels, precision=precision, seconds=None, per=1)
            if why_not[precision]:
                points.append(replace(point, why_not=why_not[precision]))
                continue
            report_progress(f"scene of {pixels} pixels, {precision}")
            dtype = torch.bfloat16 if precision == "bf16" else None
            run = partial(map_scene, network, cube, patch_size=SCENE.patch, device=device, precision=dtype)
            expected = pixels * per_pixel[precision]
            if not expected:
                run()  # warms up
            fitting = repeats if not expected else max(1, min(repeats, int(max_seconds / expected)))
            runs = [seconds_of(run, device) for _ in range(fitting)]
            per_pixel[precision] = median(runs) / pixels
            points.append(replace(point, seconds=median(runs), runs=len(runs)))
        del cube
        gc.collect()
    return points


def synthetic_cube(height: int, width: int) -> NDArray[np.float32]:
    """Random spectra of unit length, made in place."""
    cube = np.random.default_rng(0).random((height, width, SCENE.bands), dtype=np.float32)
    cube += 0.1
    for row in cube:
        row /= np.linalg.norm(row, axis=-1, keepdims=True)
    return cube


def slope_of(points: Sequence[Point]) -> float | None:
    """Slope of the line through the points in log-log; None for fewer than two."""
    measured = [(point.size, point.cost) for point in points if point.cost is not None]
    if len(measured) < 2:
        return None
    x, y = np.log(np.array(measured)).T
    return float(np.polyfit(x, y, 1)[0])


def main(args: Args) -> None:
    """Measure, print, write."""
    device = resolve_device(args.device)
    facts = environment(device, args.threads)
    settle(facts["threads"])
    facts |= {"allocator": ALLOCATOR, "repeats": args.repeats, "max_seconds": args.max_seconds}
    print_environment(facts)
    precisions = step_precisions(device)
    report_progress("training steps")
    points = step_points(precisions, repeats=args.repeats, device=device)
    points += scene_points(
        [p for p in precisions if p in SAME_CLASS], repeats=args.repeats, max_seconds=args.max_seconds, device=device
    )
    slopes: dict[str, dict[str, float | None]] = {}
    fixed = (f"{BASE}, batch {BASE_BATCH}", f"{SCENE.bands} bands, patch {SCENE.patch}, d {SCENE.width}")
    for sweep in dict.fromkeys(point.sweep for point in points):
        slopes[sweep] = {}
        unit, factor = ("s a scene", 1.0) if sweep == "pixels" else ("ms a patch", 1e3)
        print(f"\n**{sweep}** ({fixed[sweep == 'pixels']} otherwise)\n")
        print(f"| {sweep} | precision | {unit} | runs |\n|---|---|---|---|")
        for precision in dict.fromkeys(point.precision for point in points if point.sweep == sweep):
            line = [point for point in points if (point.sweep, point.precision) == (sweep, precision)]
            slopes[sweep][precision] = slope_of(line)
            for point in line:
                cost = point.why_not if point.cost is None else f"{factor * point.cost:.4g}"
                print(f"| {point.size} | {precision} | {cost} | {point.runs} |")
        words = (f"{p} {'–' if slope is None else f'{slope:.2f}'}" for p, slope in slopes[sweep].items())
        print(f"\nslope: {', '.join(words)}")
    write(args.json, facts, points, slopes)


def write(
    path: Path, facts: dict[str, Any], points: Sequence[Point], slopes: dict[str, dict[str, float | None]]
) -> None:
    """Write the file, and the picture next to it."""
    # Here, because it is slow to load.
    from pictures import draw_scaling

    content = {
        "environment": facts,
        "base": {"step": {**vars(BASE), "batch": BASE_BATCH}, "scene": vars(SCENE)},
        "slopes": slopes,
        "points": [{**vars(point), "cost_s": point.cost} for point in points],
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    labels = {"bands": "bands", "patch": "patch size (side, pixels)", "batch": "batch size", "pixels": "pixels"}
    panels = {}
    for sweep, by_precision in slopes.items():
        lines = {}
        factor = 1 if sweep == "pixels" else 1e3
        for precision, slope in by_precision.items():
            line = [p for p in points if (p.sweep, p.precision) == (sweep, precision) and p.cost is not None]
            lines[precision] = ([p.size for p in line], [factor * p.cost for p in line], slope)
        panels[labels[sweep]] = (
            "seconds a scene" if sweep == "pixels" else "ms a patch of a training step",
            lines,
        )
    where = facts.get("gpu") or f"{facts['cpu']}, threads: {facts['threads']}"
    draw_scaling(path.with_suffix(".png"), panels, title=f"How cost grows: {where}")
    print(f"\nwritten: {path}, {path.with_suffix('.png')}")


def _beyond(pixels: int, per_pixel: float, max_seconds: float) -> str:
    """Why a scene is not classified; empty where it is."""
    needed = int(_CUBES_HELD * 4 * SCENE.bands * pixels) + _TILES_BYTES
    free = psutil.virtual_memory().available
    if needed > free:
        return f"left out: needs about {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} are free"
    if pixels * per_pixel > max_seconds:
        return f"left out: about {pixels * per_pixel:.0f} s expected, --max-seconds is {max_seconds:g}"
    return ""


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        # Read by glibc before Python starts: the allocator that trials have.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})
    main(tyro.cli(Args, description=__doc__))
