"""Spectral floors to compare a network with, tuned and fitted on the network's training pixels.

The floors are methods like the others (:mod:`sceneshift.methods.spectral`). Here their normalization and settings are
chosen by cross-validation over blocks of the source's training pixels, by average accuracy (AA); no pixel beyond those
is read, but that a normalization is fitted on the source's whole cube, unlabelled, as it is for networks. Of several
sources the training pixels are pooled, and the normalization is fitted on all cubes together.

Shape letters: H rows, W columns, C bands, K classes, N pixels.
"""

import itertools
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.methods.spectral import LogisticRegression, RandomForest, RbfSvm, SpectralFloor, fitting
from sceneshift.scenes.normalization import NORMALIZATIONS, Normalization
from sceneshift.scores import Scores
from sceneshift.seeding import derive_seed
from sceneshift.splits.source import SourceDomain

#: What is tried. All of them leave bands of about one spread, which a kernel and a penalty need; to a classifier that
#: scales bands itself, or not at all, the others add nothing to these.
FLOOR_NORMALIZATIONS = ("standardize-per-band", "l2-then-standardize", "derivative")

#: Folds of the cross-validation, and the side of its blocks in pixels.
_FOLDS, _BLOCK_SIDE = 4, 10

#: Settings are chosen on about this many training pixels, equally many per class.
_CHOICE_PIXELS = 400

#: Spectra classified at once.
_BATCH = 50_000

FLOORS: dict[str, type[SpectralFloor]] = {floor.name: floor for floor in (LogisticRegression, RbfSvm, RandomForest)}

#: The word a floor's draws come from, where it is not its name: a floor keeps its draws when it is renamed.
_SEED_WORDS = {"rbf_svm": "svm"}


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedFloor:
    """A floor fitted on a pair's source or sources.

    Args:
        name: One of :data:`FLOORS`.
        step: The chosen normalization, fitted on the source.
        classifier: From normalized spectra (N, C) to class indices (N,), 0..K-1.
        settings: The chosen settings.
        validation_aa: Average accuracy of the choice in the cross-validation, 0..1; None where the training pixels are
            in a single block, and the first of everything was taken.
        num_pixels: Training pixels it was fitted on.
        seconds: Wall time of choice and fit.
    """

    name: str
    step: Normalization
    classifier: ClassifierMixin
    settings: Mapping[str, float]
    validation_aa: float | None
    num_pixels: int
    seconds: float

    @property
    def title(self) -> str:
        """What tables call it."""
        return FLOORS[self.name].title

    @property
    def normalization(self) -> str:
        """Name of the chosen step."""
        return self.step.name

    def predict(self, spectra: NDArray[np.generic]) -> NDArray[np.int64]:
        """Classify spectra.

        Args:
            spectra: (N, C), in the source's unit.

        Returns:
            (N,) class indices 0..K-1.
        """
        starts = range(0, len(spectra), _BATCH)
        parts = [self.classifier.predict(self.step.apply(spectra[start : start + _BATCH])) for start in starts]
        return np.concatenate(parts).astype(np.int64)


