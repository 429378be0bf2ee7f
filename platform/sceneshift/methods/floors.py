"""Spectral floors: classifiers of single spectra that a network has to beat to be worth its cost.

Logistic regression, a support vector machine with an RBF kernel and a random forest, as scikit-learn has them
(Pedregosa et al., JMLR 12, 2011). They see no neighbourhood. Normalization and settings are chosen by cross-validation
over blocks of the source's training pixels, by average accuracy (AA); no pixel beyond those is read, but that a
normalization is fitted on the source's whole cube, unlabelled, as it is for networks.

Shape letters: H rows, W columns, C bands, K classes, N pixels.
"""

import itertools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.scenes.normalization import NORMALIZATIONS, Normalization
from sceneshift.scores import Scores
from sceneshift.seeding import derive_seed
from sceneshift.splits.source import SourceDomain

#: What is tried. All of them leave bands of about one spread, which a kernel and a penalty want; to a classifier that
#: scales bands itself, or not at all, the others tell nothing more than these.
FLOOR_NORMALIZATIONS = ("standardize-per-band", "l2-then-standardize", "derivative")

#: Folds of the cross-validation, and pixels across a block of it.
_FOLDS, _BLOCK_SIDE = 4, 10

#: Settings are chosen on about so many training pixels, as many of each class.
_CHOICE_PIXELS = 400

#: Spectra classified at once.
_BATCH = 50_000


@dataclass(frozen=True, kw_only=True)
class FloorEntry:
    """A floor as it is known by name.

    Args:
        title: What tables call it.
        build: An unfitted classifier from a seed and one setting of each name.
        grid: The values tried of each setting.
        most_pixels: The most training pixels it is fitted on, drawn at random from more: for a fit whose cost grows
            with their square. None for all.
    """

    title: str
    build: Callable[..., ClassifierMixin]
    grid: Mapping[str, Sequence[float]]
    most_pixels: int | None = None


FLOORS: dict[str, FloorEntry] = {
    "logistic_regression": FloorEntry(
        title="logistic regression",
        build=lambda seed, C: LogisticRegression(C=C, max_iter=2000),
        grid={"C": (0.1, 1.0, 10.0)},
    ),
    "svm": FloorEntry(
        title="SVM (RBF)",
        build=lambda seed, C: SVC(C=C, gamma="scale"),
        grid={"C": (1.0, 10.0, 100.0)},
        most_pixels=20_000,
    ),
    "random_forest": FloorEntry(
        title="random forest",
        build=lambda seed, min_samples_leaf: RandomForestClassifier(
            n_estimators=100, min_samples_leaf=min_samples_leaf, random_state=seed
        ),
        grid={"min_samples_leaf": (1, 3)},
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedFloor:
    """A floor fitted on one source.

    Args:
        name: One of :data:`FLOORS`.
        pipeline: From spectra (N, C) in the source's unit to class indices (N,), 0..K-1.
        normalization: Name of the chosen step.
        settings: The chosen settings.
        validation_aa: Average accuracy of the choice in the cross-validation, 0..1; None where the training pixels lie
            in a single block, and the first of everything was taken.
        num_pixels: Training pixels it was fitted on.
        seconds: Wall time of choice and fit.
    """

    name: str
    pipeline: Pipeline
    normalization: str
    settings: Mapping[str, float]
    validation_aa: float | None
    num_pixels: int
    seconds: float

    @property
    def title(self) -> str:
        """What tables call it."""
        return FLOORS[self.name].title

    def predict(self, spectra: NDArray[np.generic]) -> NDArray[np.int64]:
        """Classify spectra.

        Args:
            spectra: (N, C), in the source's unit.

        Returns:
            (N,) class indices 0..K-1.
        """
        parts = [self.pipeline.predict(spectra[start : start + _BATCH]) for start in range(0, len(spectra), _BATCH)]
        return np.concatenate(parts).astype(np.int64)


def fit_floor(
    name: str, source: SourceDomain, *, seed: int, normalizations: Sequence[str] = NORMALIZATIONS
) -> FittedFloor:
    """Choose a floor's normalization and settings, and fit it on all training pixels.

    Args:
        name: One of :data:`FLOORS`.
        source: The scene and the pixels that train; its validation pixels are not read.
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
    entry = FLOORS[name]
    pixels = np.array(source.split.train)
    labels = source.labels_of(source.split.train)
    spectra = source.scene.cube.reshape(-1, source.scene.num_bands)
    candidates = [
        (step, dict(zip(entry.grid, values, strict=True)))
        for step in steps
        for values in itertools.product(*entry.grid.values())
    ]
    fitted = {step: Normalization.fit(step, source.scene.cube) for step in steps}
    seed = derive_seed(seed, "floor", name, source.pair_name) % 2**32
    chosen = _at_most_per_class(labels, max(10, _CHOICE_PIXELS // source.scene.num_classes), seed)
    best, best_aa = candidates[0], None
    folds = _folds(_blocks(pixels[chosen], source.scene.shape), labels[chosen], seed)
    # One thread: fits are small, and several are slower where trainings share the cores.
    with warnings.catch_warnings(), threadpool_limits(1):
        # A fit that has not quite converged is judged by what it answers, like the others.
        warnings.simplefilter("ignore", ConvergenceWarning)
        if folds:
            # Normalized once for all folds and settings.
            seen = {step: fitted[step].apply(spectra[pixels[chosen]]) for step in steps}
            scores = [
                _validation_aa(entry.build(seed, **settings), seen[step], labels[chosen], folds)
                for step, settings in candidates
            ]
            index = int(np.argmax(scores))
            best, best_aa = candidates[index], scores[index]
        kept = np.arange(len(pixels))
        if entry.most_pixels is not None and len(pixels) > entry.most_pixels:
            kept = np.sort(np.random.default_rng(seed).choice(len(pixels), entry.most_pixels, replace=False))
        step, settings = best
        pipeline = make_pipeline(FunctionTransformer(fitted[step].apply), entry.build(seed, **settings))
        pipeline.fit(spectra[pixels[kept]], labels[kept])
    return FittedFloor(
        name=name,
        pipeline=pipeline,
        normalization=step,
        settings=settings,
        validation_aa=best_aa,
        num_pixels=len(kept),
        seconds=time.perf_counter() - started,
    )


def _blocks(pixels: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int64]:
    """(N,) the number of the square block each pixel lies in; smaller blocks in a small scene."""
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
    """Ascending rows, at most so many of each class."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in np.unique(labels):
        of_class = np.flatnonzero(labels == k)
        rows.append(of_class if len(of_class) <= most else rng.choice(of_class, most, replace=False))
    return np.sort(np.concatenate(rows))
