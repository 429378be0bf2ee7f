"""How far apart two scenes are, before any network is trained: angles, a distance of distributions, a quick SVM.

The target's labels are read here. The results describe a pair; they are not used in training or selection.

Shape letters: H rows, W columns, C bands, K classes, N and M pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel
from sklearn.svm import SVC

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.normalization import normalize_l2_per_pixel
from sceneshift.scenes.scene import Scene
from sceneshift.scores import Scores
from sceneshift.seeding import derive_seed
from sceneshift.splits.split import Separation, mask_split

#: Pixels per scene for estimating the distance of distributions, and maximum training pixels per class for the SVM.
_MMD_PIXELS, _SVM_PIXELS = 1500, 400

#: Share of the source's pixels per class on which the SVM is scored within the source.
_HELD_OUT = 0.5

#: Patch size for which the separation of the SVM's pixels is reported: S2AMSnet's. The SVM itself sees pixels.
PATCH_SIZE = 13


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneGap:
    """Differences between two scenes with the same classes and bands.

    Args:
        class_names: K names.
        angles: (K,) radians between a class's mean spectra in the two scenes; NaN if one lacks the class.
        counts: (2, K) labelled pixels.
        mmd: Maximum mean discrepancy of the L2-normalized spectra, 0 for equal distributions.
        mmd_within: The same between two halves of the source: the effect of chance and of the scene's own variety.
        svm_source: Score of the SVM on random source pixels, so that neighbours are on both sides.
        separation: How close those pixels are to the SVM's training pixels, for patches of :data:`PATCH_SIZE`.
        svm_target: Score of the same SVM on the target.
    """

    class_names: tuple[str, ...]
    angles: NDArray[np.float64]
    counts: NDArray[np.int64]
    mmd: float
    mmd_within: float
    svm_source: Scores
    separation: Separation
    svm_target: Scores


def measure_gap(source: Scene, target: Scene, *, seed: int = 0) -> SceneGap:
    """Measure how far apart two scenes are.

    Distance of distributions: the square root of the unbiased estimate of MMD^2 with a Gaussian kernel whose width is
    the median distance (Gretton et al., JMLR 13, 2012), on spectra of unit norm. SVM: Gaussian kernel, C = 100, on
    spectra of unit norm, standardized by the source.

    Args:
        source: With labels.
        target: With labels, the same classes and bands.
        seed: Seed for drawing pixels.

    Raises:
        InvalidInputError: Classes or bands differ, or a scene has no labelled pixel.
    """
    if source.class_names != target.class_names or source.num_bands != target.num_bands:
        raise InvalidInputError(
            f"{source.name!r} has {source.num_bands} bands of {', '.join(source.class_names)}; {target.name!r} has "
            f"{target.num_bands} of {', '.join(target.class_names)}. Align them first."
        )
    rng = np.random.default_rng(derive_seed(seed, "gap", source.name, target.name))
    (spectra, labels), (other_spectra, other_labels) = _labelled(source), _labelled(target)
    means, other_means = (
        _means(*pixels, source.num_classes) for pixels in ((spectra, labels), (other_spectra, other_labels))
    )
    cosines = np.einsum("kc,kc->k", means, other_means) / (
        np.linalg.norm(means, axis=1) * np.linalg.norm(other_means, axis=1)
    )
    train, held_out = _random_sides(labels, source.num_classes, rng)
    svm_source, svm_target = _svm(spectra, labels, other_spectra, other_labels, source.num_classes, train, held_out)
    places = np.flatnonzero(source.labels)
    sides = mask_split(source, train=places[train], validation=places[held_out], patch_size=PATCH_SIZE, seed=seed)
    order = rng.permutation(len(spectra))
    half = len(order) // 2
    return SceneGap(
        class_names=source.class_names,
        angles=np.arccos(np.clip(cosines, -1, 1)),
        counts=np.stack([source.class_counts, target.class_counts]),
        mmd=_mmd(spectra, other_spectra, rng),
        mmd_within=_mmd(spectra[order[:half]], spectra[order[half:]], rng),
        svm_source=svm_source,
        separation=sides.separation(),
        svm_target=svm_target,
    )


def render_gap(gap: SceneGap, *, source: str, target: str) -> str:
    """Render the gap as text with a Markdown table."""
    width = max(5, *(len(name) for name in gap.class_names))
    lines = [
        f"| {'class':<{width}} | {source} pixels | {target} pixels | angle between means (deg) |",
        f"|{'-' * (width + 2)}|---:|---:|---:|",
    ]
    for k, name in enumerate(gap.class_names):
        angle = "-" if np.isnan(gap.angles[k]) else f"{np.degrees(gap.angles[k]):.1f}"
        lines.append(f"| {name:<{width}} | {gap.counts[0, k]} | {gap.counts[1, k]} | {angle} |")
    here, there, near = gap.svm_source, gap.svm_target, gap.separation
    return "\n".join(
        [
            *lines,
            "",
            f"distance of distributions (MMD)  {gap.mmd:.3f}; between two halves of {source}: {gap.mmd_within:.3f}",
            f"SVM within {source}: OA {100 * here.oa:.1f}, AA {100 * here.aa:.1f}, kappa {here.kappa:.2f} (pixels at "
            f"random, which LEAKS; patch {near.patch_size}: of {near.num_pixels} pixels "
            f"{near.num_inside_training_patch} inside a training patch, {near.num_overlapping_patches} with an "
            "overlapping patch)",
            f"SVM on {target}: OA {100 * there.oa:.1f}, AA {100 * there.aa:.1f}, kappa {there.kappa:.2f}; its largest "
            f"class has {100 * gap.counts[1].max() / gap.counts[1].sum():.1f} % of its pixels",
        ]
    )


def _labelled(scene: Scene) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    pixels = np.flatnonzero(scene.labels)
    if len(pixels) == 0:
        raise InvalidInputError(f"scene {scene.name!r} has no labelled pixel.")
    spectra = scene.cube.reshape(-1, scene.num_bands)[pixels]
    return normalize_l2_per_pixel(spectra), scene.labels.ravel()[pixels] - 1


def _means(spectra: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    means = np.full((classes, spectra.shape[1]), np.nan)
    for k in np.unique(labels):
        means[k] = spectra[labels == k].mean(axis=0, dtype=np.float64)
    return means


def _mmd(one: NDArray[np.float32], other: NDArray[np.float32], rng: np.random.Generator) -> float:
    x, y = (pixels[rng.permutation(len(pixels))[:_MMD_PIXELS]].astype(np.float64) for pixels in (one, other))
    if min(len(x), len(y)) < 2:
        return float("nan")
    distances = euclidean_distances(np.concatenate([x, y]))
    median = float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0
    gamma = 1 / (2 * median**2)
    within = 0.0
    for pixels in (x, y):
        kernel = rbf_kernel(pixels, gamma=gamma)
        within += (kernel.sum() - np.trace(kernel)) / (len(pixels) * (len(pixels) - 1))
    squared = within - 2 * float(rbf_kernel(x, y, gamma=gamma).mean())
    return float(np.sqrt(max(squared, 0.0)))


def _random_sides(
    labels: NDArray[np.int64], classes: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in the (N,) labels on which the SVM is trained, and those held out."""
    chosen = []
    for k in range(classes):
        pixels = rng.permutation(np.flatnonzero(labels == k))
        chosen.append(pixels[: min(_SVM_PIXELS, int(np.ceil(_HELD_OUT * len(pixels))))])
    train = np.concatenate(chosen)
    return train, np.setdiff1d(np.arange(len(labels)), train)


def _svm(
    spectra: NDArray[np.float32],
    labels: NDArray[np.int64],
    other_spectra: NDArray[np.float32],
    other_labels: NDArray[np.int64],
    classes: int,
    train: NDArray[np.int64],
    held_out: NDArray[np.int64],
) -> tuple[Scores, Scores]:
    mean, deviation = spectra[train].mean(axis=0), spectra[train].std(axis=0)
    deviation[deviation == 0] = np.inf
    machine = SVC(C=100).fit((spectra[train] - mean) / deviation, labels[train])
    told = []
    for pixels, truth in ((spectra[held_out], labels[held_out]), (other_spectra, other_labels)):
        predicted = machine.predict((pixels - mean) / deviation)
        told.append(Scores.from_labels(truth, predicted, num_classes=classes))
    return told[0], told[1]
