"""Training steps of both sides: seconds, memory."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from machine import memory_now, memory_peak, seconds_of, settle
from rows import Row
from sceneshift.training.cuda_graph_step import RecordedStep
from sides import NOISE_DIM, Batch, Shape, build_ours, build_plain, rounded_to

#: Name of the plain side, next to our precisions.
BASELINE = "baseline"

_WARM_UP_BATCH = 2


def step_of(side: str, shape: Shape, batch: Batch) -> Callable[[], object]:
    """A side's training step on a batch, with its own draws, as a call without arguments.

    Args:
        side: :data:`BASELINE`, or one of :func:`machine.step_precisions`.
        shape: Of network and patches.
        batch: Patches and labels.
    """
    device = batch.patches.device
    ours = build_ours(shape, device=device)
    if side == BASELINE:
        plain = build_plain(shape, ours)
        rng = np.random.default_rng(0)
        size = len(batch.labels)

        def plain_step() -> None:
            a, b = (torch.randn(3, size, NOISE_DIM, device=device) for _ in range(2))
            betas = float(rng.beta(0.6, 0.6)), float(rng.beta(0.6, 0.6))
            plain.training_step(batch.patches, batch.labels, noise=(a, b), betas=betas)

        return plain_step
    # As PatchSampler hands them over.
    patches = batch.patches.contiguous(memory_format=torch.channels_last)
    computing = partial(rounded_to, side, device)
    if device.type == "cuda":
        # As PairRun trains there. The first step of a shape is taken as usual, at the second it is recorded.
        recorded = RecordedStep(ours, computing)
        for _ in range(2):
            recorded(patches, batch.labels)
        return partial(recorded, patches, batch.labels)

    def our_step() -> None:
        with computing():
            ours.training_step(patches, batch.labels)

    return our_step


def time_in_turns(
    works: Mapping[str, Callable[[], object]], *, repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each work, run in turns; the first of several rounds warms up and is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            seconds[name].append(seconds_of(work, device))
    return {name: runs[1:] or runs for name, runs in seconds.items()}


def step_rows(
    shape: Shape,
    size: int,
    precisions: Sequence[str],
    *,
    device: torch.device,
    repeats: int,
    allocator: str,
    agreement: Mapping[str, Any],
    memory: Mapping[str, Mapping[str, int]],
) -> list[Row]:
    """One row per precision, the baseline in the same rounds.

    Args:
        shape: Of network and patches.
        size: B.
        precisions: Those of :func:`machine.step_precisions`.
        device: Where.
        repeats: Rounds, the first of them to warm up.
        allocator: Its name.
        agreement: What :func:`agreement.compare` found.
        memory: What :func:`step_memory` found, by side; empty where it was not measured.
    """
    batch = Batch.draw(shape, size, device=device)
    works = {side: step_of(side, shape, batch) for side in (BASELINE, *precisions)}
    seconds = time_in_turns(works, repeats=repeats, device=device)
    found = {name: value for name, value in agreement.items() if name not in ("equal", "rounded_losses")}
    return [
        Row(
            work=f"step b{size}",
            shape=shape,
            precision=precision,
            allocator=allocator,
            ours_runs_s=seconds[precision],
            baseline_runs_s=seconds[BASELINE],
            patches=size,
            # The others round by design: the losses' distance is reported, and not judged.
            equal=agreement["equal"] if precision == "fp32" else None,
            agreement=found if precision == "fp32" else {"distance of losses": agreement["rounded_losses"][precision]},
            ours_memory=memory.get(precision),
            baseline_memory=memory.get(BASELINE),
        )
        for precision in precisions
    ]


def step_memory(side: str, shape: Shape, size: int, *, device: torch.device, threads: int) -> dict[str, int]:
    """Highest memory over two steps; to be called in its own process.

    A step on two patches comes first, so that code compiled or loaded by the first step is not taken for its data.

    Returns:
        Bytes: ``peak`` of the whole process (on CUDA of torch's tensors), ``growth`` over its memory before.
    """
    settle(threads)
    batch = Batch.draw(shape, size, device=device)
    step_of(side, shape, Batch.draw(shape, _WARM_UP_BATCH, device=device))()
    step = step_of(side, shape, batch)
    before = memory_now(device)
    for _ in range(2):
        step()
    peak = memory_peak(device)
    return {"peak": peak, "growth": peak - before}
