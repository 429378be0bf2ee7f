"""Classifiers of single spectra, fitted by scikit-learn, as modules with the fitted values in buffers.

Each reads only a patch's centre pixel and computes in float64, as scikit-learn does; its class is scikit-learn's.

Shape letters: B batch, C bands, P patch size, K classes, S support vectors, D pairs of classes, T trees, N their nodes.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

# The logit of a class that no training pixel had.
_NEVER = -1e6


def centre_pixels(patches: Tensor) -> Tensor:
    """(B, C, P, P) patches to their (B, C) centre pixels."""
    return patches[:, :, patches.shape[2] // 2, patches.shape[3] // 2]


class SpectralClassifier(nn.Module, ABC):
    """Patches (B, C, P, P) to logits (B, K), float64, of their centre pixels.

    The lengths of buffers are known after the fit, which replaces them; so does loading a state.

    Args:
        bands: C.
        classes: K.
    """

    #: The number of leading axes of a buffer whose length a fit decides; the other axes are those of C and K.
    found: ClassVar[Mapping[str, int]] = {}

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.num_classes = classes
        self.register_load_state_dict_pre_hook(_grow)  # type: ignore[no-untyped-call]

    @abstractmethod
    def take(self, fitted: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
        """Take over the fitted values of a scikit-learn classifier, whose classes are indices 0..K-1."""

    @abstractmethod
    def logits(self, spectra: Tensor) -> Tensor:
        """Spectra (B, C) float64 to logits (B, K)."""

    def forward(self, patches: Tensor) -> Tensor:
        """Classify patches (B, C, P, P) by their centre pixels."""
        return self.logits(centre_pixels(patches).double())

    def _set(self, **values: NDArray[Any]) -> None:
        for name, value in values.items():
            buffer = self.get_buffer(name)
            setattr(self, name, torch.from_numpy(np.array(value)).to(buffer))


def _grow(module: nn.Module, state: Mapping[str, Any], prefix: str, *_: object) -> None:
    """Give buffers the lengths of a state that is about to be loaded; torch rejects other shapes."""
    assert isinstance(module, SpectralClassifier)
    for name, leading in module.found.items():
        buffer, value = module.get_buffer(name), state.get(prefix + name)
        if isinstance(value, Tensor) and value.shape[leading:] == buffer.shape[leading:]:
            setattr(module, name, buffer.new_empty(value.shape))


class LinearSpectra(SpectralClassifier):
    """Multinomial logistic regression; softmax of the logits is scikit-learn's probability.

    Args:
        bands: C.
        classes: K.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__(bands, classes)
        self.register_buffer("weight", torch.zeros(classes, bands, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(classes, dtype=torch.float64))

    def take(self, fitted: Any) -> None:  # noqa: ANN401
        """Take over a fitted ``LogisticRegression``."""
        weight, bias = fitted.coef_, fitted.intercept_
        if len(fitted.classes_) == 2:  # one logit, of the second class
            weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
        weights, biases = np.zeros(self.weight.shape), np.full(self.bias.shape, _NEVER)
        weights[fitted.classes_], biases[fitted.classes_] = weight, bias
        self._set(weight=weights, bias=biases)

    def logits(self, spectra: Tensor) -> Tensor:
        """Spectra (B, C) to logits (B, K)."""
        return functional.linear(spectra, self.weight, self.bias)


class RbfVotes(SpectralClassifier):
    """A support vector machine with an RBF kernel: one against one, one vote per pair; logits are numbers of votes.

    Args:
        bands: C.
        classes: K.
    """

    vectors: Tensor
    coefficients: Tensor
    bias: Tensor
    pairs: Tensor
    gamma: Tensor
    found: ClassVar[Mapping[str, int]] = {"vectors": 1, "coefficients": 2, "bias": 1, "pairs": 1}

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__(bands, classes)
        self.register_buffer("vectors", torch.zeros(0, bands, dtype=torch.float64))  # (S, C)
        self.register_buffer("coefficients", torch.zeros(0, 0, dtype=torch.float64))  # (D, S)
        self.register_buffer("bias", torch.zeros(0, dtype=torch.float64))  # (D,)
        self.register_buffer("pairs", torch.zeros(0, 2, dtype=torch.int64))  # (D, 2), the classes of each pair
        self.register_buffer("gamma", torch.zeros((), dtype=torch.float64))

    def take(self, fitted: Any) -> None:  # noqa: ANN401
        """Take over a fitted ``SVC``."""
        sizes = fitted.n_support_
        ends = np.cumsum(sizes)
        of_class = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        # With two classes, scikit-learn has inverted the sign that LIBSVM's votes are based on.
        sign = -1 if len(sizes) == 2 else 1
        pairs = list(itertools.combinations(range(len(sizes)), 2))
        coefficients = np.zeros((len(pairs), ends[-1]))
        for row, (first, second) in zip(coefficients, pairs, strict=True):
            row[of_class[first]] = sign * fitted.dual_coef_[second - 1, of_class[first]]
            row[of_class[second]] = sign * fitted.dual_coef_[first, of_class[second]]
        self._set(
            vectors=fitted.support_vectors_,
            coefficients=coefficients,
            bias=sign * fitted.intercept_,
            pairs=fitted.classes_[np.array(pairs)],
            gamma=np.array(fitted._gamma),
        )

    def logits(self, spectra: Tensor) -> Tensor:
        """Spectra (B, C) to votes (B, K)."""
        squares = spectra.square().sum(dim=1, keepdim=True) + self.vectors.square().sum(dim=1)
        distances = (squares - 2 * spectra @ self.vectors.T).clamp_min(0)
        decisions = functional.linear(torch.exp(-self.gamma * distances), self.coefficients, self.bias)
        winners = torch.where(decisions > 0, self.pairs[:, 0], self.pairs[:, 1])
        return functional.one_hot(winners, self.num_classes).sum(dim=1).double()


class Forest(SpectralClassifier):
    """A random forest, all nodes of all trees in one array; softmax of the logits is the mean of the leaves' shares.

    Args:
        bands: C.
        classes: K.
    """

    roots: Tensor
    band: Tensor
    threshold: Tensor
    branches: Tensor
    shares: Tensor
    depth: Tensor
    found: ClassVar[Mapping[str, int]] = {"roots": 1, "band": 1, "threshold": 1, "branches": 1, "shares": 1}

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__(bands, classes)
        self.register_buffer("roots", torch.zeros(1, dtype=torch.int64))  # (T,)
        self.register_buffer("band", torch.zeros(1, dtype=torch.int64))  # (N,)
        self.register_buffer("threshold", torch.zeros(1, dtype=torch.float64))  # (N,)
        # (N, 2) the nodes to the left and to the right; a leaf's are itself.
        self.register_buffer("branches", torch.zeros(1, 2, dtype=torch.int64))
        self.register_buffer("shares", torch.full((1, classes), 1 / classes, dtype=torch.float64))  # (N, K)
        self.register_buffer("depth", torch.zeros((), dtype=torch.int64))  # steps from a root to the farthest leaf

    def take(self, fitted: Any) -> None:  # noqa: ANN401
        """Take over a fitted ``RandomForestClassifier``."""
        trees = [tree.tree_ for tree in fitted.estimators_]
        sizes = [tree.node_count for tree in trees]
        roots = np.cumsum([0, *sizes[:-1]])
        itself = np.arange(sum(sizes))
        sides = [
            np.concatenate([np.where(side < 0, side, side + root) for side, root in zip(children, roots, strict=True)])
            for children in ([tree.children_left for tree in trees], [tree.children_right for tree in trees])
        ]
        shares = np.zeros((len(itself), self.shares.shape[1]))
        shares[:, fitted.classes_] = np.concatenate([tree.value[:, 0] for tree in trees])
        self._set(
            roots=roots,
            band=np.concatenate([tree.feature for tree in trees]).clip(0),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            branches=np.stack([np.where(side < 0, itself, side) for side in sides], axis=1),
            shares=shares,
            depth=np.array(max(tree.max_depth for tree in trees)),
        )

    def logits(self, spectra: Tensor) -> Tensor:
        """Spectra (B, C) to logits (B, K)."""
        nodes = self.roots.expand(len(spectra), -1)
        for _ in range(int(self.depth)):
            goes_right = spectra.gather(1, self.band[nodes]) > self.threshold[nodes]
            nodes = self.branches[nodes, goes_right.long()]
        # Tree by tree, as scikit-learn adds them up: so that ties up to rounding are broken in the same way.
        total = torch.zeros(len(spectra), self.shares.shape[1], dtype=self.shares.dtype, device=spectra.device)
        for leaves in nodes.T:
            total += self.shares[leaves]
        return (total / len(self.roots)).clamp_min(torch.finfo(torch.float64).tiny).log()
