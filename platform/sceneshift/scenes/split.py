"""Which labelled pixels of a source scene train and which validate.

Neighbouring patches share pixels, so a random split puts one patch on both sides. Here whole blocks of the
scene validate and a guard band around them is left unused. Two counts tell how separate two pixel sets are
(for patches of P x P, Chebyshev distance d): pixels inside a training patch (d <= P // 2) and pixels whose
patch overlaps a training patch (d <= P - 1).

Shape letters: H rows, W columns, K classes, P patch size, N and M pixels.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.seeding import derive_seed


@dataclass(frozen=True, kw_only=True)
class Separation:
    """How many of ``num_pixels`` validation pixels lie too near a training pixel, for one patch size."""

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
        guard: No validation pixel lies within this Chebyshev distance of a training pixel.
        seed: The seed the blocks were drawn with.

    Raises:
        InvalidInputError: A side is empty, an index lies outside the scene or repeats, the sides meet, or the
            guard band is not kept.
    """

    shape: tuple[int, int]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    scored_classes: tuple[int, ...]
    patch_size: int
    guard: int
    seed: int

    def __post_init__(self) -> None:
        num_pixels = self.shape[0] * self.shape[1]
        if self.guard < 0 or self.patch_size < 1 or self.patch_size % 2 == 0:
            raise InvalidInputError(
                f"split: guard {self.guard}, patch size {self.patch_size}; expected a guard >= 0 and an odd patch size."
            )
        for side, indices in (("training", self.train), ("validation", self.validation)):
            if indices.ndim != 1 or len(indices) == 0:
                raise InvalidInputError(f"split: no {side} pixels.")
            if indices.min() < 0 or indices.max() >= num_pixels or (np.diff(indices) <= 0).any():
                raise InvalidInputError(
                    f"split: {side} pixels must be distinct, ascending and within 0..{num_pixels - 1}."
                )
        if not self.scored_classes or min(self.scored_classes) < 0:
            raise InvalidInputError(f"split: scored classes {self.scored_classes}; expected indices from 0 on.")
        near = self._near_training(self.guard)
        if near.any():
            raise InvalidInputError(
                f"split: {int(near.sum())} validation pixels lie within {self.guard} of a training pixel."
            )
        for name in ("train", "validation"):
            frozen = getattr(self, name).astype(np.int64)
            frozen.setflags(write=False)
            object.__setattr__(self, name, frozen)

    def _near_training(self, distance: int) -> NDArray[np.bool_]:
        grown = _grow(_mask(self.train, self.shape), distance)
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
    def content_hash(self) -> str:
        """SHA-256 over both pixel sets and the scored classes, as 16 hexadecimal digits."""
        digest = hashlib.sha256(repr((self.shape, self.scored_classes)).encode())
        for indices in (self.train, self.validation):
            digest.update(len(indices).to_bytes(8, "big"))
            digest.update(indices.tobytes())
        return digest.hexdigest()[:16]

    def thinned(self, scene: Scene, *, pixels_per_class: int) -> "Split":
        """The same split with at most so many training pixels a class, drawn with the split's seed."""
        labels = scene.labels.ravel()[self.train]
        kept = []
        for k, class_name in enumerate(scene.class_names, start=1):
            pixels = self.train[labels == k]
            if len(pixels) > pixels_per_class:
                rng = np.random.default_rng(derive_seed(self.seed, "thin", class_name))
                pixels = rng.choice(pixels, size=pixels_per_class, replace=False)
            kept.append(pixels)
        return replace(self, train=np.sort(np.concatenate(kept)))


