"""Every pixel of a scene classified, and patches made ready for training: both sides on Indian Pines.

Shape letters: B batch, C bands, P patch, K classes.
"""

import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from machine import settle
from plain_s2amsnet import Discriminator as PlainDiscriminator
from plain_s2amsnet import PatchDataset
from rows import Row
from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.methods.augmentations import Draws
from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.methods.s2amsnet import S2AMSnetConfig
from sceneshift.networks.discriminator import Discriminator
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.patches import PatchSampler
from sceneshift.training.evaluation import map_scene, predict_pixels
from sides import Shape, copy_weights
from step_rows import time_in_turns

#: Share of pixels that must get the class they get patch by patch in float32.
SAME_CLASS = {"fp32": 0.9999, "bf16": 0.995}

_PAIR = "west-east"
_TRAINING_BATCH = 64
#: The plain side's patches at once, and how many of the scene's it is timed on: enough to fill the device.
_BATCH = {"cpu": 64, "cuda": 1024}
_TIMED = {"cpu": 512, "cuda": 8192}
_BATCHES_TIMED = 10
_DTYPES = {"fp32": None, "bf16": torch.bfloat16}


def cubes(shape: Shape) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], int]:
    """West and east with so many bands, evenly taken from the 200, the west's labels, and K."""
    pair = load_pair(NamedPair(name=_PAIR))
    chosen = np.linspace(0, pair.source.num_bands - 1, shape.bands).astype(int)
    west, east = (scene.cube[..., chosen] for scene in (pair.source, pair.target))
    normalization = Normalization.fit("l2-per-pixel", west)
    west, east = normalization.apply(west), normalization.apply(east)
    return west, east, pair.source.labels, pair.source.num_classes


