"""How far apart two scenes are, before any network is trained: angles between class means, and a quick SVM.

The target's labels are read here. The results describe a pair; they are not used in training or selection.

Shape letters: H rows, W columns, C bands, K classes, N pixels, D draws.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.normalization import normalize_l2_per_pixel
from sceneshift.scenes.scene import Scene
from sceneshift.scores import Scores
from sceneshift.seeding import derive_seed
from sceneshift.splits.split import Separation, mask_split

#: How often the SVM's pixels are drawn: on some pairs its OA on the target differs by 40 points from draw to draw.
NUM_DRAWS = 10

#: Training pixels per class and draw, and pixels per scene and draw on which the SVM is scored, at most.
TRAINING_PIXELS, _SCORED_PIXELS = 200, 4000

#: Share of the source's pixels per class that are left to score the SVM within the source.
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
        compared: The classes with labelled pixels in both scenes; the SVM knows these only.
        nearest: For each of them, the class whose mean spectrum in the source is nearest in angle to its own mean in
            the target.
        svm_source: D scores, of SVMs trained on D draws of source pixels, on random others of the source, so that
            neighbours are on both sides.
        separation: How close those pixels are to the training pixels in the first draw, for patches of
            :data:`PATCH_SIZE`.
        svm_target: D scores of the same SVMs on the target.
    """

    class_names: tuple[str, ...]
    angles: NDArray[np.float64]
    counts: NDArray[np.int64]
    compared: tuple[str, ...]
    nearest: tuple[str, ...]
    svm_source: tuple[Scores, ...]
    separation: Separation
    svm_target: tuple[Scores, ...]


