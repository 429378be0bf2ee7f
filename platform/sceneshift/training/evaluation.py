"""Classes predicted for pixels of a scene.

Shape letters: H rows, W columns, C bands, K classes, N pixels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sceneshift.scenes.patches import PatchSampler

#: Patches classified at once. Larger batches are slower on CPUs, where the patches leave the cache.
PREDICTION_BATCH = 128


@torch.inference_mode()
def predict_pixels(classifier: nn.Module, sampler: PatchSampler, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Classify single pixels from the patches around them.

    Args:
        classifier: (B, C, P, P) to (B, K); put into eval mode.
        sampler: The scene's patches.
        pixels: (N,) flat indices.

    Returns:
        (N,) class indices 0..K-1.
    """
    classifier.eval()
    indices = torch.from_numpy(np.array(pixels)).to(sampler.device)
    classes = [classifier(sampler.patches(batch)).argmax(dim=1) for batch in torch.split(indices, PREDICTION_BATCH)]
    predicted: NDArray[np.int64] = torch.cat(classes).cpu().numpy()
    return predicted


def map_scene(
    classifier: nn.Module, cube: NDArray[np.float32], *, patch_size: int, device: torch.device | str
) -> NDArray[np.int64]:
    """Classify every pixel of a cube.

    Args:
        classifier: (B, C, P, P) to (B, K).
        cube: (H, W, C) float32, normalized as the source was.
        patch_size: P.
        device: Where the classifier is.

    Returns:
        (H, W) class ids 1..K.
    """
    sampler = PatchSampler(cube, patch_size=patch_size, device=device)
    pixels = np.arange(cube.shape[0] * cube.shape[1])
    return predict_pixels(classifier, sampler, pixels).reshape(cube.shape[:2]) + 1
