"""Splits by blocks: whole blocks of a scene validate, and a guard band around them is left unused.

Shape letters: H rows, W columns, K classes, P patch size.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.scenes.split import Split, check_share, grow, refuse_empty_classes
from sceneshift.seeding import derive_seed


@dataclass(frozen=True, kw_only=True, eq=False)
class _Layout:
    """(H, W) training and validation pixels, and (K,) which classes are scored."""

    trains: NDArray[np.bool_]
    validates: NDArray[np.bool_]
    scored: NDArray[np.bool_]


def block_split(
    scene: Scene,
    *,
    patch_size: int,
    seed: int,
    validation_fraction: float = 0.2,
    guard: int | None = None,
    min_pixels: int = 10,
    num_candidates: int = 512,
    rare_to_training: bool = False,
) -> Split:
    """Split a scene's labelled pixels by blocks, with a guard band of ``patch_size // 2`` between the sides.

    Layouts of square blocks (between one and four patches wide, at a random offset) are drawn; in each,
    validation blocks are chosen class by class, the rarest class first, until the class has its share; training
    pixels within the guard of a validation pixel are left unused. Of all layouts that one is kept in which most
    classes can be trained, then most can be scored, then most pixels are used with validation shares nearest the
    one asked for. Only the source's own labels decide.

    With ``rare_to_training`` a class that a layout can't have on both sides doesn't rule the layout out: all its
    pixels train, the guard round them is kept free of validation pixels, and the class leaves the score. And where
    more than half is to validate, it is the training blocks that are chosen and the validation pixels that give way
    to the guard, so that a small training share is not eaten up by it.

    Args:
        scene: The source.
        patch_size: The largest patch that will be cut; odd.
        seed: Draws the layouts.
        validation_fraction: The share of each class's pixels that should validate.
        guard: Chebyshev distance kept between the sides; by default ``patch_size // 2``.
        min_pixels: A class with fewer pixels on either side is not scored.
        num_candidates: Layouts drawn.
        rare_to_training: Train whole a class that can't be on both sides, however few pixels it has.

    Raises:
        InvalidInputError: An argument is out of range, or no layout leaves every class pixels to train on, or (with
            ``rare_to_training``) none has a class on both sides.
    """
    if patch_size < 1 or patch_size % 2 == 0:
        raise InvalidInputError(f"patch_size = {patch_size}; expected an odd number of pixels.")
    check_share("validation_fraction", validation_fraction)
    guard = patch_size // 2 if guard is None else guard
    for name, value, least in (
        ("guard", guard, 0),
        ("min_pixels", min_pixels, 1),
        ("num_candidates", num_candidates, 1),
    ):
        if value < least:
            raise InvalidInputError(f"{name} = {value}; expected at least {least}.")
    refuse_empty_classes(scene)
    train_blocks = rare_to_training and validation_fraction > 0.5
    drawn_fraction = 1 - validation_fraction if train_blocks else validation_fraction
    best: tuple[tuple[float, ...], _Layout] | None = None
    for candidate in range(num_candidates):
        rng = np.random.default_rng(derive_seed(seed, "blocks", candidate))
        drawn = _draw_blocks(scene, rng, patch_size, drawn_fraction)
        other = (scene.labels > 0) & ~grow(drawn, guard)
        trains, validates = (drawn, other) if train_blocks else (other, drawn)
        if rare_to_training:
            layout = _train_rare_whole(scene, trains, validates, guard=guard, min_pixels=min_pixels)
            if not train_blocks:  # what gave way to validation pixels that are none any more trains again
                layout = replace(layout, trains=(scene.labels > 0) & ~grow(layout.validates, guard))
        else:
            layout = _Layout(trains=trains, validates=validates, scored=_scored(scene, trains, validates, min_pixels))
        if not layout.scored.any():
            continue
        rank = _rank(scene, layout, validation_fraction, min_pixels, train_blocks=train_blocks)
        if best is None or rank > best[0]:
            best = (rank, layout)
    if best is None or (not rare_to_training and best[0][0] < scene.num_classes):
        raise InvalidInputError(_impossible(scene, patch_size, guard, min_pixels, rare_to_training))
    scored = np.flatnonzero(best[1].scored)
    return Split(
        shape=scene.shape,
        train=np.flatnonzero(best[1].trains),
        validation=np.flatnonzero(best[1].validates & np.isin(scene.labels, 1 + scored)),
        scored_classes=tuple(int(k) for k in scored),
        patch_size=patch_size,
        guard=guard,
        seed=seed,
        kind="blocks",
    )


def _rank(
    scene: Scene, layout: _Layout, validation_fraction: float, min_pixels: int, *, train_blocks: bool
) -> tuple[float, ...]:
    """Classes trained, classes scored, and how many pixels are used in shares near the one asked for."""
    num_train = _class_counts(scene, layout.trains)
    num_validation = _class_counts(scene, layout.validates)
    drawn, left = (num_train, num_validation) if train_blocks else (num_validation, num_train)
    wanted = (1 - validation_fraction if train_blocks else validation_fraction) * scene.class_counts
    balance = np.minimum(drawn / wanted, wanted / np.maximum(drawn, 1))
    quality = float((balance * left / scene.class_counts).mean())
    return float((num_train >= min_pixels).sum()), float(layout.scored.sum()), quality


def _train_rare_whole(
    scene: Scene, trains: NDArray[np.bool_], validates: NDArray[np.bool_], *, guard: int, min_pixels: int
) -> _Layout:
    """Give every class that is too few on a side to training whole, until no further class is."""
    whole = np.zeros(scene.num_classes, dtype=bool)
    while True:
        scored = _scored(scene, trains, validates, min_pixels)
        # A class given to training can take the validation pixels of its neighbours, and so make them rare as well.
        if not (~scored & ~whole).any():
            return _Layout(trains=trains, validates=validates, scored=scored)
        whole |= ~scored
        pixels = np.isin(scene.labels, 1 + np.flatnonzero(whole))
        validates = validates & ~grow(pixels, guard)
        trains = trains | pixels


def _scored(
    scene: Scene, trains: NDArray[np.bool_], validates: NDArray[np.bool_], min_pixels: int
) -> NDArray[np.bool_]:
    scored: NDArray[np.bool_] = (_class_counts(scene, trains) >= min_pixels) & (
        _class_counts(scene, validates) >= min_pixels
    )
    return scored


def _draw_blocks(scene: Scene, rng: np.random.Generator, patch_size: int, fraction: float) -> NDArray[np.bool_]:
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
    drawn: NDArray[np.bool_] = chosen[blocks] & (scene.labels > 0)
    return drawn


def _class_counts(scene: Scene, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.bincount(scene.labels[mask], minlength=scene.num_classes + 1)[1:]


def _impossible(scene: Scene, patch_size: int, guard: int, min_pixels: int, rare_to_training: bool) -> str:
    counts = dict(zip(scene.class_names, scene.class_counts.tolist(), strict=True))
    lacks = (
        f"has a single class with {min_pixels} pixels on both sides"
        if rare_to_training
        else f"leaves every class {min_pixels} training pixels"
    )
    return (
        f"scene {scene.name!r}: no block layout for patches of {patch_size} and a guard of {guard} {lacks} (labelled "
        f"pixels: {counts}). Search smaller patches, or leave the rarest class out."
    )
