"""Spectral floors as methods: classifiers of single spectra that a network has to beat to be worth its cost.

Logistic regression, a support vector machine with an RBF kernel and a random forest, fitted by scikit-learn (Pedregosa
et al., JMLR 12, 2011) on the source's training pixels. They see no neighbourhood. scikit-learn is imported for a fit
alone: what is kept for prediction is a module of torch.

Shape letters: B batch, C bands, P patch size, K classes, N pixels.
"""

import contextlib
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sceneshift.methods.method import Method, MethodConfig
from sceneshift.networks.spectral import Forest, LinearSpectra, RbfVotes, SpectralClassifier, centre_pixels

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

# Spectra classified at once, of those it was fitted on.
_BATCH = 1024


@dataclass(frozen=True, kw_only=True)
class SpectralConfig(MethodConfig):
    """What spectral floors share.

    Args:
        patch_size: P; odd. The centre pixel alone is looked at; a larger patch is for a split that networks share.
        normalization: Named step the cube goes through, fitted on the source scene. Kernels and penalties need bands of
            about one spread.
    """

    patch_size: int = 1
    flips: bool = False
    noise_scale: float = 0.0
    calibrate_bn: bool = False
    normalization: str = "standardize-per-band"

    smallest_patch = 1
    without_effect = frozenset(
        {"batch_size", "lr", "flips", "noise_scale", "calibrate_bn", "average_from", "source_passes"}
    )


@dataclass(frozen=True, kw_only=True)
class PenaltyConfig(SpectralConfig):
    """Settings of logistic regression and of the support vector machine; the default is scikit-learn's.

    Args:
        C: Inverse strength of the L2 penalty.

    Raises:
        InvalidInputError: A value is out of range, or a setting without effect was changed.
    """

    C: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.C > 0, "C", "a positive number")


@dataclass(frozen=True, kw_only=True)
class RandomForestConfig(SpectralConfig):
    """Settings of the random forest; the default is scikit-learn's.

    Args:
        min_samples_leaf: Fewest training pixels in a leaf.

    Raises:
        InvalidInputError: A value is out of range, or a setting without effect was changed.
    """

    min_samples_leaf: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.min_samples_leaf >= 1, "min_samples_leaf", "at least 1")


class SpectralFloor(Method):
    """A classifier of single spectra, fitted in one step from all training pixels."""

    published_epochs = 1
    fitted_at_once = True
    #: What tables call it.
    title: ClassVar[str]
    #: The values worth trying of each setting (:mod:`sceneshift.methods.floors`).
    grid: ClassVar[Mapping[str, Sequence[float]]]
    #: The most training pixels it is fitted on, drawn at random from more: for a fit whose cost grows with their
    #: square. None for all.
    most_pixels: ClassVar[int | None] = None
    network_type: ClassVar[type[SpectralClassifier]]

    @classmethod
    @abstractmethod
    def estimator(cls, config: Any, *, seed: int) -> "ClassifierMixin":  # noqa: ANN401
        """The unfitted classifier of scikit-learn; the seed is below 2**32."""

    @classmethod
    def fit(
        cls,
        config: Any,  # noqa: ANN401
        spectra: NDArray[np.float32],
        labels: NDArray[np.int64],
        *,
        seed: int,
    ) -> "ClassifierMixin":
        """Fit scikit-learn's classifier.

        Args:
            config: Of ``config_type``.
            spectra: (N, C), normalized.
            labels: (N,) class indices.
            seed: Below 2**32.
        """
        if cls.most_pixels is not None and len(spectra) > cls.most_pixels:
            chosen = np.random.default_rng(seed).choice(len(spectra), cls.most_pixels, replace=False)
            spectra, labels = spectra[np.sort(chosen)], labels[np.sort(chosen)]
        with fitting():
            return cls.estimator(config, seed=seed).fit(spectra, labels)

    @classmethod
    def build_classifier(cls, config: SpectralConfig, *, bands: int, classes: int) -> nn.Module:
        """Build the module, not yet fitted."""
        return cls.network_type(bands, classes)

    def build(self) -> None:
        """Build the module; no optimizer moves it."""
        self.network = self.network_type(self.bands, self.classes).to(self.device)
        self._modules["network"] = self.network

    @property
    def classifier(self) -> nn.Module:
        """The module."""
        return self.network

    @torch.no_grad()
    def step(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Fit the classifier on the patches' centre pixels; what it was before is forgotten.

        Args:
            patches: (N, C, P, P) float32, of all training pixels.
            labels: (N,) class indices.

        Returns:
            ``error``: the share of these pixels that the fit classifies wrongly.
        """
        spectra = centre_pixels(patches)
        seed = int(torch.randint(2**32, (), generator=self.generator, device=self.device))
        fitted = self.fit(self.config, spectra.cpu().numpy(), labels.cpu().numpy(), seed=seed)
        self.network.take(fitted)
        predicted = torch.cat([self.network(part).argmax(dim=1) for part in patches.split(_BATCH)])
        return {"error": (predicted != labels).float().mean()}


class LogisticRegression(SpectralFloor):
    """Multinomial logistic regression with an L2 penalty."""

    name = "logistic_regression"
    title = "logistic regression"
    config_type = PenaltyConfig
    network_type = LinearSpectra
    grid: ClassVar[Mapping[str, Sequence[float]]] = {"C": (0.1, 1.0, 10.0)}

    @classmethod
    def estimator(cls, config: PenaltyConfig, *, seed: int) -> "ClassifierMixin":
        """``LogisticRegression`` of scikit-learn."""
        from sklearn import linear_model

        return linear_model.LogisticRegression(C=config.C, max_iter=2000)


class RbfSvm(SpectralFloor):
    """A support vector machine with an RBF kernel, one class against one."""

    name = "rbf_svm"
    title = "SVM (RBF)"
    config_type = PenaltyConfig
    network_type = RbfVotes
    grid: ClassVar[Mapping[str, Sequence[float]]] = {"C": (1.0, 10.0, 100.0)}
    most_pixels = 20_000

    @classmethod
    def estimator(cls, config: PenaltyConfig, *, seed: int) -> "ClassifierMixin":
        """``SVC`` of scikit-learn, its gamma scaled by the spectra's variance."""
        from sklearn import svm

        return svm.SVC(C=config.C, gamma="scale")


class RandomForest(SpectralFloor):
    """A random forest of a hundred trees."""

    name = "random_forest"
    title = "random forest"
    config_type = RandomForestConfig
    network_type = Forest
    grid: ClassVar[Mapping[str, Sequence[float]]] = {"min_samples_leaf": (1, 3)}

    @classmethod
    def estimator(cls, config: RandomForestConfig, *, seed: int) -> "ClassifierMixin":
        """``RandomForestClassifier`` of scikit-learn."""
        from sklearn import ensemble

        return ensemble.RandomForestClassifier(
            n_estimators=100, min_samples_leaf=config.min_samples_leaf, random_state=seed
        )


@contextlib.contextmanager
def fitting() -> Iterator[None]:
    """Within it scikit-learn keeps to one thread, and does not warn of a fit that has not quite converged.

    Fits are small, and several threads are slower where trainings share the cores. A fit that has not converged is
    judged by what it answers, like the others.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
