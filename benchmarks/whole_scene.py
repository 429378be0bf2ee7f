"""Classifying every pixel of a scene: the scene pass against patch by patch.

    python benchmarks/whole_scene.py --bands 48 --patch-size 13 --width 128

A discriminator is trained for some seconds on Indian Pines' west (every few of its 200 bands), then classifies all
pixels of the east, in turns in one process: patch by patch with an involution that unfolds (as it is usually
written), patch by patch with this package's, and over the whole scene in float32 and in bfloat16. Told are pixels a
second, the best of the repeats, and how many pixels get the class they get patch by patch in float32.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.nn import functional

from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.involution import Involution
from sceneshift.networks.scene_pass import SMALLEST_PATCH, DiscriminatorOverScene
from sceneshift.scenes.catalogue import load_pair
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scenes.scene import normalize_l2_per_pixel

BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Args:
    """The network's shape, and how long it is trained and timed."""

    bands: int = 48
    """Bands, evenly taken from the 200."""

    patch_size: int = 13
    """Side of a patch, at least 7."""

    width: int = 128
    """The discriminator's projection width."""

    train_s: float = 60
    """Seconds of training."""

    repeats: int = 3
    """How often each way is timed."""

    timed_patches: int = 512
    """Patches the two slow ways are timed on."""

    threads: int = 1
    """Threads of torch."""


class UnfoldInvolution(Involution):
    """The same involution, by way of nine times the map."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        batch, channels, height, width = x.shape
        kernels = functional.relu(self.expand(functional.relu(self.norm(self.reduce(x)))))
        kernels = kernels.view(batch, self.groups, 1, 9, height, width)
        seen = functional.unfold(x, 3, padding=1).view(batch, channels, 9, height, width)
        grouped = self.groups * self.channels_per_group
        inside = seen[:, :grouped].view(batch, self.groups, -1, 9, height, width)
        out = (inside * kernels).sum(3).view(batch, grouped, height, width)
        return torch.cat((out, (seen[:, grouped:] * kernels[:, -1]).sum(2)), dim=1)


def trained(args: Args) -> tuple[Discriminator, PatchSampler]:
    """A discriminator trained on the west for a moment, and the east."""
    pair = load_pair("west-east")
    chosen = np.linspace(0, pair.source.num_bands - 1, args.bands).astype(int)
    west, east = (
        PatchSampler(normalize_l2_per_pixel(scene.cube[..., chosen]), patch_size=args.patch_size, device="cpu")
        for scene in (pair.source, pair.target)
    )
    labels = torch.from_numpy(pair.source.labels.flatten())
    pixels = torch.nonzero(labels).squeeze(1)
    torch.manual_seed(0)
    network = Discriminator(args.bands, pair.source.num_classes, patch_size=args.patch_size, width=args.width)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    start = time.perf_counter()
    while time.perf_counter() - start < args.train_s:
        batch = pixels[torch.randint(len(pixels), (BATCH,))]
        loss = functional.cross_entropy(network(west.patches(batch)), labels[batch] - 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    calibrate_batch_norm(network, [west.patches(pixels[torch.randint(len(pixels), (BATCH,))]) for _ in range(20)])
    return network, east


def with_unfold(network: Discriminator, args: Args) -> Discriminator:
    """The same network with the other involution."""
    twin = Discriminator(args.bands, network.classes, patch_size=args.patch_size, width=args.width)
    for block in twin.features.blocks:
        block.involution = UnfoldInvolution(block.involution.channels)
    twin.load_state_dict(network.state_dict())
    return twin.eval()


@torch.inference_mode()
def main(args: Args) -> None:
    """Train, time in turns, compare, print."""
    if args.patch_size < SMALLEST_PATCH:
        raise SystemExit(f"--patch-size {args.patch_size}; expected at least {SMALLEST_PATCH}.")
    torch.set_num_threads(args.threads)
    with torch.inference_mode(mode=False):
        network, east = trained(args)
    height, width = (side - args.patch_size + 1 for side in east.padded.shape[:2])
    pixels = torch.arange(height * width)

    def by_patch(classifier: Discriminator, some: Tensor) -> Tensor:
        return torch.cat([classifier(east.patches(batch)).argmax(dim=1) for batch in some.split(BATCH)])

    unfolding = with_unfold(network, args)
    few = pixels[:: max(1, len(pixels) // args.timed_patches)]
    ways: dict[str, tuple[int, Callable[[], Tensor]]] = {
        "patch by patch, unfold": (len(few), lambda: by_patch(unfolding, few)),
        "patch by patch": (len(few), lambda: by_patch(network, few)),
    }
    expected = by_patch(network, pixels)
    agreement = {"patch by patch, unfold": float((by_patch(unfolding, few) == by_patch(network, few)).float().mean())}
    for dtype in (torch.float32, torch.bfloat16):
        over_scene = DiscriminatorOverScene(network, dtype=dtype)
        name = f"whole scene, {str(dtype).removeprefix('torch.')}"
        ways[name] = len(pixels), lambda over_scene=over_scene: over_scene.predict(east.padded)
        agreement[name] = float((ways[name][1]().flatten() == expected).float().mean())

    best = dict.fromkeys(ways, float("inf"))
    for _ in range(args.repeats):
        for name, (count, run) in ways.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], (time.perf_counter() - start) / count)
    print(f"{args}\n{height} x {width} pixels, torch {torch.__version__}")
    for name, seconds in best.items():
        same = f"{100 * agreement[name]:.3f} % the same class" if name in agreement else ""
        print(f"{name:24} {1 / seconds:8.0f} pixels/s  {best['patch by patch'] / seconds:5.1f} x  {same}")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