def fit_floor(
    name: str, sources: Sequence[SourceDomain], *, seed: int, normalizations: Sequence[str] = NORMALIZATIONS
) -> FittedFloor:
    """Choose a floor's normalization and settings, and fit it on all training pixels.

    Args:
        name: One of :data:`FLOORS`.
        sources: The pair's scenes and the pixels that train; validation pixels are not read.
        seed: Of the folds and of a random forest.
        normalizations: The steps the pair allows; those of :data:`FLOOR_NORMALIZATIONS` among them are tried.

    Raises:
        InvalidInputError: No floor has that name, or none of its normalizations is allowed.
    """
    if name not in FLOORS:
        raise InvalidInputError(f"no floor is called {name!r}{nearest_name(name, FLOORS)}. Known: {', '.join(FLOORS)}.")
    steps = [step for step in FLOOR_NORMALIZATIONS if step in normalizations]
    if not steps:
        raise InvalidInputError(
            f"floors try {', '.join(FLOOR_NORMALIZATIONS)}, and none is among {', '.join(normalizations)}."
        )
    started = time.perf_counter()
    floor = FLOORS[name]
    labels = np.concatenate([source.labels_of(source.split.train) for source in sources])
    spectra = np.concatenate(
        [source.scene.cube.reshape(-1, source.scene.num_bands)[source.split.train] for source in sources]
    )
    num_classes = sources[0].scene.num_classes
    candidates = [
        floor.config_type.from_mapping({"normalization": step, **dict(zip(floor.grid, values, strict=True))})
        for step in steps
        for values in itertools.product(*floor.grid.values())
    ]
    fitted = {step: Normalization.fit(step, *(source.scene.cube for source in sources)) for step in steps}
    seed = derive_seed(seed, "floor", _SEED_WORDS.get(name, name), sources[0].pair_name) % 2**32
    chosen = _at_most_per_class(labels, max(10, _CHOICE_PIXELS // num_classes), seed)
    best, best_aa = candidates[0], None
    if folds := _folds(_blocks_of(sources)[chosen], labels[chosen], seed):
        # Normalized once for all folds and settings.
        seen = {step: fitted[step].apply(spectra[chosen]) for step in steps}
        with fitting():
            scores = [
                _validation_aa(floor.estimator(config, seed=seed), seen[config.normalization], labels[chosen], folds)
                for config in candidates
            ]
        index = int(np.argmax(scores))
        best, best_aa = candidates[index], scores[index]
    step = fitted[best.normalization]
    classifier = floor.fit(best, step.apply(spectra), labels, seed=seed)
    return FittedFloor(
        name=name,
        step=step,
        classifier=classifier,
        settings={key: getattr(best, key) for key in floor.grid},
        validation_aa=best_aa,
        num_pixels=len(labels) if floor.most_pixels is None else min(len(labels), floor.most_pixels),
        seconds=time.perf_counter() - started,
    )


def _blocks_of(sources: Sequence[SourceDomain]) -> NDArray[np.int64]:
    """(N,) the block of each training pixel; no block is in two sources."""
    blocks, used = [], 0
    for source in sources:
        of_source = _blocks(np.array(source.split.train), source.scene.shape)
        blocks.append(used + of_source)
        used += int(of_source.max(initial=-1)) + 1
    return np.concatenate(blocks)


def _blocks(pixels: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int64]:
    """(N,) the number of the square block each pixel is in; smaller blocks in a small scene."""
    side = max(1, min(_BLOCK_SIDE, min(shape) // _FOLDS))
    rows, columns = np.divmod(pixels, shape[1])
    return np.asarray(rows // side * (shape[1] // side + 1) + columns // side)


def _folds(
    blocks: NDArray[np.int64], labels: NDArray[np.int64], seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Training and test rows of each fold; none where some fold would leave less than two classes to train on."""
    num_blocks = len(np.unique(blocks))
    if num_blocks < 2:
        return []
    with warnings.catch_warnings():
        # A class of fewer blocks than folds is missing from some. All candidates have the same folds.
        warnings.simplefilter("ignore", UserWarning)
        splitter = StratifiedGroupKFold(min(_FOLDS, num_blocks), shuffle=True, random_state=seed)
        folds = [(train, test) for train, test in splitter.split(labels, labels, groups=blocks) if len(test)]
    return folds if all(len(np.unique(labels[train])) > 1 for train, _ in folds) else []


def _validation_aa(
    classifier: ClassifierMixin,
    spectra: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> float:
    """Average accuracy over all folds together: each pixel is answered by the fit that did not see its block."""
    predicted = cross_val_predict(classifier, spectra, labels, cv=folds)
    return Scores.from_labels(labels, predicted, num_classes=int(labels.max()) + 1).aa


def _at_most_per_class(labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Ascending rows, at most the given number per class."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in np.unique(labels):
        of_class = np.flatnonzero(labels == k)
        rows.append(of_class if len(of_class) <= most else rng.choice(of_class, most, replace=False))
    return np.sort(np.concatenate(rows))