def trained_weights(shape: Shape, *, seconds: float, device: torch.device, threads: int) -> dict[str, Tensor]:
    """State of a discriminator trained on the west for some seconds by cross-entropy, on the CPU.

    Rounding can only be judged on a trained network: an untrained one nearly ties everywhere.
    """
    settle(threads)
    cube, _, label_map, classes = cubes(shape)
    west = PatchSampler(cube, patch_size=shape.patch, device=device)
    labels = torch.from_numpy(label_map.flatten()).to(device)
    pixels = torch.nonzero(labels).squeeze(1)
    torch.manual_seed(0)
    network = Discriminator(shape.bands, classes, patch_size=shape.patch, width=shape.width).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def drawn() -> Tensor:
        return pixels[torch.randint(len(pixels), (_TRAINING_BATCH,)).to(device)]

    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        batch = drawn()
        loss = functional.cross_entropy(network(west.patches(batch)), labels[batch] - 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    calibrate_batch_norm(network, [west.patches(drawn()) for _ in range(20)])
    return {name: value.cpu() for name, value in network.state_dict().items()}


def scene_rows(
    shape: Shape,
    weights: Mapping[str, Tensor],
    precisions: Sequence[str],
    *,
    device: torch.device,
    repeats: int,
    allocator: str,
) -> list[Row]:
    """All pixels of the east: :func:`map_scene` against the plain discriminator, patch by patch.

    The plain side is timed on some of the patches, in the same turns, and its seconds scaled to all.
    """
    _, cube, _, classes = cubes(shape)
    ours = Discriminator(shape.bands, classes, patch_size=shape.patch, width=shape.width)
    ours.load_state_dict(weights)
    ours.to(device).eval()
    plain = PlainDiscriminator(shape.bands, classes, patch_size=shape.patch, width=shape.width).to(device).eval()
    copy_weights(ours, plain)
    radius = shape.patch // 2
    padded = np.pad(cube, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    windows = sliding_window_view(padded, (shape.patch, shape.patch), axis=(0, 1))
    pixels = np.arange(cube.shape[0] * cube.shape[1])
    few = pixels[:: max(1, len(pixels) // _TIMED[device.type])]

    @torch.inference_mode()
    def plain_classes() -> NDArray[np.int64]:
        predicted = []
        for start in range(0, len(few), _BATCH[device.type]):
            rows, columns = np.divmod(few[start : start + _BATCH[device.type]], cube.shape[1])
            patches = torch.from_numpy(np.ascontiguousarray(windows[rows, columns])).to(device)
            predicted.append(plain(patches).argmax(dim=1).cpu().numpy())
        return np.concatenate(predicted)

    def our_classes(precision: str) -> NDArray[np.int64]:
        return map_scene(ours, cube, patch_size=shape.patch, device=device, precision=_DTYPES[precision]).ravel() - 1

    sampler = PatchSampler(cube, patch_size=shape.patch, device=device)
    by_patch, by_plain = predict_pixels(ours, sampler, pixels), plain_classes()
    found: dict[str, dict[str, float]] = {}
    for precision in precisions:
        over_scene = our_classes(precision)
        found[precision] = {
            "same class as our discriminator patch by patch": float(np.mean(over_scene == by_patch)),
            "same class as the baseline on its patches": float(np.mean(over_scene[few] == by_plain)),
            "pixels": len(pixels),
            "baseline's patches": len(few),
            "classes predicted": len(np.unique(by_patch)),
        }
    works = {"baseline": plain_classes} | {p: lambda p=p: our_classes(p) for p in precisions}
    seconds = time_in_turns(works, repeats=repeats, device=device)
    return [
        Row(
            work="scene",
            shape=shape,
            precision=precision,
            allocator=allocator,
            ours_runs_s=seconds[precision],
            baseline_runs_s=[s * len(pixels) / len(few) for s in seconds["baseline"]],
            patches=len(pixels),
            equal=_is_same(found[precision], SAME_CLASS[precision]),
            agreement=found[precision],
        )
        for precision in precisions
    ]


def patch_row(shape: Shape, size: int, step: Row, *, device: torch.device, repeats: int, allocator: str) -> Row:
    """Augmented training batches of the west: sampler against Dataset and DataLoader, both on their way to a step.

    Args:
        shape: Of patches.
        size: B.
        step: The float32 step at this size, to which the batch is compared.
        device: Where the step is taken.
        repeats: Rounds, the first of them to warm up.
        allocator: Its name.
    """
    cube, *_ = cubes(shape)
    sampler = PatchSampler(cube, patch_size=shape.patch, device=device)
    noise_std = S2AMSnetConfig().noise_scale * sampler.rms
    augmentations = S2AMSnetConfig().augmentations(rms=sampler.rms)
    generator = torch.Generator(device).manual_seed(0)
    # Batches larger than the scene would take pixels twice.
    pixels = np.resize(np.arange(cube.shape[0] * cube.shape[1]), max(cube.shape[0] * cube.shape[1], size))
    batches = min(_BATCHES_TIMED, len(pixels) // size)
    dataset = PatchDataset(
        cube,
        np.zeros(len(pixels), dtype=np.int64),
        np.stack(np.divmod(pixels, cube.shape[1]), axis=1),
        patch_size=shape.patch,
        noise_std=noise_std,
    )
    loader = DataLoader(dataset, batch_size=size, shuffle=True, num_workers=0)

    def sampled() -> None:
        order = torch.from_numpy(pixels).to(device)[torch.randperm(len(pixels), device=device)]
        for batch in order.split(size)[:batches]:
            patches = sampler.patches(batch)
            for change in augmentations:
                patches = change(patches, Draws(generator=generator, batch=len(batch)))

    def loaded() -> None:
        for patches, labels in itertools.islice(loader, batches):
            patches.to(device)
            labels.to(device)

    seconds = time_in_turns({"baseline": loaded, "ours": sampled}, repeats=repeats, device=device)
    runs = {side: [s / batches for s in each] for side, each in seconds.items()}
    row = Row(
        work=f"patches ready b{size}",
        shape=shape,
        precision="",
        allocator=allocator,
        ours_runs_s=runs["ours"],
        baseline_runs_s=runs["baseline"],
        patches=size,
        agreement=_shares(runs, step),
    )
    return row


def _shares(runs: Mapping[str, Sequence[float]], step: Row) -> dict[str, Any]:
    """Seconds of a batch as a share of one of our steps, for both sides."""
    ours = float(np.median(step.ours_runs_s))
    return {f"share of our step, {side}": float(np.median(each)) / ours for side, each in runs.items()}


def _is_same(found: Mapping[str, float], threshold: float) -> bool:
    """Both shares at the threshold; among the baseline's few patches one may always differ, a tie."""
    few = found["baseline's patches"]
    return found["same class as our discriminator patch by patch"] >= threshold and round(
        few * (1 - found["same class as the baseline on its patches"])
    ) <= max(1, few * (1 - threshold))
