"""Splits by blocks: whole blocks of a scene validate, and a guard band around them is left unused.

Shape letters: H rows, W columns, K classes, P patch size.
"""

import numpy as np
from numpy.typing import NDArray

from sceneshift.scenes.layouts import best_layout
from sceneshift.scenes.scene import Scene
from sceneshift.scenes.split import Split


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

    def draw(rng: np.random.Generator, fraction: float) -> NDArray[np.bool_]:
        return _draw_blocks(scene, rng, patch_size, fraction)

    return best_layout(
        scene,
        draw,
        kind="blocks",
        patch_size=patch_size,
        seed=seed,
        validation_fraction=validation_fraction,
        guard=guard,
        min_pixels=min_pixels,
        num_candidates=num_candidates,
        rare_to_training=rare_to_training,
    )


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
