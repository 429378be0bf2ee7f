"""A whole scene through a classifier, tile by tile, in little memory besides the scene itself.

A tile is cut with the pixels around it that its patches reach, prepared (bands, normalization) and classified. What a
pixel sees is the same whatever tile it falls in, so the tiles' size decides about memory and time, not about the map:
sums of floats may come out in another order, which shows where two classes tie to the last digits.

Shape letters: H rows, W columns, C bands, P patch, K classes, h rows and w columns of a tile.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError
from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.overlapping_patches import DiscriminatorOverPatches
from sceneshift.networks.scene_pass import SMALLEST_PATCH, TILE_BYTES, DiscriminatorOverScene
from sceneshift.scenes.patches import PatchSampler
from sceneshift.training.precision import computing_in

#: Patches classified at once on a CPU. Larger batches are slower there, since the patches leave the cache.
PREDICTION_BATCH = 64

# A GPU takes this many times as many: with few patches it waits for the host more than it computes.
_GPU_BATCHES = 16

# Of a GPU's memory a tile takes this share, and this much at most, for the same reason.
_GPU_SHARE, _GPU_TILE_BYTES = 1 / 8, 2**33

Prepare = Callable[[NDArray[np.generic]], NDArray[np.float32]]


class Tile(NamedTuple):
    """A piece of a scene with its logits.

    Attributes:
        rows: Which rows of the scene.
        columns: Which columns.
        logits: (h, w, K), on the classifier's device.
    """

    rows: slice
    columns: slice
    logits: Tensor


def prediction_batch(device: torch.device | str) -> int:
    """How many patches are classified at once on a device."""
    return PREDICTION_BATCH if torch.device(device).type == "cpu" else _GPU_BATCHES * PREDICTION_BATCH


def _default_tile_bytes(device: torch.device) -> int:
    if device.type == "cpu":
        return TILE_BYTES
    return min(_GPU_TILE_BYTES, int(_GPU_SHARE * torch.cuda.get_device_properties(device).total_memory))


@torch.inference_mode()
def classify_tiles(
    classifier: nn.Module,
    cube: NDArray[np.generic],
    *,
    patch_size: int,
    device: torch.device | str,
    prepare: Prepare | None = None,
    precision: torch.dtype | None = None,
    tile_shape: tuple[int, int] | None = None,
    tile_bytes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Tile]:
    """Classify every pixel of a cube; the tiles come row by row of tiles, and cover each pixel once.

    A discriminator with patches of 7 and more sees a tile as a whole (:mod:`sceneshift.networks.scene_pass`), one with
    smaller patches computes once what they share (:mod:`sceneshift.networks.overlapping_patches`). Both give what patch
    by patch gives, faster. Every other module is shown patch after patch.

    Args:
        classifier: (B, C, P, P) to (B, K); put into eval mode.
        cube: (H, W, D); may be mapped from a file. Its borders are continued by reflection.
        patch_size: P.
        device: Where the classifier is.
        prepare: From a piece (h, w, D) of the cube to what the classifier sees, (h, w, C) float32, pixel by pixel;
            None where the cube is so already.
        precision: What is computed in; None is the classifier's own.
        tile_shape: Rows and columns of a tile; by default what fits ``tile_bytes``.
        tile_bytes: Memory one tile may take, about; by default 512 MiB, on a GPU an eighth of its own, at most 8 GiB.
        progress: Called now and then with the number of pixels done and H * W.

    Raises:
        InvalidInputError: The cube does not fit the discriminator, the patch size is even, or a tile has no pixel.
    """
    if patch_size < 1 or patch_size % 2 == 0:
        raise InvalidInputError(f"patch_size = {patch_size}; expected an odd number of pixels.")
    classifier.eval()
    height, width = cube.shape[:2]
    device = torch.device(device)
    over_tile: _OverTile
    # Not isinstance: a subclass may compute something else.
    if type(classifier) is Discriminator and classifier.patch_size == patch_size >= SMALLEST_PATCH:
        over_tile = _AsAWhole(DiscriminatorOverScene(classifier, dtype=precision))
    elif type(classifier) is Discriminator and classifier.patch_size == patch_size and precision is None:
        over_tile = _Overlapping(DiscriminatorOverPatches(classifier), patch_size=patch_size, device=device)
    else:
        over_tile = _PatchByPatch(classifier, patch_size=patch_size, device=device, precision=precision)
    if tile_shape is None:
        tile_shape = over_tile.shape(cube.shape, _default_tile_bytes(device) if tile_bytes is None else tile_bytes)
    tall, wide = tile_shape
    if min(tall, wide) < 1:
        raise InvalidInputError(f"tiles of {tall} x {wide} pixels; expected at least 1 x 1.")
    # Where each row and column of the continued scene is in the scene.
    rows_of, columns_of = (np.pad(np.arange(size), patch_size // 2, mode="symmetric") for size in (height, width))
    halo, done = patch_size - 1, 0

    def report(pixels: int) -> None:
        if progress is not None:
            progress(done + pixels, height * width)

    for top in range(0, height, tall):
        for left in range(0, width, wide):
            rows, columns = slice(top, min(top + tall, height)), slice(left, min(left + wide, width))
            seen = cube[np.ix_(rows_of[rows.start : rows.stop + halo], columns_of[columns.start : columns.stop + halo])]
            prepared: NDArray[Any] = seen if prepare is None else prepare(seen)
            with computing_in("float32", device):
                logits = over_tile.logits(prepared, report)
            done += logits.shape[0] * logits.shape[1]
            report(0)
            yield Tile(rows, columns, logits)


class _AsAWhole:
    def __init__(self, over_scene: DiscriminatorOverScene) -> None:
        self._over_scene = over_scene

    def shape(self, cube: tuple[int, ...], tile_bytes: int) -> tuple[int, int]:
        return self._over_scene.tile_shape(cube[0], cube[1], tile_bytes)

    def logits(self, padded: NDArray[Any], report: Callable[[int], None]) -> Tensor:
        return self._over_scene.logits(torch.from_numpy(padded))


class _Overlapping:
    def __init__(self, over_patches: DiscriminatorOverPatches, *, patch_size: int, device: torch.device) -> None:
        self._over_patches = over_patches
        self._patch_size = patch_size
        self._device = device

    def shape(self, cube: tuple[int, ...], tile_bytes: int) -> tuple[int, int]:
        return min(cube[0], max(1, tile_bytes // (8 * 4 * cube[1] * cube[2]))), cube[1]

    def logits(self, padded: NDArray[Any], report: Callable[[int], None]) -> Tensor:
        halo = self._patch_size - 1
        height, width = padded.shape[0] - halo, padded.shape[1] - halo
        scene = torch.from_numpy(padded).to(self._device)
        # Square blocks: their patches share most.
        side = math.isqrt(self._over_patches.patches_at_once)
        rows, done = [], 0
        for top in range(0, height, side):
            blocks = []
            for left in range(0, width, side):
                seen = scene[top : top + side + halo, left : left + side + halo]
                tall, wide = seen.shape[0] - halo, seen.shape[1] - halo
                pixels = torch.arange(tall * wide, device=self._device)
                blocks.append(self._over_patches.logits(seen, pixels).view(tall, wide, -1))
                done += len(pixels)
                report(done)
            rows.append(torch.cat(blocks, dim=1))
        return torch.cat(rows)


class _PatchByPatch:
    def __init__(
        self, classifier: nn.Module, *, patch_size: int, device: torch.device, precision: torch.dtype | None
    ) -> None:
        self._classifier = classifier
        self._patch_size = patch_size
        self._device = device
        self._batch = prediction_batch(device)
        self._precision = precision

    def shape(self, cube: tuple[int, ...], tile_bytes: int) -> tuple[int, int]:
        # Whole rows, and a batch's number of them: the batches are those of the scene row after row.
        row_bytes = 8 * 4 * cube[1] * cube[2]
        return min(cube[0], self._batch, max(1, tile_bytes // row_bytes)), cube[1]

    def logits(self, padded: NDArray[Any], report: Callable[[int], None]) -> Tensor:
        halo = self._patch_size - 1
        height, width = padded.shape[0] - halo, padded.shape[1] - halo
        sampler = PatchSampler(padded, patch_size=self._patch_size, device=self._device, padded=True)
        rounded = self._precision is not None and self._precision.itemsize < torch.float32.itemsize
        parts = []
        with torch.autocast(self._device.type, dtype=self._precision, enabled=rounded):
            for batch in torch.split(torch.arange(height * width, device=self._device), self._batch):
                parts.append(self._classifier(sampler.patches(batch)))
                report(min(len(parts) * self._batch, height * width))
        return torch.cat(parts).view(height, width, -1)


_OverTile = _AsAWhole | _Overlapping | _PatchByPatch
