"""Which labelled pixels of a source scene train and which validate.

Neighbouring patches share pixels, so a random split puts one patch on both sides; splits by blocks
(:mod:`sceneshift.splits.blocks`) and by fields (:mod:`sceneshift.splits.fields`) keep a guard band. Two
counts measure how separate two pixel sets are (for patches of P x P, Chebyshev distance d): pixels inside a training
patch (d <= P // 2) and pixels whose patch overlaps a training patch (d <= P - 1).

Shape letters: H rows, W columns, K classes, P patch size, N and M pixels.
"""

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.seeding import derive_seed

#: How the sides of a split were made; "all" trains on every labelled pixel, or on pixels drawn from all of them, and
#: has no validation pixels.
SPLIT_KINDS = ("blocks", "fields", "random", "masks", "all")


@dataclass(frozen=True, kw_only=True)
class Separation:
    """How many of ``num_pixels`` validation pixels are too near a training pixel, for one patch size."""

    patch_size: int
    num_pixels: int
    num_inside_training_patch: int
    num_overlapping_patches: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Training and validation pixels of one source scene.

    Args:
        shape: (H, W) of the scene.
        train: (N,) flat pixel indices (row * W + column), ascending.
        validation: (M,) flat pixel indices, ascending.
        scored_classes: Indices 0..K-1 of the classes in the validation score.
        patch_size: The largest patch the split is made for; odd.
        guard: No validation pixel is within this Chebyshev distance of a training pixel.
        seed: The seed with which the sides were drawn.
        kind: One of :data:`SPLIT_KINDS`.

    Raises:
        InvalidInputError: A side is empty (for kind "all": validation is not), an index is outside the scene or
            repeats, the sides overlap, or the guard band is not kept.
    """

    shape: tuple[int, int]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    scored_classes: tuple[int, ...]
    patch_size: int
    guard: int
    seed: int
    kind: str

    def __post_init__(self) -> None:
        num_pixels = self.shape[0] * self.shape[1]
        if self.kind not in SPLIT_KINDS:
            raise InvalidInputError(f"split: kind {self.kind!r}; expected one of {', '.join(SPLIT_KINDS)}.")
        check_patch_size(self.patch_size, self.shape, "split")
        if self.guard < 0:
            raise InvalidInputError(f"split: guard {self.guard}; expected a guard >= 0.")
        sides = {"training": self.train, "validation": self.validation}
        if self.kind == "all":
            validation = sides.pop("validation")
            if validation.size or self.scored_classes:
                raise InvalidInputError(
                    f"split: {validation.size} validation pixels and scored classes {self.scored_classes} in a split "
                    "of kind 'all'; expected none, every labelled pixel trains."
                )
        for side, indices in sides.items():
            if indices.ndim != 1 or len(indices) == 0:
                raise InvalidInputError(f"split: no {side} pixels.")
            if indices.min() < 0 or indices.max() >= num_pixels or (np.diff(indices) <= 0).any():
                raise InvalidInputError(
                    f"split: {side} pixels must be distinct, ascending and within 0..{num_pixels - 1}."
                )
        if self.kind != "all" and (not self.scored_classes or min(self.scored_classes) < 0):
            raise InvalidInputError(f"split: scored classes {self.scored_classes}; expected indices from 0 on.")
        near = self._near_training(self.guard)
        if near.any():
            raise InvalidInputError(
                f"split: {int(near.sum())} validation pixels are within {self.guard} of a training pixel."
            )
        for name in ("train", "validation"):
            frozen = getattr(self, name).astype(np.int64)
            frozen.setflags(write=False)
            object.__setattr__(self, name, frozen)

    def _near_training(self, distance: int) -> NDArray[np.bool_]:
        grown = grow(_mask(self.train, self.shape), distance)
        near: NDArray[np.bool_] = grown.ravel()[self.validation]
        return near

    def separation(self, patch_size: int | None = None) -> Separation:
        """The two counts, for the split's own patch size or another."""
        patch = self.patch_size if patch_size is None else patch_size
        return Separation(
            patch_size=patch,
            num_pixels=len(self.validation),
            num_inside_training_patch=int(self._near_training(patch // 2).sum()),
            num_overlapping_patches=int(self._near_training(patch - 1).sum()),
        )

    @property
    def leaks(self) -> bool:
        """Whether training patches show scored pixels, or nothing was done to prevent that."""
        return self.kind == "random" or self.separation().num_inside_training_patch > 0

    @property
    def content_hash(self) -> str:
        """SHA-256 over both pixel sets and the scored classes, as 16 hexadecimal digits."""
        digest = hashlib.sha256(repr((self.shape, self.scored_classes)).encode())
        for indices in (self.train, self.validation):
            digest.update(len(indices).to_bytes(8, "big"))
            digest.update(indices.tobytes())
        return digest.hexdigest()[:16]

    def thinned(self, scene: Scene, *, pixels_per_class: int) -> "Split":
        """The same split with at most the given number of training pixels per class, drawn with the split's seed."""
        labels = scene.labels.ravel()[self.train]
        kept = []
        for k, class_name in enumerate(scene.class_names, start=1):
            pixels = self.train[labels == k]
            if len(pixels) > pixels_per_class:
                rng = np.random.default_rng(derive_seed(self.seed, "thin", class_name))
                pixels = rng.choice(pixels, size=pixels_per_class, replace=False)
            kept.append(pixels)
        return replace(self, train=np.sort(np.concatenate(kept)))


def random_split(scene: Scene, *, train_fraction: float, patch_size: int, seed: int) -> Split:
    """Split at random, class by class, as is common in the literature: patches cover both sides.

    Of every class ``ceil(train_fraction * pixels)`` train, and at least one pixel is left for validation; a class with
    a single pixel trains and is not scored. There is no guard band: :meth:`Split.separation` shows what that means.

    Args:
        scene: The scene with all its labels.
        train_fraction: The share of each class's pixels that train.
        patch_size: The largest patch that will be cut; odd.
        seed: Draws the pixels; each class's draw follows from it and the class's name.

    Raises:
        InvalidInputError: An argument is out of range, a class has no pixel, or no class has two.
    """
    check_share("train_fraction", train_fraction)
    check_patch_size(patch_size, scene.shape, f"scene {scene.name!r}")
    refuse_empty_classes(scene)
    labels = scene.labels.ravel()
    train, validation, scored = [], [], []
    for k, class_name in enumerate(scene.class_names, start=1):
        pixels = np.flatnonzero(labels == k)
        # Differences below a millionth of a pixel are rounding: 0.1 * 30 is slightly more than 3.
        num_train = max(1, min(math.ceil(train_fraction * len(pixels) - 1e-6), len(pixels) - 1))
        pixels = np.random.default_rng(derive_seed(seed, "random", class_name)).permutation(pixels)
        train.append(pixels[:num_train])
        validation.append(pixels[num_train:])
        if len(pixels) > num_train:
            scored.append(k - 1)
    if not scored:
        raise InvalidInputError(
            f"scene {scene.name!r}: every class has a single labelled pixel; there is nothing to validate on."
        )
    return Split(
        shape=scene.shape,
        train=np.sort(np.concatenate(train)),
        validation=np.sort(np.concatenate(validation)),
        scored_classes=tuple(scored),
        patch_size=patch_size,
        guard=0,
        seed=seed,
        kind="random",
    )


def mask_split(
    scene: Scene, *, train: NDArray[np.int64], validation: NDArray[np.int64], patch_size: int, seed: int
) -> Split:
    """A split whose pixel sets are given, such as one published with a scene.

    Only the labels of the training pixels are read: the scored classes are those with training pixels, regardless of
    the labels on the other side.

    Args:
        scene: The scene; it needs labels on the training pixels only.
        train: Flat indices of the training pixels, in any order.
        validation: Flat indices of the validation or test pixels, in any order.
        patch_size: The largest patch that will be cut; odd.
        seed: The seed of later draws from the split, such as :meth:`Split.thinned`.

    Raises:
        InvalidInputError: The patch does not fit the scene, a side is empty, a pixel is outside the scene, repeats,
            is on both sides, or trains without a label.
    """
    check_patch_size(patch_size, scene.shape, f"scene {scene.name!r}")
    split = Split(
        shape=scene.shape,
        train=np.sort(train),
        validation=np.sort(validation),
        scored_classes=tuple(range(scene.num_classes)),
        patch_size=patch_size,
        guard=0,
        seed=seed,
        kind="masks",
    )
    trained = scene.labels.ravel()[split.train]
    if unlabelled := int((trained == 0).sum()):
        raise InvalidInputError(f"scene {scene.name!r}: {unlabelled} pixels of the training mask have no label.")
    return replace(split, scored_classes=tuple(int(k) - 1 for k in np.unique(trained)))


def everything_split(scene: Scene, patch_size: int, *, seed: int = 0) -> Split:
    """Every labelled pixel trains and none validates: for the final training after the choice.

    Args:
        scene: The scene.
        patch_size: The largest patch that will be cut; odd.
        seed: The seed of what :meth:`Split.thinned` draws from all fields.

    Raises:
        InvalidInputError: The scene has no labelled pixel, or the patch size is even or wider than the scene.
    """
    check_patch_size(patch_size, scene.shape, f"scene {scene.name!r}")
    return Split(
        shape=scene.shape,
        train=np.flatnonzero(scene.labels),
        validation=np.empty(0, dtype=np.int64),
        scored_classes=(),
        patch_size=patch_size,
        guard=0,
        seed=seed,
        kind="all",
    )


def refuse_empty_classes(scene: Scene) -> None:
    """Reject a scene with a class that has no labelled pixel.

    Raises:
        InvalidInputError: Naming the classes.
    """
    empty = [name for name, count in zip(scene.class_names, scene.class_counts, strict=True) if count == 0]
    if empty:
        raise InvalidInputError(
            f"scene {scene.name!r} has no labelled pixel of {', '.join(empty)}; leave the class out of the pair."
        )


def check_patch_size(patch_size: int, shape: tuple[int, int], where: str) -> None:
    """Reject a patch that has no middle pixel, or is wider than the scene and would consist mostly of reflections.

    Args:
        patch_size: P.
        shape: (H, W) of the scene.
        where: The scene, for the message.

    Raises:
        InvalidInputError: With the largest patch that fits.
    """
    if patch_size < 1 or patch_size % 2 == 0:
        raise InvalidInputError(f"{where}: patch_size = {patch_size}; expected an odd number of pixels.")
    if patch_size > min(shape):
        largest = min(shape) - 1 + min(shape) % 2
        raise InvalidInputError(
            f"{where}: patch_size = {patch_size} in {shape[0]} x {shape[1]} pixels; expected a patch no wider than "
            f"that, so {largest} at most."
        )


def check_share(name: str, value: float) -> None:
    """Reject a share that is not strictly between 0 and 1.

    Raises:
        InvalidInputError: Naming the argument.
    """
    if not 0 < value < 1:
        raise InvalidInputError(f"{name} = {value}; expected a share between 0 and 1.")


def grow(mask: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """(H, W) pixels within a Chebyshev distance of the mask's."""
    grown: NDArray[np.bool_] = maximum_filter(mask, size=2 * distance + 1, mode="constant", cval=False)
    return grown


def _mask(pixels: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape[0] * shape[1], dtype=bool)
    mask[pixels] = True
    return mask.reshape(shape)
