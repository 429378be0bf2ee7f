"""The pictures of one trained classifier on one target: class map, confusion matrix, and unmixing results."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sceneshift.networks.s2vnet.network import S2VNetwork
from sceneshift.report.pictures import draw_class_map, draw_confusion
from sceneshift.report.subpixel import draw_abundances, draw_endmembers, draw_reconstruction_error
from sceneshift.scenes.normalization import Normalization
from sceneshift.scores import Scores
from sceneshift.splits.pair import ScenePair
from sceneshift.training.subpixels import Subpixels, unmix_scene


def draw_pair(
    folder: Path,
    pair: ScenePair,
    *,
    title: str,
    scores: Scores,
    class_map: NDArray[np.int64],
    truth: NDArray[np.int64],
) -> None:
    """Draw class map and confusion matrix.

    Args:
        folder: Where ``map_<pair>.png`` and ``confusion_<pair>.png`` go.
        pair: The pair.
        title: What was trained and how.
        scores: Scores on the target.
        class_map: (H, W) class ids of every measured pixel; 0 elsewhere.
        truth: (H, W) the target's labels, 0 = unlabelled.
    """
    title = f"{title}: OA {100 * scores.oa:.1f}, AA {100 * scores.aa:.1f}, kappa {scores.kappa:.2f}"
    draw_confusion(folder / f"confusion_{pair.name}.png", scores, class_names=pair.class_names, title=title)
    draw_class_map(
        folder / f"map_{pair.name}.png", pair.target, class_map, truth, class_names=pair.class_names, title=title
    )


def draw_subpixels(
    folder: Path,
    pair: ScenePair,
    classifier: torch.nn.Module,
    normalized: NDArray[np.float32],
    *,
    normalization: Normalization,
    title: str,
    reference: NDArray[np.float64] | None = None,
) -> Subpixels | None:
    """Unmix the target and draw abundances, endmembers and reconstruction error; None if the network doesn't unmix.

    Args:
        folder: Where the pictures go.
        pair: The pair.
        classifier: The trained classifier.
        normalized: (H, W, C) the target, normalized as the source was.
        normalization: The one fitted on the source.
        title: What was trained and how.
        reference: (H, W, K) abundances, if they are known.
    """
    if not isinstance(classifier, S2VNetwork):
        return None
    device = next(classifier.parameters()).device
    subpixels = unmix_scene(classifier, normalized, device=device, measured=pair.target.measured)
    names = pair.class_names
    draw_abundances(
        folder / f"abundances_{pair.name}.png",
        subpixels.abundances,
        names=names,
        title=f"{title}: abundances",
        reference=reference,
    )
    draw_endmembers(
        folder / f"endmembers_{pair.name}.png",
        subpixels.endmembers,
        subpixels.spread,
        names=names,
        title=f"{title}: endmembers, two standard deviations of their variability",
        unit=f"value after {normalization.name}",
        wavelengths_nm=pair.target.wavelengths_nm,
    )
    draw_reconstruction_error(
        folder / f"reconstruction_{pair.name}.png", subpixels.error, title=f"{title}: reconstruction error"
    )
    return subpixels
