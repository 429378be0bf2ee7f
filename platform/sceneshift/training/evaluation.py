"""Classes predicted for pixels of a scene.

Shape letters: H rows, W columns, B batch, C bands, P patch, K classes, N pixels.
"""

import contextlib
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.overlapping_patches import DiscriminatorOverPatches
from sceneshift.scenes.patches import PatchSampler
from sceneshift.training.outputs import OutputTaker
from sceneshift.training.precision import computing_in
from sceneshift.training.scene_mapping import Prepare, classify_tiles, prediction_batch
from sceneshift.training.workers import Workers


@torch.inference_mode()
def predict_pixels(
    classifier: nn.Module,
    sampler: PatchSampler,
    pixels: NDArray[np.int64],
    *,
    workers: Workers | None = None,
    taker: OutputTaker | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.int64]:
    """Classify single pixels from the patches around them.

    Of a discriminator, what patches of neighbouring pixels have in common is computed once
    (:mod:`sceneshift.networks.overlapping_patches`).

    Args:
        classifier: (B, C, P, P) to (B, K); put into eval mode.
        sampler: The scene's patches.
        pixels: (N,) flat indices.
        workers: They take the batches in turn, and all receive all classes; by default this process alone.
        taker: Keeps logits and features of some of the pixels.
        progress: Called after every batch with the number of pixels done and N.

    Returns:
        (N,) class indices 0..K-1.
    """
    classifier.eval()
    indices = torch.from_numpy(np.array(pixels)).to(sampler.device)
    workers = workers or Workers()
    classes = torch.zeros(len(pixels), dtype=torch.int64, device=sampler.device)
    over_patches, size = None, prediction_batch(sampler.device)
    # Not isinstance: a subclass may compute something else.
    if type(classifier) is Discriminator and classifier.patch_size == sampler.patch_size:
        over_patches = DiscriminatorOverPatches(classifier)
        size = max(1, min(over_patches.patches_at_once, math.ceil(len(pixels) / workers.num)))
    # Whole batches in turn: also a network that looks at its batch says what it would say to one worker.
    for start in range(workers.rank * size, len(pixels), workers.num * size):
        batch = slice(start, start + size)
        watching = contextlib.nullcontext() if taker is None else taker.watching()
        with watching, computing_in("float32", sampler.device):
            if over_patches is None:
                logits = classifier(sampler.patches(indices[batch]))
            else:
                logits = over_patches.logits(sampler.padded, indices[batch])
        classes[batch] = logits.argmax(dim=1)
        if taker is not None:
            taker.take(start, logits)
        if progress is not None:
            progress(min(batch.stop, len(pixels)), len(pixels))
    if taker is not None:
        taker.total(workers)
    predicted: NDArray[np.int64] = workers.total(classes).cpu().numpy()
    return predicted


def map_scene(
    classifier: nn.Module,
    cube: NDArray[np.generic],
    *,
    patch_size: int,
    device: torch.device | str,
    measured: NDArray[np.bool_] | None = None,
    prepare: Prepare | None = None,
    precision: torch.dtype | None = None,
    tile_shape: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.int64]:
    """Classify every measured pixel of a cube.

    It goes tile by tile (:mod:`sceneshift.training.scene_mapping`).

    Args:
        classifier: (B, C, P, P) to (B, K); put into eval mode.
        cube: (H, W, C) float32, after the normalization that was fitted on the source; or what ``prepare`` makes that
            of.
        patch_size: P.
        device: Where the classifier is.
        measured: (H, W) which pixels are measured; by default all.
        prepare: From a piece of the cube to what the classifier sees, pixel by pixel.
        precision: What is computed in; None is the classifier's own. ``torch.bfloat16`` is faster and rounds: over
            the scene about one pixel in a thousand gets another class; patch by patch it means autocast, and one in
            a hundred.
        tile_shape: Rows and columns of a tile; by default what memory allows. The map does not depend on it.
        progress: Called now and then with the number of pixels done and H * W.

    Returns:
        (H, W) class ids 1..K, 0 for unmeasured pixels.

    Raises:
        InvalidInputError: The cube does not fit the discriminator, the patch size is even, or a tile has no pixel.
    """
    class_map = np.empty(cube.shape[:2], dtype=np.int64)
    for rows, columns, logits in classify_tiles(
        classifier,
        cube,
        patch_size=patch_size,
        device=device,
        prepare=prepare,
        precision=precision,
        tile_shape=tile_shape,
        progress=progress,
    ):
        class_map[rows, columns] = logits.argmax(dim=2).cpu().numpy() + 1
    if measured is not None:
        class_map[~measured] = 0
    return class_map