def block_split(
    scene: Scene,
    *,
    patch_size: int,
    seed: int,
    validation_fraction: float = 0.2,
    guard: int | None = None,
    min_pixels: int = 10,
    num_candidates: int = 512,
) -> Split:
    """Split a scene's labelled pixels by blocks, with a guard band of ``patch_size // 2`` between the sides.

    Layouts of square blocks (between one and four patches wide, at a random offset) are drawn; in each,
    validation blocks are chosen class by class, the rarest class first, until the class has its share; training
    pixels within the guard of a validation pixel are left unused. Of all layouts that one is kept in which most
    classes can be trained, then most can be scored, then most pixels are used with validation shares nearest the
    one asked for. Only the source's own labels decide.

    Args:
        scene: The source.
        patch_size: The largest patch that will be cut; odd.
        seed: Draws the layouts.
        validation_fraction: The share of each class's pixels that should validate.
        guard: Chebyshev distance kept between the sides; by default ``patch_size // 2``.
        min_pixels: A class with fewer pixels on either side is not scored.
        num_candidates: Layouts drawn.

    Raises:
        InvalidInputError: An argument is out of range, or no layout leaves every class pixels to train on.
    """
    if patch_size < 1 or patch_size % 2 == 0:
        raise InvalidInputError(f"patch_size = {patch_size}; expected an odd number of pixels.")
    if not 0 < validation_fraction < 1:
        raise InvalidInputError(f"validation_fraction = {validation_fraction}; expected a share between 0 and 1.")
    guard = patch_size // 2 if guard is None else guard
    for name, value, least in (
        ("guard", guard, 0),
        ("min_pixels", min_pixels, 1),
        ("num_candidates", num_candidates, 1),
    ):
        if value < least:
            raise InvalidInputError(f"{name} = {value}; expected at least {least}.")
    empty = [name for name, count in zip(scene.class_names, scene.class_counts, strict=True) if count == 0]
    if empty:
        raise InvalidInputError(
            f"scene {scene.name!r} has no labelled pixel of {', '.join(empty)}; leave the class out of the pair."
        )
    best: tuple[tuple[float, ...], Split] | None = None
    for candidate in range(num_candidates):
        rng = np.random.default_rng(derive_seed(seed, "blocks", candidate))
        validates = _draw_validation_mask(scene, rng, patch_size, validation_fraction)
        trains = (scene.labels > 0) & ~_grow(validates, guard)
        num_train = _class_counts(scene, trains)
        num_validation = _class_counts(scene, validates)
        scored = (num_train >= min_pixels) & (num_validation >= min_pixels)
        if not scored.any():
            continue
        wanted = validation_fraction * scene.class_counts
        balance = np.minimum(num_validation / wanted, wanted / np.maximum(num_validation, 1))
        quality = float((balance * num_train / scene.class_counts).mean())
        rank = (float((num_train >= min_pixels).sum()), float(scored.sum()), quality)
        if best is None or rank > best[0]:
            validates &= np.isin(scene.labels, 1 + np.flatnonzero(scored))
            split = Split(
                shape=scene.shape,
                train=np.flatnonzero(trains),
                validation=np.flatnonzero(validates),
                scored_classes=tuple(int(k) for k in np.flatnonzero(scored)),
                patch_size=patch_size,
                guard=guard,
                seed=seed,
            )
            best = (rank, split)
    if best is None or best[0][0] < scene.num_classes:
        counts = dict(zip(scene.class_names, scene.class_counts.tolist(), strict=True))
        raise InvalidInputError(
            f"scene {scene.name!r}: no block layout for patches of {patch_size} and a guard of {guard} leaves "
            f"every class {min_pixels} training pixels (labelled pixels: {counts}). "
            "Search smaller patches, or leave the rarest class out."
        )
    return best[1]


def _draw_validation_mask(
    scene: Scene, rng: np.random.Generator, patch_size: int, fraction: float
) -> NDArray[np.bool_]:
    height, width = scene.shape
    side = int(rng.integers(patch_size, 4 * patch_size + 1))
    top, left = (int(v) for v in rng.integers(0, side, size=2))
    block_rows = (np.arange(height) + top) // side
    block_columns = (np.arange(width) + left) // side
    blocks = block_rows[:, None] * (block_columns[-1] + 1) + block_columns[None, :]
    num_blocks = int(blocks.max()) + 1
    chosen = np.zeros(num_blocks, dtype=bool)
    settled = np.zeros(num_blocks, dtype=bool)
    for k in 1 + np.argsort(scene.class_counts, kind="stable"):
        per_block = np.bincount(blocks[scene.labels == k], minlength=num_blocks)
        wanted = fraction * per_block.sum()
        for block in rng.permutation(np.flatnonzero(per_block)):
            have = per_block[chosen].sum()
            if have >= wanted:
                break
            overshoot = have + per_block[block] - wanted
            if not settled[block] and not chosen[block] and overshoot <= max(wanted - have, wanted):
                chosen[block] = True
        settled |= per_block > 0
    validates: NDArray[np.bool_] = chosen[blocks] & (scene.labels > 0)
    return validates


def _class_counts(scene: Scene, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.bincount(scene.labels[mask], minlength=scene.num_classes + 1)[1:]


def _mask(pixels: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape[0] * shape[1], dtype=bool)
    mask[pixels] = True
    return mask.reshape(shape)


def _grow(mask: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = maximum_filter(mask, size=2 * distance + 1, mode="constant", cval=False)
    return grown
