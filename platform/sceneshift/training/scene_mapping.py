"""A whole scene through a classifier, tile by tile: beside the scene itself, little memory is taken.

A tile is cut with the pixels around it that its patches reach, prepared (bands, normalization) and classified. What a
pixel sees is the same whatever tile it falls in, so the tiles' size decides about memory and time, not about the map:
sums of floats may come out in another order, which shows where two classes tie to the last digits.

Shape letters: H rows, W columns, C bands, P patch, K classes, h rows and w columns of a tile.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError
from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.scene_pass import SMALLEST_PATCH, TILE_BYTES, DiscriminatorOverScene
from sceneshift.scenes.patches import PatchSampler

#: Patches classified at once. Larger batches are slower on CPUs, where the patches leave the cache.
PREDICTION_BATCH = 64

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
    tile_bytes: int = TILE_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Tile]:
    """Classify every pixel of a cube; the tiles come row by row of tiles, and cover each pixel once.

    A discriminator with patches of 7 and more sees a tile as a whole (:mod:`sceneshift.networks.scene_pass`), which
    gives what patch by patch gives, several times faster. Every other module is shown patch after patch.

    Args:
        classifier: (B, C, P, P) to (B, K); put into eval mode.
        cube: (H, W, D); may be mapped from a file. Its borders are continued by reflection.
        patch_size: P.
        device: Where the classifier is.
        prepare: From a piece (h, w, D) of the cube to what the classifier sees, (h, w, C) float32, pixel by pixel;
            None where the cube is so already.
        precision: What is computed in; None is the classifier's own.
        tile_shape: Rows and columns of a tile; by default what fits ``tile_bytes``.
        tile_bytes: Memory one tile may take, about.
        progress: Called now and then with the number of pixels done and H * W.

    Raises:
        InvalidInputError: The cube does not fit the discriminator, the patch size is even, or a tile has no pixel.
    """
    if patch_size < 1 or patch_size % 2 == 0:
        raise InvalidInputError(f"patch_size = {patch_size}; expected an odd number of pixels.")
    classifier.eval()
    height, width = cube.shape[:2]
    over_tile: _OverTile
    # Not isinstance: a subclass may compute something else.
    if type(classifier) is Discriminator and classifier.patch_size == patch_size >= SMALLEST_PATCH:
        over_tile = _AsAWhole(DiscriminatorOverScene(classifier, dtype=precision))
    else:
        over_tile = _PatchByPatch(classifier, patch_size=patch_size, device=device, precision=precision)
    tall, wide = over_tile.shape(cube.shape, tile_bytes) if tile_shape is None else tile_shape
    if min(tall, wide) < 1:
        raise InvalidInputError(f"tiles of {tall} x {wide} pixels; expected at least 1 x 1.")
    # Where each row and column of the continued scene lies in the scene.
    rows_of, columns_of = (np.pad(np.arange(size), patch_size // 2, mode="symmetric") for size in (height, width))
    halo, done = patch_size - 1, 0

    def tell(pixels: int) -> None:
        if progress is not None:
            progress(done + pixels, height * width)

    for top in range(0, height, tall):
        for left in range(0, width, wide):
            rows, columns = slice(top, min(top + tall, height)), slice(left, min(left + wide, width))
            seen = cube[np.ix_(rows_of[rows.start : rows.stop + halo], columns_of[columns.start : columns.stop + halo])]
            prepared: NDArray[Any] = seen if prepare is None else prepare(seen)
            logits = over_tile.logits(prepared, tell)
            done += logits.shape[0] * logits.shape[1]
            tell(0)
            yield Tile(rows, columns, logits)


class _AsAWhole:
    def __init__(self, over_scene: DiscriminatorOverScene) -> None:
        self._over_scene = over_scene

    def shape(self, cube: tuple[int, ...], tile_bytes: int) -> tuple[int, int]:
        return self._over_scene.tile_shape(cube[0], cube[1], tile_bytes)

    def logits(self, padded: NDArray[Any], tell: Callable[[int], None]) -> Tensor:
        return self._over_scene.logits(torch.from_numpy(padded))


class _PatchByPatch:
    def __init__(
        self, classifier: nn.Module, *, patch_size: int, device: torch.device | str, precision: torch.dtype | None
    ) -> None:
        self._classifier = classifier
        self._patch_size = patch_size
        self._device = torch.device(device)
        self._precision = precision

    def shape(self, cube: tuple[int, ...], tile_bytes: int) -> tuple[int, int]:
        # Whole rows, and a batch's number of them: the batches are those of the scene row after row.
        row_bytes = 8 * 4 * cube[1] * cube[2]
        return min(cube[0], PREDICTION_BATCH, max(1, tile_bytes // row_bytes)), cube[1]

    def logits(self, padded: NDArray[Any], tell: Callable[[int], None]) -> Tensor:
        halo = self._patch_size - 1
        height, width = padded.shape[0] - halo, padded.shape[1] - halo
        sampler = PatchSampler(padded, patch_size=self._patch_size, device=self._device, padded=True)
        rounded = self._precision is not None and self._precision.itemsize < torch.float32.itemsize
        parts = []
        with torch.autocast(self._device.type, dtype=self._precision, enabled=rounded):
            for batch in torch.split(torch.arange(height * width, device=self._device), PREDICTION_BATCH):
                parts.append(self._classifier(sampler.patches(batch)))
                tell(min(len(parts) * PREDICTION_BATCH, height * width))
        return torch.cat(parts).view(height, width, -1)


_OverTile = _AsAWhole | _PatchByPatch