def measure_gap(source: Scene, target: Scene, *, seed: int = 0) -> SceneGap:
    """Measure how far apart two scenes are.

    SVM: Gaussian kernel, C = 100, on spectra of unit norm, standardized by its training pixels; :data:`NUM_DRAWS`
    times, as a single draw says little.

    Args:
        source: With labels.
        target: With labels, the same classes and bands.
        seed: Seed for drawing pixels.

    Raises:
        InvalidInputError: Classes or bands differ, or fewer than two classes have labelled pixels in both scenes.
    """
    if source.class_names != target.class_names or source.num_bands != target.num_bands:
        raise InvalidInputError(
            f"{source.name!r} has {source.num_bands} bands of {', '.join(source.class_names)}; {target.name!r} has "
            f"{target.num_bands} of {', '.join(target.class_names)}. Align them first."
        )
    counts = np.stack([source.class_counts, target.class_counts])
    compared = np.flatnonzero((counts > 0).all(axis=0))
    if len(compared) < 2:
        counted = "; ".join(
            f"{scene.name!r} has {', '.join(f'{n} {c}' for n, c in zip(scene.class_names, row, strict=True))}"
            for scene, row in zip((source, target), counts.tolist(), strict=True)
        )
        raise InvalidInputError(
            f"{len(compared)} classes have labelled pixels in both scenes ({counted}); expected at least two. "
            "Check the "
            "label maps, or match classes by class_map."
        )
    sides = [_labelled(scene, compared) for scene in (source, target)]
    means, other_means = (
        np.stack([spectra[labels == k].mean(axis=0, dtype=np.float64) for k in range(len(compared))])
        for _, spectra, labels in sides
    )
    cosines = (means * other_means).sum(axis=1) / np.linalg.norm(means, axis=1) / np.linalg.norm(other_means, axis=1)
    angles = np.full(source.num_classes, np.nan)
    angles[compared] = np.arccos(np.clip(cosines, -1, 1))
    directions, other_directions = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (means, other_means))
    nearest = (other_directions @ directions.T).argmax(axis=1)
    (places, spectra, labels), (_, other_spectra, other_labels) = sides
    scores: list[tuple[Scores, Scores]] = []
    separation = None
    for draw in range(NUM_DRAWS):
        rng = np.random.default_rng(derive_seed(seed, "gap", source.name, target.name, draw))
        train, held_out = _random_sides(labels, rng)
        if separation is None:
            near = mask_split(
                source, train=places[train], validation=places[held_out], patch_size=_patch(source), seed=seed
            )
            separation = near.separation()
        seen = rng.permutation(held_out)[:_SCORED_PIXELS]
        unseen = rng.permutation(len(other_labels))[:_SCORED_PIXELS]
        score = _fitted(spectra[train], labels[train])
        scores.append((score(spectra[seen], labels[seen]), score(other_spectra[unseen], other_labels[unseen])))
    assert separation is not None
    return SceneGap(
        class_names=source.class_names,
        angles=angles,
        counts=counts,
        compared=tuple(source.class_names[k] for k in compared),
        nearest=tuple(source.class_names[compared[k]] for k in nearest),
        svm_source=tuple(here for here, _ in scores),
        separation=separation,
        svm_target=tuple(there for _, there in scores),
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
    lines.append("")
    for side, name in enumerate((source, target)):
        if lacking := [n for n, count in zip(gap.class_names, gap.counts[side], strict=True) if count == 0]:
            lines.append(f"no labelled pixel in {name}, so the SVM leaves it out: {', '.join(lacking)}")
    near = gap.separation
    of_target = gap.counts[1, [gap.class_names.index(name) for name in gap.compared]]
    return "\n".join(
        [
            *lines,
            f"SVM, {len(gap.compared)} classes, at most {TRAINING_PIXELS} training pixels per class of {source}; mean "
            f"± standard deviation (range) over n = {len(gap.svm_target)} draws of pixels:",
            f"  within {source}: {_spread(gap.svm_source)} (pixels at random, which LEAKS; patch {near.patch_size}: of "
            f"{near.num_pixels} pixels {near.num_inside_training_patch} inside a training patch, "
            f"{near.num_overlapping_patches} with an overlapping patch)",
            f"  on {target}: {_spread(gap.svm_target)}; its largest class has "
            f"{100 * of_target.max() / of_target.sum():.1f} % of its pixels",
        ]
    )


def _spread(scores: Sequence[Scores]) -> str:
    parts = []
    for name, values, digits in (
        ("OA", [100 * s.oa for s in scores], 1),
        ("AA", [100 * s.aa for s in scores], 1),
        ("kappa", [s.kappa for s in scores], 2),
    ):
        mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
        low, high = (f"{v:.{digits}f}" for v in (min(values), max(values)))
        parts.append(f"{name} {mean:.{digits}f} ± {deviation:.{digits}f} ({low} to {high})")
    return ", ".join(parts)


def _patch(scene: Scene) -> int:
    """The patch size, or the largest that fits a smaller scene."""
    largest = min(scene.shape)
    return min(PATCH_SIZE, largest - 1 + largest % 2)


def _labelled(
    scene: Scene, classes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Flat indices, spectra of unit norm and labels 0.. of the pixels of some classes."""
    pixels = np.flatnonzero(np.isin(scene.labels, 1 + classes))
    spectra = scene.cube.reshape(-1, scene.num_bands)[pixels]
    return pixels, normalize_l2_per_pixel(spectra), np.searchsorted(classes, scene.labels.ravel()[pixels] - 1)


def _random_sides(labels: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in the (N,) labels on which the SVM is trained, and those held out."""
    chosen = []
    for k in np.unique(labels):
        pixels = rng.permutation(np.flatnonzero(labels == k))
        chosen.append(pixels[: min(TRAINING_PIXELS, int(np.ceil(_HELD_OUT * len(pixels))))])
    train = np.concatenate(chosen)
    return train, np.setdiff1d(np.arange(len(labels)), train)


def _fitted(
    spectra: NDArray[np.float32], labels: NDArray[np.int64]
) -> Callable[[NDArray[np.float32], NDArray[np.int64]], Scores]:
    mean, deviation = spectra.mean(axis=0), spectra.std(axis=0)
    deviation[deviation == 0] = np.inf
    machine = SVC(C=100).fit((spectra - mean) / deviation, labels)

    def score(pixels: NDArray[np.float32], truth: NDArray[np.int64]) -> Scores:
        return Scores.from_labels(
            truth, machine.predict((pixels - mean) / deviation), num_classes=int(labels.max()) + 1
        )

    return score
