"""Classes predicted for pixels of a scene.

Shape letters: H rows, W columns, B batch, C bands, P patch, K classes, N pixels.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.scene_pass import SMALLEST_PATCH, DiscriminatorOverScene
from sceneshift.scenes.patches import PatchSampler
from sceneshift.training.workers import Workers

#: Patches classified at once. Larger batches are slower on CPUs, where the patches leave the cache.
PREDICTION_BATCH = 64


@torch.inference_mode()
def predict_pixels(
    classifier: nn.Module,
    sampler: PatchSampler,
    pixels: NDArray[np.int64],
    *,
    workers: Workers | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.int64]:
    """Classify single pixels from the patches around them.

    Args:
        classifier: (B, C, P, P) to (B, K); put into eval mode.
        sampler: The scene's patches.
        pixels: (N,) flat indices.
        workers: They take the batches in turn, and all are told all classes; by default this process alone.
        progress: Called after every batch with the number of pixels done and N.

    Returns:
        (N,) class indices 0..K-1.
    """
    classifier.eval()
    indices = torch.from_numpy(np.array(pixels)).to(sampler.device)
    workers = workers or Workers()
    classes = torch.zeros(len(pixels), dtype=torch.int64, device=sampler.device)
    # Whole batches in turn: also a network that looks at its batch says what it would say to one worker.
    for start in range(workers.rank * PREDICTION_BATCH, len(pixels), workers.num * PREDICTION_BATCH):
        batch = slice(start, start + PREDICTION_BATCH)
        classes[batch] = classifier(sampler.patches(indices[batch])).argmax(dim=1)
        if progress is not None:
            progress(min(batch.stop, len(pixels)), len(pixels))
    predicted: NDArray[np.int64] = workers.total(classes).cpu().numpy()
    return predicted


def map_scene(
    classifier: nn.Module,
    cube: NDArray[np.float32],
    *,
    patch_size: int,
    device: torch.device | str,
    precision: torch.dtype | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.int64]:
    """Classify every pixel of a cube.

    A discriminator with patches of 7 and more sees the scene as a whole (:mod:`sceneshift.networks.scene_pass`),
    which gives what patch by patch gives, several times faster. Every other module is shown patch after patch.

    Args:
        classifier: (B, C, P, P) to (B, K); put into eval mode.
        cube: (H, W, C) float32, after the normalization that was fitted on the source.
        patch_size: P.
        device: Where the classifier is.
        precision: What is computed in; None is the classifier's own. ``torch.bfloat16`` is faster and rounds: over
            the scene about one pixel in a thousand gets another class; patch by patch it means autocast, and one in
            a hundred.
        progress: Called now and then with the number of pixels done and H * W.

    Returns:
        (H, W) class ids 1..K.

    Raises:
        InvalidInputError: The cube does not fit the discriminator, or the patch size is even.
    """
    classifier.eval()
    sampler = PatchSampler(cube, patch_size=patch_size, device=device)
    # Not isinstance: a subclass may compute something else.
    if type(classifier) is Discriminator and classifier.patch_size == patch_size >= SMALLEST_PATCH:
        over_scene = DiscriminatorOverScene(classifier, dtype=precision)
        classes: NDArray[np.int64] = over_scene.predict(sampler.padded, progress=progress).cpu().numpy()
        return classes + 1
    pixels = np.arange(cube.shape[0] * cube.shape[1])
    rounded = precision is not None and precision.itemsize < torch.float32.itemsize
    with torch.autocast(sampler.device.type, dtype=precision, enabled=rounded):
        classes = predict_pixels(classifier, sampler, pixels, progress=progress)
    return classes.reshape(cube.shape[:2]) + 1
